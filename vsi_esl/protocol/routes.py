"""The REST routes of the protocol: those of the registered commands, and those of commands not served here.

The latter are of a later version, and answer 501 by name. A command that is registered brings its own route.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import registry
from .ids import Id, LegId, RoomId
from .registry import Rest

BASE = "/v1"


@dataclass(frozen=True, slots=True)
class Unserved:
    """The route of a command that answers 501, and what the first id in its path names."""

    rest: Rest
    about: type[Id] | None = None
    group: str = ""

    @property
    def tag(self) -> str:
        """The group of commands that it is in."""
        return self.group or (self.about.tag if self.about is not None else "")


def _of_leg(method: str, path: str, status: int = 200) -> Unserved:
    return Unserved(Rest(method, f"/legs/{{id}}{path}", status), LegId)


def _of_registrar(method: str, path: str, status: int = 200) -> Unserved:
    return Unserved(Rest(method, f"/sip/registrations{path}", status), group="Registrations")


def _of_trunks(method: str, path: str = "", status: int = 200) -> Unserved:
    return Unserved(Rest(method, f"/sip/trunks{path}", status), group="Trunks")


UNSERVED: dict[str, Unserved] = {
    # of the version 2026-08-20
    "leg_stream_list": _of_leg("GET", "/streams"),
    "leg_stream_get": _of_leg("GET", "/streams/{stream_id}"),
    "leg_stream_add": _of_leg("POST", "/streams", 201),
    "leg_stream_update": _of_leg("PATCH", "/streams/{stream_id}"),
    "leg_stream_remove": _of_leg("DELETE", "/streams/{stream_id}", 204),
    "leg_stream_attach_room": _of_leg("POST", "/streams/{stream_id}/room"),
    "leg_stream_detach_room": _of_leg("DELETE", "/streams/{stream_id}/room"),
    "leg_stt_finalize": _of_leg("POST", "/stt/finalize"),
    "leg_tts_preflight": _of_leg("POST", "/tts/preflight"),
    "leg_tts_commit": _of_leg("POST", "/tts/{tts_id}/commit"),
    "leg_tts_discard": _of_leg("DELETE", "/tts/{tts_id}"),
    "leg_siprec_start": _of_leg("POST", "/siprec", 201),
    "room_siprec_start": Unserved(Rest("POST", "/rooms/{id}/siprec", 201), RoomId),
    "siprec_get": _of_leg("GET", "/siprec"),
    "challenge_leg": _of_leg("POST", "/challenge", 202),
    "challenge_registration": _of_registrar("POST", "/attempts/{id}/challenge", 202),
    "accept_registration": _of_registrar("POST", "/attempts/{id}/accept", 202),
    "reject_registration": _of_registrar("POST", "/attempts/{id}/reject", 202),
    "list_sip_registrations": _of_registrar("GET", ""),
    "delete_sip_registration": _of_registrar("DELETE", "/{aor}", 204),
    "create_sip_trunk": _of_trunks("POST", status=202),
    "list_sip_trunks": _of_trunks("GET"),
    "get_sip_trunk": _of_trunks("GET", "/{id}"),
    "delete_sip_trunk": _of_trunks("DELETE", "/{id}", 202),
}


def routes() -> dict[str, Rest]:
    """Command -> its route, for all commands of the protocol, of whatever version, that have one."""
    registered = registry.load_commands()
    found = {name: entry.rest for name, entry in registered.items() if entry.rest is not None}
    return {**{name: UNSERVED[name].rest for name in registry.pending()}, **found}
