"""A caller for demonstrations: rings, and once answered talks and presses digits."""

from __future__ import annotations

import gevent

from .server import SandboxSwitch

AGAIN_AFTER_S = 60.0
STEP_S = 3.0


def demo_caller(switch: SandboxSwitch) -> gevent.Greenlet:
    """Have someone ring now, and again a minute after each call, until the switch stops."""
    return switch.timers.later(0, _ring_for_ever, switch)


def _ring_for_ever(switch: SandboxSwitch) -> None:
    while True:
        request = {"from": "+15550100", "to": "+15550199", "headers": {"X-App-ID": "demo"}}
        channel = switch.far_ends.call(request)
        if channel.scheduled is not None:
            channel.scheduled.kill(block=False)  # a demonstration may take its time
            channel.scheduled = None
        step = 0
        while channel.alive:
            gevent.sleep(STEP_S)
            if channel.answer_state == "answered":
                step += 1
                switch.conferences.set_talking(channel, step % 2 == 1)
                if step % 4 == 0:
                    switch.calls.dtmf(channel, str(step // 4 % 10))
        gevent.sleep(AGAIN_AFTER_S)
