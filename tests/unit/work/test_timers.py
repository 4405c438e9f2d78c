"""Timers that belong to something."""

from __future__ import annotations

import time

from gevent.event import Event as Signal

from vsi_esl.work.timers import Timers


def test_timers_replace_and_cancel():
    timers, fired, flag = Timers(), [], Signal()
    now = time.time()
    timers.at("leg", "x", now + 60, fired.append, "late")
    timers.at("leg", "x", now, fired.append, "now")
    timers.at("leg", "y", now + 60, fired.append, "never")
    timers.at("other", "z", now, flag.set)
    assert flag.wait(20)
    timers.cancel("leg")
    timers.cancel("nobody")
    assert fired == ["now"]
    assert timers._timers == {}
