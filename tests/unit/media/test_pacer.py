"""What is said, and when: the clock and the loop are the test's."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.support.inasyncio import in_asyncio
from vsi_esl.media.figures import Figures
from vsi_esl.media.messages import Mouth
from vsi_esl.media.metronome import Metronome
from vsi_esl.media.pacer import Pacer

RATE = 16000
FRAME = 640
MS = 0.001


class Desk:
    """A pacer whose time passes when the test says so."""

    def __init__(self, rate: int = RATE, lead_ms: int = 60, longest_s: float = 60.0) -> None:
        self.now = 1000.0
        self.sent: list[tuple[float, bytes]] = []
        self.figures = Figures()
        self._timers: list[tuple[float, object]] = []
        self.metronome = Metronome(self, clock=lambda: self.now)
        mouth = Mouth(rate=rate, lead_ms=lead_ms, longest_s=longest_s)
        self.firsts: list[float] = []
        self.pacer = Pacer(mouth, self.metronome, self.figures, lambda: self.firsts.append(self.now))
        self.connect()

    def connect(self) -> None:
        self.pacer.connect(lambda frame: self.sent.append((self.now, frame)))

    def call_later(self, delay: float, callback: object) -> object:
        """The loop's, of which the metronome has one timer."""
        assert not self._timers
        self._timers.append((self.now + delay, callback))
        return object()

    def passes(self, ms: float) -> None:
        """Let time pass; timers come when they are due."""
        end = self.now + ms * MS
        while self._timers and self._timers[0][0] <= end + 1e-9:
            when, callback = self._timers.pop()
            self.now = max(self.now, when)
            callback()
        self.now = end

    def stalls(self, ms: float) -> None:
        """Let time pass in which the loop stands still."""
        self.now += ms * MS
        if self._timers and self._timers[0][0] <= self.now:
            self._timers.pop()[1]()

    @property
    def idle(self) -> bool:
        return not self._timers

    @property
    def pcm(self) -> bytes:
        return b"".join(frame for _, frame in self.sent)

    def times(self) -> list[int]:
        """Of the frames, in ms since the first."""
        return [round((at - self.sent[0][0]) / MS) for at, _ in self.sent]


def numbered(frames: int) -> bytes:
    """Frames that can be told apart."""
    return b"".join(bytes([number % 250 + 1]) * FRAME for number in range(frames))


def test_a_frame_every_20_ms_and_the_lead_at_once():
    desk = Desk()
    desk.pacer.say(numbered(8), RATE)
    assert desk.times() == [0, 0, 0]
    desk.passes(1000)
    assert desk.pcm == numbered(8)
    assert all(abs(time - 20 * max(0, at - 2)) <= 5 for at, time in enumerate(desk.times()))
    assert desk.firsts == [1000.0]
    assert desk.pacer.said_ms == 160
    assert desk.idle


@pytest.mark.parametrize("begun_ms", range(0, 20, 3))
def test_beats_are_hardly_early_and_never_a_beat_late(begun_ms: int):
    """The switch keeps three frames, and the lead fills them: what is early is lost there."""
    desk = Desk()
    desk.passes(begun_ms + 0.4)
    desk.pacer.say(numbered(20), RATE)
    desk.passes(1000)
    off = [(at - desk.sent[2][0]) / MS - 20 * number for number, (at, _) in enumerate(desk.sent[2:])]
    assert len(off) == 18
    assert min(off) >= -2.5
    assert max(off) <= 7.5


def test_nothing_is_sent_before_there_is_somebody():
    desk = Desk()
    desk.pacer._send = None
    desk.pacer.say(numbered(2), RATE)
    desk.passes(500)
    assert desk.sent == []
    desk.connect()
    assert desk.pcm == numbered(2)


def test_the_last_frame_is_filled_up_with_silence_when_nothing_more_comes():
    desk = Desk()
    desk.pacer.say(b"\1\2" * 400, RATE)
    desk.passes(50)
    assert len(desk.sent) == 1
    desk.passes(500)
    assert desk.pcm == b"\1\2" * 400 + bytes(2 * FRAME - 800)
    assert desk.pacer.said_ms == 25


def test_pieces_of_any_length_are_one_stream():
    desk = Desk()
    audio = numbered(10)
    for at in range(0, len(audio), 333):
        desk.pacer.say(audio[at : at + 333], RATE)
        desk.passes(4)
    desk.passes(500)
    assert desk.pcm == audio


def test_a_source_in_real_time_is_sent_as_it_comes():
    desk = Desk()
    late = [desk.now]
    for number in range(50):
        desk.pacer.say(bytes([number + 1]) * FRAME, RATE)
        late.append(desk.now)
        desk.passes(20)
    assert len(desk.sent) == 50
    assert max(at - when for when, (at, _) in zip(late[1:], desk.sent, strict=True)) == 0


def test_silence_after_a_hush_and_speech_after_that():
    desk = Desk()
    desk.pacer.say(numbered(100), RATE)
    desk.passes(203)
    desk.pacer.hush()
    sent = len(desk.sent)
    desk.passes(500)
    assert len(desk.sent) == sent
    assert 40 <= desk.figures.all()["flush_ms"] <= 60
    desk.pacer.say(b"\7" * FRAME, RATE)
    assert desk.sent[-1][1] == b"\7" * FRAME


def test_what_overruns_is_counted_and_dropped():
    desk = Desk(longest_s=0.2)
    desk.pacer.say(numbered(100), RATE)
    desk.passes(2000)
    assert desk.pcm == numbered(10)
    assert desk.figures.all()["overruns"] == 90


def test_it_gets_louder_and_quieter_while_it_speaks():
    desk = Desk()
    desk.pacer.say(np.full(3200, 20000, np.int16).tobytes(), RATE)
    desk.passes(25)
    desk.pacer.set_gain(0.5)
    desk.passes(25)
    desk.pacer.set_gain(4.0)
    desk.passes(500)
    peaks = [int(np.frombuffer(frame, np.int16).max()) for _, frame in desk.sent]
    assert [peaks[0], peaks[4], peaks[-1]] == [20000, 10000, 32767]


@pytest.mark.parametrize("rate", [8000, 24000, 48000, 22050])
def test_other_rates_lose_no_sample(rate):
    desk = Desk()
    time = np.arange(rate)
    tone = (10000 * np.sin(2 * np.pi * 440 * time / rate)).astype(np.int16).tobytes()
    for at in range(0, len(tone), 1001):
        desk.pacer.say(tone[at : at + 1001], rate)
    desk.passes(3000)
    heard = np.frombuffer(desk.pcm, np.int16).astype(float)[:RATE]
    wanted = 10000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert abs(desk.pacer.said_ms - 1000) <= 1
    assert np.abs(heard - wanted)[200:-200].max() < 100


def test_after_a_stall_no_more_than_the_lead_comes_at_once():
    desk = Desk()
    desk.pacer.say(numbered(100), RATE)
    desk.passes(100)
    before = len(desk.sent)
    desk.stalls(300)
    assert len(desk.sent) - before == 3
    assert desk.figures.all()["late_frames"] == 14
    desk.passes(3000)
    assert desk.pcm == numbered(100)


def test_a_short_stall_is_made_up_for():
    desk = Desk()
    desk.pacer.say(numbered(50), RATE)
    desk.passes(100)
    desk.stalls(45)
    desk.passes(855)
    assert len(desk.sent) == 50


def test_two_speak_on_one_timer():
    desk = Desk()
    other = Pacer(Mouth(rate=RATE), desk.metronome, desk.figures, lambda: None)
    heard: list[bytes] = []
    other.connect(heard.append)
    desk.pacer.say(numbered(10), RATE)
    desk.passes(7)
    other.say(numbered(20), RATE)
    desk.passes(40)
    desk.pacer.close()
    desk.passes(1000)
    assert b"".join(heard) == numbered(20)
    assert len(desk.sent) < 10
    assert desk.idle


def test_one_that_fails_does_not_silence_the_others():
    desk = Desk()
    desk.pacer.say(numbered(20), RATE)
    broken = Pacer(Mouth(rate=RATE), desk.metronome, Figures(), lambda: None)
    broken.connect(lambda frame: None)
    broken.say(numbered(20), RATE)
    broken._send = lambda frame: 1 / 0
    desk.passes(1000)
    assert desk.pcm == numbered(20)
    assert desk.idle


@in_asyncio
async def test_the_end_of_what_is_said_is_waited_for():
    desk = Desk()
    desk.pacer.say(numbered(5), RATE)
    said = asyncio.create_task(desk.pacer.said())
    for _ in range(10):
        await asyncio.sleep(0)
        assert said.done() == (desk.now >= 1000.1 - 0.0025)
        desk.passes(20)
    assert said.done()
    assert desk.idle


@in_asyncio
async def test_a_source_is_held_back_until_there_is_room():
    desk = Desk(longest_s=1.0)
    desk.pacer.say(numbered(50), RATE)
    room = asyncio.create_task(desk.pacer.room())
    await asyncio.sleep(0)
    desk.passes(300)
    await asyncio.sleep(0)
    assert not room.done()
    desk.passes(200)
    await room
    desk.pacer.close()


@in_asyncio
async def test_nobody_waits_for_a_mouth_that_is_closed():
    desk = Desk()
    desk.pacer.say(numbered(1000), RATE)
    waiting = [asyncio.create_task(desk.pacer.said()), asyncio.create_task(desk.pacer.room())]
    await asyncio.sleep(0)
    desk.pacer.close()
    desk.pacer.say(numbered(1), RATE)
    await asyncio.gather(*waiting)
    await desk.pacer.said()
