"""The VSI events of playback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ...events.base import OwnedEvent
from ...model.playback import Playback


@dataclass(slots=True, frozen=True, kw_only=True)
class PlaybackEvent(OwnedEvent):
    playback_id: str

    @classmethod
    def of(cls, playback: Playback, **more: Any) -> PlaybackEvent:
        return cls(
            leg_id=playback.leg_id or None,
            room_id=playback.room_id or None,
            app_id=playback.app_id or None,
            playback_id=playback.id,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class PlaybackStarted(PlaybackEvent):
    """The audio begins: at most once, and never after the end."""

    type = "playback.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class PlaybackFinished(PlaybackEvent):
    """Terminal, once."""

    type = "playback.finished"
    reason: Annotated[Literal["completed", "stopped"], "Whether all was heard."]
    played_ms: Annotated[int, "How much was heard in ms; 0 when it never began."]


@dataclass(slots=True, frozen=True, kw_only=True)
class PlaybackError(PlaybackEvent):
    """Terminal instead of playback.finished."""

    type = "playback.error"
    error: str
