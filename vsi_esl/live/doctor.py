"""What `vsi-esl doctor` looks at of live audio: how legs are heard, and on request the way of the sound."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent
import gevent.socket
import numpy as np
from gevent.event import AsyncResult

from ..config import Config
from ..media.messages import UNICAST, Ear, Mouth, Open, Opened
from ..ops.findings import FAIL, OK, WARN, Ask, Check, Tell, live_check, switch_check
from ..switch.facts import FORK_MODULE
from ..switch.lines import audio, builder, live
from .process import MediaWorker

NAME = "live audio"
RATE = 16000
FRAME_S = 0.02
LENGTH_S = 1.0
LOUD = 4000
"""Of samples; what is sent has 8000."""
ENOUGH = 0.7
"""How much of what was sent has to come back."""
PATIENCE_S = 5.0
START_TIMEOUT_S = 20.0


@switch_check("legs are heard by")
def heard_by(config: Config, ask: Ask) -> Iterator[Check]:
    """mod_audio_fork, or the slower way without it."""
    if ask(builder.module_exists(FORK_MODULE)) == "true":
        yield Check("legs are heard by", OK, FORK_MODULE)
    else:
        hint = f"{FORK_MODULE} takes a tenth of a second less, and less of the machine"
        yield Check("legs are heard by", WARN, "internal channels", hint)


@live_check(NAME)
def echo(config: Config, ask: Ask, tell: Tell) -> Iterator[Check]:
    """A tone goes into a conference by one pair of internal channels, to a media worker by another, and comes
    back from there."""
    if config.all_elsewhere:
        yield Check(NAME, OK, "not tried: the media workers are beside the switch, on another machine")
        return
    opened: AsyncResult[Opened] = AsyncResult()
    channels = [f"lv-{secrets.token_hex(6)}" for _ in range(2)]
    try:
        worker = MediaWorker(
            lambda _, message: _heard(opened, message),
            lambda _, why: None if opened.ready() else opened.set(None),
            log_level="error",
        )
    except OSError as error:
        yield Check(NAME, FAIL, f"no media worker can be started: {error}")
        return
    ours = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
    try:
        ours.bind(("127.0.0.1", 0))
        worker.send(
            Open(
                session="doctor",
                task="echo",
                ear=Ear(kind=UNICAST, rate=RATE),
                mouth=Mouth(rate=RATE),
                patience_s=PATIENCE_S,
            )
        )
        there = None
        with suppress(gevent.Timeout):
            there = opened.get(timeout=START_TIMEOUT_S)
        if there is None:
            yield Check(NAME, FAIL, "the media worker did not start", "see the lines it has written")
            return
        conference = f"doctor-{secrets.token_hex(6)}"
        for channel, port in zip(channels, (there.port, ours.getsockname()[1]), strict=True):
            ask(audio.loopback_rate(RATE))
            answer = ask(live.room_pair(channel, conference, RATE, speaks=True, hears=True))
            if not answer.startswith("+OK"):
                yield Check(NAME, FAIL, f"no internal channel: {answer[:80]}", "is mod_loopback loaded?")
                return
            tell(channel, live.unicast(port))
        yield _judged(*_sent_and_heard(ours))
    finally:
        for channel in channels:
            ask(builder.kill(channel, "NORMAL_CLEARING"))
        worker.stop()
        ours.close()


def _heard(opened: AsyncResult[Opened], message: Any) -> None:
    if isinstance(message, Opened):
        opened.set(message)


def _sent_and_heard(ours: gevent.socket.socket) -> tuple[int, int, float]:
    """Frames of a tone that were sent, those that came back, and the time between in seconds."""
    times = np.arange(round(RATE * FRAME_S)) / RATE
    frame = (8000 * np.sin(2 * np.pi * 400 * times)).astype(np.int16).tobytes()
    sent = loud = 0
    begun = first = 0.0
    deadline = time.monotonic() + PATIENCE_S
    with gevent.Timeout(PATIENCE_S, False):
        while time.monotonic() < deadline:
            # the switch sends a frame each 20 ms whatever it hears: they are the clock
            received, switch = ours.recvfrom(65536)
            now = time.monotonic()
            if np.abs(np.frombuffer(received, np.int16).astype(int)).max(initial=0) > LOUD:
                loud += 1
                first = first or now
            begun = begun or now
            if sent < LENGTH_S / FRAME_S:
                ours.sendto(frame, switch)
                sent += 1
            elif loud >= sent or now - begun > LENGTH_S + 1:
                break
    return sent, loud, first - begun


def _judged(sent: int, loud: int, delay: float) -> Check:
    if not sent:
        return Check(NAME, FAIL, "the switch sends no audio to this machine", "is it on another machine?")
    if loud < ENOUGH * sent:
        return Check(NAME, FAIL, f"of {sent} frames {loud} came back", "is the machine too busy?")
    return Check(NAME, OK, f"an echo comes back after {delay * 1000:.0f} ms")
