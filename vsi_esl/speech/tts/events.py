"""The VSI events of text to speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ...events.base import OwnedEvent
from ...providers.categories import CATEGORIES
from .utterances import PLAYBACK, Utterance


@dataclass(slots=True, frozen=True, kw_only=True)
class TtsEvent(OwnedEvent):
    tts_id: str

    @classmethod
    def of(cls, utterance: Utterance, **more: Any) -> TtsEvent:
        return cls(
            leg_id=utterance.leg_id or None,
            room_id=utterance.room_id or None,
            app_id=utterance.app_id or None,
            tts_id=utterance.id,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class TtsStarted(TtsEvent):
    """The speech begins: at most once, and never after the end."""

    type = "tts.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class TtsFinished(TtsEvent):
    """Terminal, once."""

    type = "tts.finished"
    reason: Annotated[Literal["completed", "stopped"], "Whether all was heard."]
    played_ms: Annotated[
        int, "How much was heard in ms; 0 when it never began, or the service was restarted."
    ]


@dataclass(slots=True, frozen=True, kw_only=True)
class TtsError(TtsEvent):
    """Terminal instead of tts.finished."""

    type = "tts.error"
    error: str
    category: Annotated[str, "What kind of failure.", {"enum": [*CATEGORIES, PLAYBACK]}]
