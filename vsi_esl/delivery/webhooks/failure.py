"""An attempt to deliver an event that failed, and how far it got."""

from __future__ import annotations

UNREACHED, SILENT, ANSWERED = "unreached", "silent", "answered"
"""No connection; a connection, but no whole answer; an answer, though not the one hoped for."""


class Undelivered(Exception):
    """An attempt failed. The message holds no URL and no secret; `stage` is how far it got."""

    def __init__(self, message: str, stage: str) -> None:
        super().__init__(message)
        self.stage = stage
