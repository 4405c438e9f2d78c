"""Work that lasts as long as the process: an error that nobody foresaw must not end it silently.

A greenlet that fails is gone, and what it was there for is not done any more: nothing is written, no switch
looked for, systemd told nothing. That is logged once, and seen by nobody. So whatever runs for good is begun
by `keep`, and begun anew when it fails; `tests/unit/test_loops.py` finds loops that are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import structlog

log = structlog.get_logger(__name__)

PAUSE_S = 1.0
"""Before work that has failed is begun anew; doubled each time that it fails soon again."""
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""What has run for so long did not fail soon."""


def keep(work: Callable[..., None], *args: Any, again: Callable[[], object] | None = None) -> gevent.Greenlet:
    """A greenlet that does `work(*args)` until that returns, or it is killed.

    An error is logged with its traceback, and counted (`voiceblender_recovered_panics_total`). The work is
    begun anew after a pause, and after `again`, which is to have it look at what it was in the middle of.
    """
    return gevent.spawn(_on_and_on, work, args, again)


def _on_and_on(work: Callable[..., None], args: tuple[Any, ...], again: Callable[[], object] | None) -> None:
    pause = 0.0
    while True:
        began = time.monotonic()
        try:
            work(*args)
            return
        except (Exception, gevent.Timeout):
            log.exception("lasting work failed; it is begun anew", work=work.__qualname__)
        soon = time.monotonic() - began < STEADY_S
        pause = min(LONGEST_PAUSE_S, pause * 2) if soon and pause else PAUSE_S
        gevent.sleep(pause)
        if again is not None:
            again()
