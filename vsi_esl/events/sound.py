"""The VSI events of playback, recording, bridges and real-time text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from ..model.bridge import Bridge
from ..model.playback import Playback
from ..model.recording import Recording
from .types import Event, LegEvent

Direction = Annotated[
    Literal["bidirectional", "a_to_b", "b_to_a", "none"], "Which way audio goes: a is room_a_id, b room_b_id."
]


class Track(TypedDict):
    """One leg's channel of a multi-channel recording."""

    channel: int
    start_ms: int
    end_ms: int


@dataclass(slots=True, frozen=True, kw_only=True)
class OwnedEvent(Event):
    """About something that belongs to a leg or to a room."""

    leg_id: Annotated[str | None, "The leg, if it is one's."] = None
    room_id: Annotated[str | None, "The room, if it is one's."] = None


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
    channels: dict[str, Track] | None = None
    omitted_legs: list[str] | None = None
    error: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class BridgeEvent(Event):
    bridge_id: str
    room_a_id: str
    room_b_id: str

    @classmethod
    def of(cls, bridge: Bridge, app_id: str, **more: Any) -> BridgeEvent:
        """`app_id` is room A's, or that of the room whose deletion ends the bridge."""
        return cls(
            bridge_id=bridge.id,
            room_a_id=bridge.room_a,
            room_b_id=bridge.room_b,
            app_id=app_id or None,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomBridged(BridgeEvent):
    """Two rooms are connected."""

    type = "room.bridged"
    direction: Direction


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomBridgeUpdated(BridgeEvent):
    """The bridge has another direction."""

    type = "room.bridge_updated"
    direction: Direction


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomUnbridged(BridgeEvent):
    """The bridge is gone."""

    type = "room.unbridged"
    reason: Annotated[Literal["room_deleted"] | None, "Absent when the bridge itself was deleted."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class RttReceived(LegEvent):
    """Real-time text of the peer; `seq` counts from 1 per leg."""

    type = "rtt.received"
    text: Annotated[str, "A line, with its line end."]
    seq: int
    loss_marker: Annotated[bool | None, "Whether text was lost before it; never sent by this server."] = None
