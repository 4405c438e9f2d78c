"""Audio of a WebSocket that waits and is not needed: it becomes less, and nobody hears how."""

from __future__ import annotations

import numpy as np
import pytest

from vsi_esl.media.surplus import KEPT_MS, Surplus, is_silent

RATE = 16000
FRAME_MS = 20
QUIET = bytes(RATE * FRAME_MS // 1000 * 2)


class Line:
    """A peer that sends a message every so many ms, and a voice that says a frame each 20 ms of its clock."""

    def __init__(self, each_ms: int = FRAME_MS, rate: int = RATE) -> None:
        self.now, self.each_ms, self.rate = 1000.0, each_ms, rate
        self.surplus = Surplus(rate, lambda: self.now)
        self.waiting_ms = 0.0
        self.said = b""
        self.sent_ms = 0
        self.sound_cuts: list[float] = []
        self.silence_ms = 0.0

    def message(self, quiet: bool) -> bytes:
        count = self.rate * self.each_ms // 1000
        at = np.arange(count) + self.sent_ms * self.rate // 1000
        self.sent_ms += self.each_ms
        tone = 8000 * np.sin(2 * np.pi * 437 * at / self.rate)
        return bytes(2 * count) if quiet else tone.astype("<i2").tobytes()

    def come(self, quiet: bool = False) -> None:
        """A message comes now."""
        rest = self.surplus.trim(self.message(quiet), self.waiting_ms)
        self.waiting_ms += len(rest) * 500 / self.rate
        self.said += rest
        if self.surplus.sound_ms:
            self.sound_cuts.append(self.now)
        self.silence_ms += self.surplus.silence_ms

    def wait(self, ms: float) -> None:
        self.now += ms / 1000
        self.waiting_ms = max(0.0, self.waiting_ms - ms)

    def go_on(self, seconds: float, quiet: bool = False) -> None:
        for _ in range(round(seconds * 1000 / self.each_ms)):
            self.come(quiet)
            self.wait(self.each_ms)

    def stall(self, ms: int = 100) -> None:
        """Nothing comes for a while, and then all of it; the voice had said what it had."""
        self.wait(ms)
        for _ in range(ms // self.each_ms):
            self.come()

    @property
    def all_said(self) -> np.ndarray:
        return np.frombuffer(self.said, "<i2").astype(np.int32)


def test_a_backlog_becomes_less_while_the_peer_speaks_a_frame_a_second():
    line = Line()
    line.go_on(3)
    line.stall()
    assert line.waiting_ms == 100
    line.go_on(10)
    assert line.waiting_ms <= KEPT_MS + FRAME_MS and len(line.sound_cuts) in (3, 4)
    assert min(np.diff(line.sound_cuts)) >= 0.99
    before = line.waiting_ms
    line.go_on(10)
    assert line.waiting_ms == before, "what is left is left alone"


def test_in_a_pause_it_goes_at_once():
    line = Line()
    line.go_on(1)
    line.stall()
    line.go_on(2.1)
    line.go_on(0.3, quiet=True)
    assert line.waiting_ms <= KEPT_MS + FRAME_MS
    line.go_on(5)
    assert line.sound_cuts == [] and line.silence_ms == 80


@pytest.mark.parametrize("each_ms", [10, 20, 60, 100])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_cut_is_no_click(each_ms, rate):
    line = Line(each_ms, rate)
    line.go_on(1.2)
    line.stall(300)
    line.go_on(3.6)
    assert line.sound_cuts
    steepest = 8000 * 2 * np.pi * 437 / rate
    blend = 16000 / (rate * 0.005)  # from one side of the cut to the other, in 5 ms
    assert np.abs(np.diff(line.all_said)).max() <= steepest + blend + 2
    lost_ms = line.sent_ms - len(line.said) * 500 / rate
    assert lost_ms == min(each_ms, FRAME_MS) * len(line.sound_cuts)


@pytest.mark.parametrize("each_ms", [10, 20, 60, 100, 400])
def test_a_line_that_is_well_loses_nothing(each_ms):
    line = Line(each_ms)
    for quiet in (False, True, False):
        line.go_on(20, quiet)
    assert len(line.said) == line.sent_ms * RATE // 1000 * 2


def test_an_uneven_line_loses_nothing():
    """Each second it uses up what waits."""
    line = Line()
    for number in range(300):
        line.wait(35 if number % 2 else 5)
        line.come()
        if number % 45 == 44:
            line.stall(120)
            line.wait(120)
    assert len(line.said) == line.sent_ms * RATE // 1000 * 2


def test_who_sends_ahead_and_then_nothing_loses_nothing():
    """A program that says a sentence as soon as it has it."""
    line = Line()
    for _ in range(10):
        for _ in range(40):
            line.come()
        line.wait(900)
    assert len(line.said) == line.sent_ms * RATE // 1000 * 2


def test_what_is_silent():
    assert is_silent(QUIET) and is_silent(b"") and is_silent(b"\x63\x00\x9d\xff")
    assert not is_silent(b"\x64\x00")
