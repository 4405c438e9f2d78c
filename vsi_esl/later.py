"""Something that is done in a while.

`gevent.spawn_later` counts from the loop's last turn (libev's `ev_now`), not from now: behind work that took
half a second it comes half a second too early. `gevent.sleep` and `gevent.Timeout` look at the clock first,
and so does this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent


def later(seconds: float, action: Callable[..., Any], *args: Any) -> gevent.Greenlet:
    """Call `action(*args)` in so many seconds, never before; kill what is returned to prevent it."""
    gevent.get_hub().loop.update_now()
    return gevent.spawn_later(seconds, action, *args)  # noqa: TID251 (the one place)
