"""One recording: of a leg, or of a room's mix and perhaps each of its participants."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from .channel import DEFAULT_NODE
from .owner import Owner, of_leg, of_room

ARMED = "armed"
"""Asked for, and waiting for the leg to have media."""
RUNNING = "running"
CLOSING = "closing"
"""The switch writes no more; the file is to be published, perhaps uploaded, and reported."""
REPORTED = "reported"
"""recording.finished named the local file; the upload goes on."""
UNPUBLISHED = "unpublished"
"""recording.finished said that a file could not be published; it is tried again."""
ABANDONED = "abandoned"
"""Its start failed, which was answered; what the switch may have begun is to be undone."""


def file_name(now: float, kind: str = "") -> str:
    """`YYYYMMDD_HHMMSS_xxxxxxxx.wav` in local time; `kind` stands before the random part."""
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    return f"{stamp}_{kind}{secrets.token_hex(4)}.wav"


def recording_of(part: str) -> str:
    """The id of the recording whose `part_of` gave this path; of another path something that is no id."""
    return os.path.basename(part)[1:].rpartition("-")[0]


class ChannelInfo(TypedDict):
    """One leg's channel of a multi-channel recording."""

    channel: int
    start_ms: int
    end_ms: int


@dataclass(slots=True)
class Track:
    """What one participant said, in a file of its own. Times in ms from the start of the recording."""

    leg_id: str
    channel: int
    path: str
    start_ms: int
    end_ms: int = -1
    """-1 while it is running."""
    joined_ms: int = -1
    """What clients are told of its start: 0 for legs that were there from the start; -1 for `start_ms`, which
    is when the switch began to write."""
    held: list[list[int]] = field(default_factory=list)
    """As `Recording.held`."""
    member: str = ""
    """The channel that is recorded, where it is not the leg's own: that of its member on the room's switch,
    which is never on hold."""

    @property
    def recorded(self) -> str:
        """The channel that is recorded."""
        return self.member or self.leg_id

    @property
    def joined(self) -> int:
        return self.start_ms if self.joined_ms < 0 else self.joined_ms


@dataclass(slots=True)
class Part:
    """A stretch of a recording: from `start_ms` until the next part begins, though it may go on longer.

    Of the file, the first `skip_ms` are not used.
    """

    path: str
    start_ms: int = 0
    skip_ms: int = 0


@dataclass(slots=True)
class Recording:
    """`file` is the name under which it is published; the switch writes to its parts, one after the other."""

    id: str
    file: str
    rate: int
    app_id: str = ""
    leg_id: str = ""
    room_id: str = ""
    state: str = ARMED
    beginning: bool = False
    """Clients have not been told yet that it has started."""
    paused: bool = False
    started_at: float = 0.0
    """When the first sample was recorded, Unix seconds by `clock`; 0 when there is none."""
    stopped_at: float = 0.0
    multi_file: str = ""
    """Where the tracks are merged to; empty unless the recording is multi-channel."""
    multi_part: str = ""
    parts: list[Part] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    held: list[list[int]] = field(default_factory=list)
    """When the leg was on hold, from and to in ms from the start; to is -1 while it is. The switch writes
    nothing then."""
    opened: list[tuple[str, str]] = field(default_factory=list)
    """(channel, file) of all that the switch was asked to write, whatever its answer was."""
    recorder: str = ""
    """The internal channel that listens to the room."""
    s3: dict[str, Any] | None = None
    """Where the files are uploaded to; None to keep them here."""
    published: bool = False
    omitted: list[str] = field(default_factory=list)
    """Legs whose track could not be merged."""
    error: str = ""
    unpublished: list[str] = field(default_factory=list)
    """Final names under which there is no file yet, because it could not be published."""
    locations: dict[str, str] = field(default_factory=dict)
    """Published file -> where it was uploaded to."""
    node: str = DEFAULT_NODE
    """The switch that records: that of its leg or room."""

    @property
    def part(self) -> str:
        """The file that is being written to."""
        return self.parts[-1].path

    @property
    def owner(self) -> Owner:
        return of_leg(self.leg_id) if self.leg_id else of_room(self.room_id)

    @property
    def running(self) -> bool:
        return self.state in (ARMED, RUNNING)

    def open(self, channel: str, path: str) -> str:
        """Note a file before the switch is asked to write it. Returns the path."""
        self.opened.append((channel, path))
        return path

    def elapsed_ms(self, now: float) -> int:
        return max(0, round((now - self.started_at) * 1000)) if self.started_at else 0

    def track_of(self, leg_id: str) -> Track | None:
        """The running track of a leg."""
        return next((one for one in self.tracks if one.leg_id == leg_id and one.end_ms < 0), None)

    def channel_of(self, leg_id: str) -> int:
        """The leg's channel: the one it had, or the next free one."""
        for track in self.tracks:
            if track.leg_id == leg_id:
                return track.channel
        return max((track.channel for track in self.tracks), default=-1) + 1

    def channels(self) -> dict[str, ChannelInfo]:
        """By leg id: from its first join to its last leave."""
        found: dict[str, ChannelInfo] = {}
        for track in self.tracks:
            info = found.setdefault(
                track.leg_id, {"channel": track.channel, "start_ms": track.joined, "end_ms": 0}
            )
            info["end_ms"] = max(info["end_ms"], track.end_ms)
        return found

    def files(self) -> list[str]:
        """What was published."""
        return [path for path in (self.file, self.multi_file) if path and path not in self.unpublished]

    def shown(self, path: str) -> str:
        """Where a published file is: in the bucket if it was uploaded, else here. Empty when it is not."""
        return "" if path in self.unpublished else self.locations.get(path, path)

    def part_of(self, name: str) -> str:
        """A hidden file beside the final one, for the switch to write to. Made of our own characters."""
        return os.path.join(os.path.dirname(self.file), f".{self.id}-{name}.wav")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recording:
        known = {one.name for one in fields(cls)}
        kept = {key: value for key, value in data.items() if key in known}
        kept["parts"] = [Part(**part) for part in kept.get("parts", [])]
        kept["tracks"] = [Track(**track) for track in kept.get("tracks", [])]
        kept["opened"] = [(channel, path) for channel, path in kept.get("opened", [])]
        return cls(**kept)
