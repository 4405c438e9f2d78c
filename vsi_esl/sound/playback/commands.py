"""Playing files and tones to a leg or into a room."""

from __future__ import annotations

from ...calls.context import Context
from ...commands.legs import LegPayload
from ...commands.rooms import RoomPayload
from ...errors import Conflict, Invalid
from ...model.leg import RINGING, Leg
from ...model.owner import Owner, of_leg, of_room
from ...model.room import Room
from ...model.sound_stores import Playbacks
from ...protocol.ids import Id
from ...protocol.registry import Body, Rest, command
from ...protocol.schemas import INT32, Payload, Text, Whole, about
from . import player

MAX_VOLUME = 8
MAX_URL = 8192
MAX_REPEAT = 1_000_000
"""More is for ever."""
NOT_PLAYING = "no playback in progress"


VOLUME = Whole(*INT32, metadata=about("Steps of 3 dB.", needed=True, minimum=-8, maximum=8))


class PlaybackId(Id):
    """A playback of a leg or room."""

    noun = "playback"


class PlayStart(Payload):
    url = Text(limit=MAX_URL, metadata=about("WAV or MP3 by http or https; or `tone`."))
    tone = Text(metadata=about("A tone such as dial or us_ringback; or `url`."))
    mime_type = Text(metadata=about("What the URL holds, when its server does not say."))
    repeat = Whole(*INT32, metadata=about("How often; 0 and 1 once, -1 for ever."))
    volume = Whole(*INT32, metadata=about("Steps of 3 dB.", minimum=-8, maximum=8))


class LegPlayStart(LegPayload, PlayStart):
    pass


class RoomPlayStart(RoomPayload, PlayStart):
    pass


class LegPlayStop(LegPayload):
    playback_id = PlaybackId()


class RoomPlayStop(RoomPayload):
    playback_id = PlaybackId()


class LegPlayVolume(LegPlayStop):
    volume = VOLUME


class RoomPlayVolume(RoomPlayStop):
    volume = VOLUME


@command(
    "leg_play_start",
    LegPlayStart,
    result="PlaybackStart",
    rest=Rest("POST", "/legs/{id}/play", body=Body.REQUIRED),
)
def leg_play_start(ctx: Context, id: str, **what: str | int) -> dict[str, str]:
    """Play a URL or a tone to one leg, wherever it is; others in its room do not hear it."""
    leg = ctx.legs.get(id)
    _check(what)
    if leg.state == RINGING:
        raise Conflict("leg has no audio writer")
    return _start(ctx, leg, what)


@command(
    "room_play_start",
    RoomPlayStart,
    result="PlaybackStart",
    rest=Rest("POST", "/rooms/{id}/play", body=Body.REQUIRED),
)
def room_play_start(ctx: Context, id: str, **what: str | int) -> dict[str, str]:
    """Play a URL or a tone to everybody in a room, whatever its routing."""
    room = ctx.rooms.get(id)
    _check(what)
    if not room.legs:
        raise Conflict("room has no participants")
    return _start(ctx, room, what)


@command("leg_play_stop", LegPlayStop, result="stopped", rest=Rest("DELETE", "/legs/{id}/play/{playback_id}"))
def leg_play_stop(ctx: Context, id: str, playback_id: str) -> dict[str, str]:
    """Stop one playback of a leg."""
    player.stop(ctx, ctx.get(Playbacks).get(of_leg(id), playback_id, NOT_PLAYING))
    return {"status": "stopped"}


@command(
    "room_play_stop", RoomPlayStop, result="stopped", rest=Rest("DELETE", "/rooms/{id}/play/{playback_id}")
)
def room_play_stop(ctx: Context, id: str, playback_id: str) -> dict[str, str]:
    """Stop one playback of a room."""
    player.stop(ctx, ctx.get(Playbacks).get(of_room(id), playback_id, NOT_PLAYING))
    return {"status": "stopped"}


@command(
    "leg_play_volume",
    LegPlayVolume,
    result="ok",
    rest=Rest("PATCH", "/legs/{id}/play/{playback_id}", body=Body.REQUIRED),
)
def leg_play_volume(ctx: Context, id: str, playback_id: str, volume: int) -> dict[str, str]:
    """Change the volume of a leg's playback while it runs."""
    return _volume(ctx, of_leg(id), playback_id, volume)


@command(
    "room_play_volume",
    RoomPlayVolume,
    result="ok",
    rest=Rest("PATCH", "/rooms/{id}/play/{playback_id}", body=Body.REQUIRED),
)
def room_play_volume(ctx: Context, id: str, playback_id: str, volume: int) -> dict[str, str]:
    """Change the volume of a room's playback while it runs."""
    return _volume(ctx, of_room(id), playback_id, volume)


def _check(what: dict[str, str | int]) -> None:
    if what["url"] and what["tone"]:
        raise Invalid("url and tone are mutually exclusive")
    if not (what["url"] or what["tone"]):
        raise Invalid("url or tone is required")
    _check_volume(int(what["volume"]))


def _check_volume(volume: int) -> None:
    if abs(volume) > MAX_VOLUME:
        raise Invalid("volume must be between -8 and 8")


def _start(ctx: Context, owner: Leg | Room, what: dict[str, str | int]) -> dict[str, str]:
    ctx.node(owner).require("mod_sndfile", "mod_loopback")
    if int(what["repeat"]) > MAX_REPEAT:
        what["repeat"] = -1
    playback = player.start(ctx, owner, **what)  # type: ignore[arg-type]
    return {"playback_id": playback.id, "status": "playing"}


def _volume(ctx: Context, owner: Owner, playback_id: str, volume: int) -> dict[str, str]:
    _check_volume(volume)
    player.set_volume(ctx, ctx.get(Playbacks).get(owner, playback_id, "playback not found"), volume)
    return {"status": "ok"}
