"""The REST routes of the protocol: those of the registered commands, and those that do not exist here yet.

The latter answer 501 by name. A command that is registered brings its own route.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import registry
from .ids import Id, LegId, RoomId
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


def _of_both(leg_command: str, room_command: str, method: str, path: str) -> dict[str, Planned]:
    """Of a pair of commands, one about legs and one about rooms. Their names stand in full, to be found."""
    return {
        name: Planned(Rest(method, f"/{kind.noun}s/{{id}}/{path}"), kind)
        for name, kind in ((leg_command, LegId), (room_command, RoomId))
    }


PLANNED: dict[str, Planned] = {
    "webrtc_offer": Planned(Rest("POST", "/webrtc/offer"), group="WebRTC"),
    "webrtc_add_candidate": Planned(Rest("POST", "/legs/{id}/ice-candidates"), LegId, group="WebRTC"),
    "webrtc_get_candidates": Planned(Rest("GET", "/legs/{id}/ice-candidates"), LegId, group="WebRTC"),
    "leg_transfer": Planned(Rest("POST", "/legs/{id}/transfer", 202), LegId),
    **_of_both("leg_stt_start", "room_stt_start", "POST", "stt"),
    **_of_both("leg_stt_stop", "room_stt_stop", "DELETE", "stt"),
}
"""What nobody has registered is looked up here."""


def routes() -> dict[str, Rest]:
    """Command -> its route, for all commands of the protocol that have one."""
    registered = registry.load_commands()
    found = {name: entry.rest for name, entry in registered.items() if entry.rest is not None}
    return {**{name: PLANNED[name].rest for name in registry.pending()}, **found}
