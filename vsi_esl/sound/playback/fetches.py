"""The playbacks whose audio is being prepared."""

from __future__ import annotations

from gevent.pool import Pool

MAX_PREPARING = 64
"""More are refused. Of these the spool fetches some at a time."""


class Fetches(Pool):
    """A greenlet for each."""

    def __init__(self) -> None:
        super().__init__(MAX_PREPARING)
