"""This process standing still, as on a machine that has other things to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket
from gevent.monkey import get_original

stand_still = get_original("time", "sleep")
"""For so many seconds, with all greenlets."""

STEPS = 200
"""Of whoever reads the message: as behind many others."""


def comes_while_still(seconds: float, read: Callable[[], Any]) -> None:
    """Stand still, and have a message come meanwhile: `read` is called in the greenlet that reads it, a few
    turns of the loop behind that."""
    ours, theirs = socket.socketpair()

    def reads() -> None:
        with ours:
            ours.recv(1)
        for step in range(1, STEPS):
            gevent.idle() if step % 64 == 0 else gevent.sleep(0)
        read()

    gevent.spawn(reads)
    gevent.idle()
    with theirs:
        theirs.send(b".")
    stand_still(seconds)
