"""Transcribing a leg, or all legs of a room."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict, cast

from ...calls.context import Context
from ...commands.twins import find, for_leg_and_room
from ...errors import Conflict
from ...live.keys import for_provider
from ...model.leg import Leg
from ...model.owner import Owner
from ...protocol.limits import Choice
from ...protocol.registry import Body, Rest
from ...protocol.replies import Status
from ...protocol.schemas import Boolean, Payload, Text, TextList, about
from ...providers import STT, names
from . import transcribing
from .transcribing import Transcription, transcribable

DEFAULT_PROVIDER = "elevenlabs"
PROVIDER = Choice("provider", names(STT))


class SttStart(Payload):
    provider = Text(choice=PROVIDER, metadata=about(f"{DEFAULT_PROVIDER} when empty."))
    language = Text(limit=64, metadata=about("As the provider calls it; en or en-US when empty."))
    partial = Boolean(  # type: ignore[assignment]  # a name that marshmallow has for something else
        default=False, metadata=about("Guesses as well, while somebody speaks.")
    )
    model = Text(limit=256, metadata=about("The provider's; made up when empty."))
    keyterms = TextList(limit=100, metadata=about("Words to expect, where the provider takes them."))
    api_key = Text(metadata=about("The account at the provider; that of the settings when empty."))


class SttStarted(TypedDict):
    """A leg's transcription that has been begun."""

    status: Literal["stt_started"]
    leg_id: str


class RoomSttStarted(TypedDict):
    """A room's."""

    status: Literal["stt_started"]
    room_id: str
    leg_ids: Annotated[list[str], "The legs in it."]


@for_leg_and_room(
    "leg_stt_start",
    "room_stt_start",
    SttStart,
    rest=Rest("POST", "/stt", body=Body.OPTIONAL),
    leg="Transcribe what a leg says, also while it is muted.",
    room="Transcribe every leg in a room by itself, those that join later too.",
    room_reply=RoomSttStarted,
)
def stt_start(ctx: Context, owner: Owner, *, provider: str, api_key: str, **told: Any) -> SttStarted:
    provider = provider or DEFAULT_PROVIDER
    PROVIDER.check(provider)
    for_provider(ctx, "stt", provider, api_key)
    one = find(ctx, owner)
    if isinstance(one, Leg):
        if not transcribable(one):
            raise Conflict("leg not connected")
        legs = [one]
    else:
        legs = list(one.legs.values())
        if not legs:
            raise Conflict("room has no participants")
    transcribing.start(ctx, Transcription(owner, provider, one.node, api_key=api_key, **told), legs)
    if isinstance(one, Leg):
        return {"status": "stt_started", "leg_id": one.id}
    started: RoomSttStarted = {
        "status": "stt_started",
        "room_id": one.id,
        "leg_ids": [leg.id for leg in legs],
    }
    return cast("SttStarted", started)


@for_leg_and_room(
    "leg_stt_stop",
    "room_stt_stop",
    rest=Rest("DELETE", "/stt"),
    leg="End the transcription of a leg. Text that is on its way may come up to 2 s later.",
    room="End the transcription of a room. Text that is on its way may come up to 2 s later.",
)
def stt_stop(ctx: Context, owner: Owner) -> Status[Literal["stt_stopped"]]:
    transcribing.stop(ctx, owner)
    return {"status": "stt_stopped"}
