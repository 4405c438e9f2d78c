"""Waiting for what no event announces."""

from __future__ import annotations

from collections.abc import Callable

import gevent


def eventually(condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Wait until a condition holds that no event announces."""
    with gevent.Timeout(timeout, AssertionError(f"not so within {timeout} s: {what}")):
        while not condition():
            gevent.sleep(0.01)
