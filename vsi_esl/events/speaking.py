"""The VSI events of who speaks."""

from __future__ import annotations

from dataclasses import dataclass

from .base import LegRoomEvent


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStarted(LegRoomEvent):
    """It began to talk; only with speech detection on."""

    type = "speaking.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStopped(LegRoomEvent):
    """It has been silent for a while, was muted, moved, or ended."""

    type = "speaking.stopped"
