"""What is done in a while, and how long is waited for something: never too early.

`gevent.spawn_later` counts from the loop's last turn (libev's `ev_now`), not from now: behind work that took
half a second it comes half a second too early. `gevent.sleep` and `gevent.Timeout` look at the clock first,
and so does this.

And a process that has stood still (an overloaded machine, a paused virtual one) finds its timers due and its
sockets full at once. The loop has timers go first, and what a socket brings takes a turn or two to those who
wait for it: an answer that came in time would be too late, since nobody was there to read it. So before
somebody is told that it is too late, what is there already is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult

LOWEST = -2
"""Priority, of those that libev has: whatever else there is to do goes first."""
READ_BY_S = 1.0
"""A loop that always has something to do has read by then what there was."""


def later(seconds: float, action: Callable[..., Any], *args: Any) -> gevent.Greenlet:
    """Call `action(*args)` in so many seconds, never before, and when all is read that has come by then; kill
    what is returned to prevent it."""
    return punctually(seconds, _when_all_is_read, action, args)


def punctually(seconds: float, action: Callable[..., Any], *args: Any) -> gevent.Greenlet:
    """Like `later`, whatever there is to read: for what no message of others can make needless."""
    gevent.get_hub().loop.update_now()
    return gevent.spawn_later(seconds, action, *args)  # noqa: TID251 (the one place)


def _when_all_is_read(action: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _read_all()
    action(*args)


def _read_all() -> None:
    with gevent.Timeout(READ_BY_S, False):
        gevent.idle(LOWEST)


def pause(seconds: float) -> None:
    """Wait so long, and until all is read that has come by then."""
    gevent.sleep(seconds)
    _read_all()


def heard(result: AsyncResult[Any], seconds: float) -> Any:
    """What a result is, waited for so long at most: None when it has failed, or is not there by then."""
    with Within(seconds, False):
        return result.wait()
    return None


class Within(gevent.Timeout):
    """`gevent.Timeout` that ends a wait only when all is read that has come by then."""

    timer: Any
    _enough: Any = None

    def _on_expiration(self, prev_greenlet: Any, ex: Any) -> None:
        loop = gevent.get_hub().loop
        self.timer.close()
        self.timer = loop.idle(priority=LOWEST)
        self._enough = loop.timer(READ_BY_S)
        for watcher in (self.timer, self._enough):
            watcher.start(self._over, prev_greenlet, ex)

    def _over(self, greenlet: Any, error: Any) -> None:
        self.cancel()
        greenlet.throw(error)

    def cancel(self) -> None:
        """Not to be started again."""
        self.close()

    def close(self) -> None:
        enough, self._enough = self._enough, None
        if enough is not None:
            enough.stop()
            enough.close()
        super().close()
