"""The clock of live audio: one tick in 20 ms for all who listen, and none as long as nobody does."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import gevent

from .samples import FRAME_S, FRAMES_PER_SECOND, Samples, tick_now
from .sounds import Sounds

if TYPE_CHECKING:
    from .channels import Channel
    from .server import SandboxSwitch

MOST_BEHIND = FRAMES_PER_SECOND
"""Frames that are caught up on by who was kept from them; older ones are left out."""


class Listener(Protocol):
    """Somebody who needs every frame."""

    def prepare(self, behind: int) -> None:
        """Take in what this frame is made of. `behind` so many more are due."""

    def tick(self) -> None:
        """Take the frame."""


class Live:
    """All listeners of a switch."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self._listeners: dict[Listener, None] = {}
        self._clock: gevent.Greenlet | None = None
        self._last = 0
        """The frame that was passed last."""
        self.sounds = Sounds(switch)

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def add(self, listener: Listener) -> None:
        """From the next frame on."""
        self._listeners[listener] = None
        if self._clock is None:
            self._clock = gevent.spawn(self._run)

    def remove(self, listener: Listener) -> None:
        """No frame any more. May be repeated."""
        self._listeners.pop(listener, None)

    def owes(self, tick: int) -> bool:
        """Whether somebody is still to get this frame: on a machine that cannot keep up it is late."""
        return self._clock is not None and self._switch.moving.is_set() and self._last < tick

    def halt(self) -> None:
        """Nobody listens any more."""
        self._listeners.clear()
        if self._clock is not None:
            self._clock.kill(block=False)
            self._clock = None

    def _run(self) -> None:
        self._last = tick_now()
        while self._listeners:
            # the loop's own time is that of its last turn
            gevent.get_hub().loop.update_now()
            gevent.sleep(max(0.0, (self._last + 1) * FRAME_S - time.monotonic()))
            if not self._switch.moving.is_set():
                self._switch.moving.wait()
                self._last = tick_now()
            now = tick_now()
            self._last = max(self._last, now - MOST_BEHIND)
            if self._last < now:
                # one at a time, so that others have their turn on a machine that cannot keep up
                self._last += 1
                self._pass(self._last, now - self._last)
        self._clock = None

    def _pass(self, tick: int, behind: int) -> None:
        self.sounds.begin(tick)
        listeners = list(self._listeners)
        for listener in listeners:
            listener.prepare(behind)
        for listener in listeners:
            if listener in self._listeners:
                listener.tick()


class Ear:
    """Keeps what the far end of a channel hears: its last frames, at `rate`. None is a frame that did not
    come."""

    def __init__(self, live: Live, channel: Channel, rate: int = 8000, frames: int | None = 50) -> None:
        self._live = live
        self._channel = channel
        self._rate = rate
        self.frames: deque[Samples | None] = deque(maxlen=frames)
        live.add(self)

    def close(self) -> None:
        """Listen no more."""
        self._live.remove(self)

    def prepare(self, behind: int) -> None:
        """There is nothing to prepare."""

    def tick(self) -> None:
        """Take the frame."""
        self.frames.append(self._live.sounds.heard(self._channel, self._rate))
