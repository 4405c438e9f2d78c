"""Saying texts to a leg or into a room."""

from __future__ import annotations

from typing import Literal, TypedDict

from ...calls.context import Context
from ...commands.twins import find, for_leg_and_room
from ...errors import Conflict, Invalid
from ...model.leg import RINGING, Leg
from ...model.owner import Owner
from ...model.room import Room
from ...protocol.ids import TheirId
from ...protocol.limits import Choice
from ...protocol.registry import Body, Rest
from ...protocol.schemas import INT32, Integer, Payload, Text, about
from ...providers import TTS, names
from ...sound.playback.commands import VOLUME
from . import speaker

DEFAULT_PROVIDER = "elevenlabs"
PROVIDER = Choice("provider", names(TTS))
LONGEST_TEXT = 40_000
"""Characters; no provider takes more at once."""


class Tts(Payload):
    text = Text(limit=LONGEST_TEXT, metadata=about("What is to be said: no markup.", needed=True))
    voice = Text(
        metadata=about(
            "The provider's id of it; of deepgram the model, such as aura-2-thalia-en.", needed=True
        )
    )
    model = TheirId(
        data_key="model_id",
        metadata=about("Of elevenlabs, google and openai the model, of aws the engine; theirs when empty."),
    )
    language = Text(
        limit=64,
        metadata=about(
            "Of azure, google and elevenlabs; that of the voice's name, or the model's, when empty."
        ),
    )
    prompt = Text(metadata=about("How it is to be said; of google and openai."))
    volume = Integer(*INT32, checked=VOLUME, metadata=about("Steps of 3 dB."))
    provider = Text(choice=PROVIDER, metadata=about(f"{DEFAULT_PROVIDER} when empty."))
    api_key = Text(
        metadata=about("The account at the provider, of aws ACCESS:SECRET; that of the settings when empty.")
    )


class TtsStart(TypedDict):
    """A text that has been taken on."""

    tts_id: str
    status: Literal["playing"]


@for_leg_and_room(
    "leg_tts",
    "room_tts",
    Tts,
    rest=Rest("POST", "/tts", body=Body.REQUIRED),
    leg="Say a text to one leg, wherever it is; others in its room do not hear it.",
    room="Say a text to everybody in a room, whatever its routing.",
)
def tts(ctx: Context, owner: Owner, *, provider: str, volume: int, **told: str) -> TtsStart:
    listener = find(ctx, owner)
    provider = provider or DEFAULT_PROVIDER
    PROVIDER.check(provider)
    speaker.account(ctx, provider, told["api_key"])
    for needed in ("text", "voice"):
        if not told[needed]:
            raise Invalid(f"{needed} is required")
    VOLUME.check(volume)
    if isinstance(listener, Leg) and listener.state == RINGING:
        raise Conflict("leg has no audio writer")
    if isinstance(listener, Room) and not listener.legs:
        raise Conflict("room has no participants")
    one = speaker.say(ctx, listener, provider=provider, volume=volume, **told)
    return {"tts_id": one.id, "status": "playing"}
