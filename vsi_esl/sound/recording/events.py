"""The VSI events of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...events.base import OwnedEvent
from ...model.recording import ChannelInfo, Recording


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingEvent(OwnedEvent):
    file: str = ""

    @classmethod
    def of(cls, recording: Recording, **more: Any) -> RecordingEvent:
        return cls(
            leg_id=recording.leg_id or None,
            room_id=recording.room_id or None,
            app_id=recording.app_id or None,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingStarted(RecordingEvent):
    """Recording has begun; `file` is the local path that it will have."""

    type = "recording.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingPaused(RecordingEvent):
    """Silence is recorded from now on; `file` is always empty."""

    type = "recording.paused"


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingResumed(RecordingEvent):
    """The pause is over; `file` is always empty."""

    type = "recording.resumed"


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingFinished(RecordingEvent):
    """`file` is where the recording is now: a local path, s3://bucket/key, or empty when there is none.

    `error` is ours: present when less was recorded than there was to record.
    """

    type = "recording.finished"
    multi_channel_file: str | None = None
    channels: dict[str, ChannelInfo] | None = None
    omitted_legs: list[str] | None = None
    error: str | None = None
