"""A caller for demonstrations: rings, and once answered speaks, listens and presses digits."""

from __future__ import annotations

from itertools import cycle

import gevent

from . import speech
from .samples import tone
from .server import SandboxSwitch

AGAIN_AFTER_S = 60.0
STEP_S = 3.0
SENTENCES = (
    "good morning how are you today",
    "one two three four five",
    "what time is it now",
    "the weather is very nice today",
)
"""Spoken by a program of this machine, and such that a simple recogniser has them right. Without one it says
a tone."""
TONE_HZ = 440


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
        step, sentences = 0, cycle(SENTENCES)
        while channel.alive:
            gevent.sleep(STEP_S)
            if channel.answer_state == "answered":
                step += 1
                speaks = step % 2 == 1
                voice = (speech.words(next(sentences)) or tone(TONE_HZ)) if speaks else None
                switch.far_ends.say(channel, voice)
                if step % 4 == 0:
                    switch.calls.dtmf(channel, str(step // 4 % 10))
        gevent.sleep(AGAIN_AFTER_S)
