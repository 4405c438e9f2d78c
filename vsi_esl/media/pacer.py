"""What a session says, sent at the pace at which it is heard.

The switch's queue is short (three frames on an internal channel): what comes in a burst is lost, and so one
frame of 20 ms is sent every 20 ms, `lead` ahead of the clock. Nothing is sent while nothing is said: a
channel that gets nothing is silent.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from .figures import Figures
from .messages import Mouth
from .metronome import EARLY_S, Metronome
from .pcm import Resampler, bytes_of_frame, louder
from .tasks import FRAME_MS

FRAME_S = FRAME_MS / 1000
LATE_S = 0.02
REST_S = 0.04
"""How long after the end of what was sent the last, incomplete frame is: until then the rest of it may come,
unless somebody waits for the end."""
SLICE_MS = 100
"""How much is resampled at once: what is dropped later need not have been."""


class Pacer:
    """`tasks.Voice`. Nothing is sent before `connect`."""

    def __init__(
        self, mouth: Mouth, metronome: Metronome, figures: Figures, first: Callable[[], None]
    ) -> None:
        self._rate = mouth.rate
        self._bytes = bytes_of_frame(mouth.rate)
        self._lead_s = max(mouth.lead_ms, FRAME_MS) / 1000
        self._longest_ms = mouth.longest_s * 1000
        self._metronome = metronome
        self._figures = figures
        self._first: Callable[[], None] | None = first
        self._send: Callable[[bytes], None] | None = None
        self._gain = 1.0
        self._closed = False

        self._pieces: deque[tuple[memoryview, int]] = deque()
        """Audio as it was appended, with its rate."""
        self._waiting_ms = 0.0
        """Of the pieces."""
        self._odd = b""
        self._resampler: Resampler | None = None
        self._resampled = 0
        """The rate that the resampler takes."""
        self._ready = bytearray()
        """Audio at the mouth's rate."""

        self._speaking = False
        self._dry = False
        """Whether a frame was due and there was none."""
        self._due = 0.0
        """When the next frame is to be sent."""
        self._sent_bytes = 0
        self._spoken: list[asyncio.Future[None]] = []
        self._roomy: list[asyncio.Future[None]] = []

    # -- the task ------------------------------------------------------------------------------------------

    def say(self, pcm: bytes, rate: int) -> None:
        if self._closed:
            return
        if self._odd:
            pcm, self._odd = self._odd + pcm, b""
        if len(pcm) & 1:
            pcm, self._odd = pcm[:-1], pcm[-1:]
        fits = max(0, int((self._longest_ms - self._waiting_ms) * rate / 1000) * 2)
        if (beyond := len(pcm) - fits) > 0:
            pcm = pcm[:fits]
            self._figures.count("overruns", math.ceil(beyond / bytes_of_frame(rate)))
        if not pcm:
            return
        self._pieces.append((memoryview(pcm), rate))
        self._waiting_ms += len(pcm) * 500 / rate
        if not self._speaking:
            self._begin()
        elif self._dry:
            self._send_due(self._metronome.clock())

    def hush(self) -> None:
        if self._speaking:
            self._figures.worst("flush_ms", max(0.0, self._heard_at - self._metronome.clock()) * 1000)
        self._figures.count("flushes")
        self._drop()

    def set_gain(self, factor: float) -> None:
        self._gain = factor

    async def room(self) -> None:
        while self._waiting_ms >= self._longest_ms / 2:
            await self._wait(self._roomy)

    async def said(self) -> None:
        while self._speaking or self._pieces:
            await self._wait(self._spoken)

    @property
    def waiting_ms(self) -> float:
        return self._waiting_ms + len(self._ready) * 500 / self._rate

    @property
    def said_ms(self) -> int:
        return self._sent_bytes * 500 // self._rate

    # -- the session ---------------------------------------------------------------------------------------

    def connect(self, send: Callable[[bytes], None]) -> None:
        """From now on frames can be sent."""
        self._send = send
        if self._pieces:
            self._begin()

    def change(self, rate: int) -> None:
        """From now on frames are of this rate, and nothing is sent before the next `connect`."""
        self._send = None
        self._flush()
        self._ready.clear()
        self._sent_bytes = self._sent_bytes * rate // self._rate
        self._rate, self._bytes = rate, bytes_of_frame(rate)

    def close(self) -> None:
        """Send nothing more. Who waits for what was to be said waits no longer."""
        self._closed = True
        self._send = None
        self._drop()
        self._stop()
        self._metronome.leave(self)

    # -- pace ----------------------------------------------------------------------------------------------

    def beat(self, now: float) -> bool:
        """Send what is due (`metronome.Paced`)."""
        if not self._speaking:
            return False
        self._send_due(now)
        if self._dry and now + EARLY_S >= self._heard_at + (-FRAME_S if self._spoken else REST_S):
            self._pad()
            self._send_due(now)
            if self._dry and now + EARLY_S >= self._heard_at:
                self._stop()
        return self._speaking

    @property
    def _heard_at(self) -> float:
        """When all that was sent has been heard."""
        return self._due + self._lead_s - FRAME_S

    def _begin(self) -> None:
        if self._send is None:
            return
        now = self._metronome.clock()
        self._due = now - self._lead_s + FRAME_S
        self._speaking = self._dry = True
        self._metronome.join(self, now)
        self._send_due(now)

    def _stop(self) -> None:
        self._speaking = False
        _wake(self._spoken)

    def _send_due(self, now: float) -> None:
        behind = 0.0 if self._dry else now - self._due
        while self._due <= now + EARLY_S:
            frame = self._take()
            self._dry = not frame
            if not frame or self._send is None:
                return
            if behind > LATE_S:
                self._figures.count("late_frames", math.ceil((behind - LATE_S) / FRAME_S))
                behind = 0.0
            # after a stall longer than the lead there was a gap, and what is heard is later from then on
            self._due = max(self._due, now - self._lead_s + FRAME_S)
            if self._first is not None:
                self._first()
                self._first = None
            self._figures.frames_out += 1
            self._send(frame if self._gain == 1.0 else louder(frame, self._gain))
            self._sent_bytes += self._bytes
            self._due += FRAME_S

    # -- audio ---------------------------------------------------------------------------------------------

    def _take(self) -> bytes:
        """The next frame; none when there is not a whole one."""
        if not self._ready and self._pieces:
            piece, rate = self._pieces[0]
            if rate == self._resampled == self._rate and len(piece) == self._bytes:
                # as a task has it that says what it hears
                self._pieces.popleft()
                self._taken(len(piece), rate)
                return bytes(piece)
        while len(self._ready) < self._bytes and self._pieces:
            self._fill()
        if len(self._ready) < self._bytes:
            return b""
        frame = bytes(self._ready[: self._bytes])
        del self._ready[: self._bytes]
        return frame

    def _fill(self) -> None:
        """Move some of the first piece into what is ready."""
        piece, rate = self._pieces.popleft()
        most = rate * SLICE_MS // 1000 * 2
        if len(piece) > most:
            self._pieces.appendleft((piece[most:], rate))
            piece = piece[:most]
        self._taken(len(piece), rate)
        if rate != self._resampled:
            self._flush()
            self._resampled = rate
            self._resampler = None if rate == self._rate else Resampler(rate, self._rate)
        self._ready += piece if self._resampler is None else self._resampler.feed(piece)

    def _taken(self, count: int, rate: int) -> None:
        self._waiting_ms -= count * 500 / rate
        if self._roomy and self._waiting_ms < self._longest_ms / 2:
            _wake(self._roomy)

    def _flush(self) -> None:
        """Have out what the resampler keeps back."""
        if self._resampler is not None:
            self._ready += self._resampler.rest()
        self._resampler = None
        self._resampled = 0

    def _pad(self) -> None:
        """Fill the last frame with silence."""
        self._flush()
        if missing := -len(self._ready) % self._bytes:
            self._ready += bytes(missing)
            self._sent_bytes -= missing

    def _drop(self) -> None:
        self._pieces.clear()
        self._ready.clear()
        self._waiting_ms = 0.0
        self._odd = b""
        self._resampler = None
        self._resampled = 0
        _wake(self._roomy)

    @staticmethod
    async def _wait(waiting: list[asyncio.Future[None]]) -> None:
        one = asyncio.get_running_loop().create_future()
        waiting.append(one)
        try:
            await one
        finally:
            if one in waiting:
                waiting.remove(one)


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)
    waiting.clear()
