"""Playing files and tones to a leg or into a room."""

from __future__ import annotations

from typing import Literal, TypedDict

from ...calls.context import Context
from ...commands.twins import find, for_leg_and_room
from ...errors import Conflict, Invalid
from ...model.leg import RINGING, Leg
from ...model.owner import Owner
from ...model.room import Room
from ...protocol.ids import Id
from ...protocol.limits import Range
from ...protocol.registry import Body, Rest
from ...protocol.replies import Status
from ...protocol.schemas import INT32, Integer, Payload, Text, about
from . import player
from .heard import Heard

MAX_URL = 8192
MAX_REPEAT = 1_000_000
"""More is for ever."""


VOLUME = Range("volume", -8, 8)


class PlaybackId(Id):
    """A playback of a leg or room, or what else it hears (`heard`)."""

    noun = "playback"


class PlayStart(Payload):
    url = Text(limit=MAX_URL, metadata=about("WAV or MP3 by http or https; or `tone`."))
    tone = Text(metadata=about("A tone such as dial or us_ringback; or `url`."))
    mime_type = Text(metadata=about("What the URL holds, when its server does not say."))
    repeat = Integer(*INT32, metadata=about("How often; 0 and 1 once, -1 for ever."))
    volume = Integer(*INT32, checked=VOLUME, metadata=about("Steps of 3 dB."))


class PlayStop(Payload):
    playback_id = PlaybackId()


class PlayVolume(PlayStop):
    volume = Integer(*INT32, checked=VOLUME, metadata=about("Steps of 3 dB.", needed=True))


class PlaybackStart(TypedDict):
    """A playback that has been taken on."""

    playback_id: str
    status: Literal["playing"]


@for_leg_and_room(
    "leg_play_start",
    "room_play_start",
    PlayStart,
    rest=Rest("POST", "/play", body=Body.REQUIRED),
    leg="Play a URL or a tone to one leg, wherever it is; others in its room do not hear it.",
    room="Play a URL or a tone to everybody in a room, whatever its routing.",
)
def play_start(ctx: Context, owner: Owner, **what: str | int) -> PlaybackStart:
    listener = find(ctx, owner)
    _check(what)
    if isinstance(listener, Leg) and listener.state == RINGING:
        raise Conflict("leg has no audio writer")
    if isinstance(listener, Room) and not listener.legs:
        raise Conflict("room has no participants")
    node = ctx.node(listener)
    node.require("mod_sndfile", "mod_loopback")
    node.host.require()
    if int(what["repeat"]) > MAX_REPEAT:
        what["repeat"] = -1
    playback = player.start(ctx, listener, **what)  # type: ignore[arg-type]
    return {"playback_id": playback.id, "status": "playing"}


@for_leg_and_room(
    "leg_play_stop",
    "room_play_stop",
    PlayStop,
    rest=Rest("DELETE", "/play/{playback_id}"),
    leg="Stop one playback of a leg, or speech by its tts_id.",
    room="Stop one playback of a room, or speech by its tts_id.",
)
def play_stop(ctx: Context, owner: Owner, playback_id: str) -> Status[Literal["stopped"]]:
    ctx.get(Heard).stop(ctx, owner, playback_id)
    return {"status": "stopped"}


@for_leg_and_room(
    "leg_play_volume",
    "room_play_volume",
    PlayVolume,
    rest=Rest("PATCH", "/play/{playback_id}", body=Body.REQUIRED),
    leg="Change the volume of a leg's playback while it runs, or of speech by its tts_id.",
    room="Change the volume of a room's playback while it runs, or of speech by its tts_id.",
)
def play_volume(ctx: Context, owner: Owner, playback_id: str, volume: int) -> Status[Literal["ok"]]:
    VOLUME.check(volume)
    ctx.get(Heard).set_volume(ctx, owner, playback_id, volume)
    return {"status": "ok"}


def _check(what: dict[str, str | int]) -> None:
    if what["url"] and what["tone"]:
        raise Invalid("url and tone are mutually exclusive")
    if not (what["url"] or what["tone"]):
        raise Invalid("url or tone is required")
    VOLUME.check(int(what["volume"]))
