"""One playback: a file or tone that a leg or a room hears."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import Any

from .channel import DEFAULT_NODE
from .owner import Owner, of_leg, of_room

COMPLETED = "completed"
STOPPED = "stopped"

DECIBELS_PER_STEP = 3


def playback_id() -> str:
    """A new id, also the name of the playback's own conference if it gets one."""
    return f"pb-{secrets.token_hex(4)}"


@dataclass(slots=True)
class Playback:
    """Belongs to a leg or to a room. Times in Unix seconds by `clock`, volume in VSI's steps of 3 dB."""

    id: str
    app_id: str = ""
    leg_id: str = ""
    room_id: str = ""
    volume: int = 0
    path: str = ""
    """The file the switch plays; empty while it is being fetched."""
    file_ms: int = 0
    loop: bool = False
    """The switch repeats the file."""
    total_ms: int | None = None
    """How long it plays; None until it is stopped."""
    conference: str = ""
    """Where the switch plays it. Empty before, and while the leg is between two conferences."""
    bot: bool = False
    """It has a conference of its own, whose sound a pair of internal channels brings to the listeners."""
    channel: str = ""
    """The end of that pair in the playback's own conference."""
    played_before_ms: float = 0.0
    """How much was heard before `playing_since`."""
    playing_since: float = 0.0
    late_ms: float = 0.0
    """How much more than by the clock may have been heard: so long it took, all in all, until it was known
    that it plays."""
    announced: bool = False
    ended: bool = False
    over: str = ""
    """It ended before its start was reported; why."""
    node: str = DEFAULT_NODE
    """The switch that plays it: that of its leg or room."""

    @property
    def owner(self) -> Owner:
        return of_leg(self.leg_id) if self.leg_id else of_room(self.room_id)

    @property
    def decibels(self) -> int:
        return self.volume * DECIBELS_PER_STEP

    def played_ms(self, now: float) -> int:
        """How much has been heard, by the clock."""
        played = self.played_before_ms
        if self.playing_since:
            played += max(0.0, now - self.playing_since) * 1000
        if self.total_ms is not None:
            played = min(played, self.total_ms)
        return round(played)

    def begin(self, asked: float, now: float) -> None:
        """The switch has said that it plays it; it was asked for that at `asked`."""
        self.playing_since = now
        self.late_ms += max(0.0, now - asked) * 1000

    def suspend(self, now: float) -> None:
        """The switch does not play it any more; it will be continued elsewhere."""
        self.played_before_ms = float(self.played_ms(now))
        self.playing_since = 0.0
        self.conference = ""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Playback:
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})
