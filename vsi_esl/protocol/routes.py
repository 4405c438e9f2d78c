"""The REST routes of the protocol: those of the registered commands, and those that do not exist here yet.

The latter answer 501 by name. A command that is registered brings its own route.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import registry
from .ids import Id, LegId
from .registry import Rest

BASE = "/v1"


@dataclass(frozen=True, slots=True)
class Planned:
    """The route of a command that is not implemented, and what the id in its path names."""

    rest: Rest
    about: type[Id] | None = None
    group: str = ""

    @property
    def tag(self) -> str:
        """The group of commands that it is in."""
        return self.group or (self.about.tag if self.about is not None else "")


PLANNED: dict[str, Planned] = {
    "webrtc_offer": Planned(Rest("POST", "/webrtc/offer"), group="WebRTC"),
    "webrtc_add_candidate": Planned(Rest("POST", "/legs/{id}/ice-candidates"), LegId, group="WebRTC"),
    "webrtc_get_candidates": Planned(Rest("GET", "/legs/{id}/ice-candidates"), LegId, group="WebRTC"),
    "leg_transfer": Planned(Rest("POST", "/legs/{id}/transfer", 202), LegId),
}
"""What nobody has registered is looked up here."""


def routes() -> dict[str, Rest]:
    """Command -> its route, for all commands of the protocol that have one."""
    registered = registry.load_commands()
    found = {name: entry.rest for name, entry in registered.items() if entry.rest is not None}
    return {**{name: PLANNED[name].rest for name in registry.pending()}, **found}
