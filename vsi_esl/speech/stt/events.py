"""The VSI events of speech to text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ...events.base import LegEvent
from ...providers.categories import CATEGORIES


@dataclass(slots=True, frozen=True, kw_only=True)
class SttEvent(LegEvent):
    room_id: Annotated[str | None, "The room, when it is the room that is transcribed."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class SttText(SttEvent):
    """What a leg said."""

    type = "stt.text"
    text: Annotated[str, "Never empty."]
    is_final: Annotated[bool, "A guess, which a later text replaces, is not; only with `partial`."]


@dataclass(slots=True, frozen=True, kw_only=True)
class SttError(SttEvent):
    """The transcription of a leg ended, and not because somebody asked for it."""

    type = "stt.error"
    error: Annotated[str, "What went wrong, for people."]
    category: Annotated[str | None, {"enum": list(CATEGORIES)}] = None
