"""What is to be done in a while is not done before, however long this process has stood still."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import pytest
from gevent import socket
from gevent.event import AsyncResult
from gevent.monkey import get_original

from vsi_esl.later import later
from vsi_esl.sandbox.timers import Timers as SandboxTimers
from vsi_esl.work import clock
from vsi_esl.work.timers import Timers

STILL_S = 0.4
IN_S = 0.2


@pytest.mark.parametrize(
    "begin",
    [
        lambda action: later(IN_S, action),
        lambda action: Timers().at("leg", "x", clock.now() + IN_S, action),
        lambda action: SandboxTimers().later(IN_S, action),
    ],
    ids=["later", "timers", "sandbox"],
)
def test_it_is_not_early_behind_a_stall(begin: Callable[[Callable[[], None]], object]):
    """In a greenlet that a socket has woken, as those are that read what the switch says."""
    ours, theirs = socket.socketpair()
    fired: AsyncResult[float] = AsyncResult()

    def read() -> float:
        ours.recv(1)
        get_original("time", "sleep")(STILL_S)  # as a machine does that has other things to do
        began = time.monotonic()
        begin(lambda: fired.set(time.monotonic()))
        return began

    with ours, theirs:
        reader = gevent.spawn(read)
        gevent.idle()
        theirs.send(b".")
        assert fired.get(timeout=20) - reader.get(timeout=20) >= IN_S
