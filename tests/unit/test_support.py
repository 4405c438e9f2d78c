"""The helpers of the tests, where they could do harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.freeswitch import conftest
from tests.support import lossywire, ports
from tests.support.drivers import eventually
from tests.support.ending import ending_with_us, ends_whole
from tests.support.lossywire import LossyWire
from tests.support.ports import free_port
from tests.support.program import Running
from tests.support.rtp import SAMPLES, tone_level, ulaw_frames
from tests.support.sipmessage import Message


class NoSwitch:
    """Nothing listens there."""

    host, password = "127.0.0.1", "-"

    def __init__(self) -> None:
        self.esl_port = free_port()


def test_a_service_that_does_not_start_is_not_left_behind(tmp_path, monkeypatch):
    started = []
    popen = conftest.subprocess.Popen
    monkeypatch.setattr(
        conftest.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    monkeypatch.setattr(conftest, "START_TIMEOUT_S", 0.1)
    service = conftest.ServiceProcess(NoSwitch(), tmp_path)
    with pytest.raises(AssertionError):
        service.start()
    assert [one.poll() is not None for one in started] == [True]
    service.end()  # and there is nothing to end


def test_what_a_peer_says_goes_out_as_it_is():
    sound = 8000 * np.sin(np.arange(1610) * 2 * np.pi * 440 / 16000)
    frames = ulaw_frames(sound.astype(np.int16), 16000)
    assert [len(frame) for frame in frames] == [SAMPLES] * 6  # 805 samples at 8 kHz
    assert tone_level(b"".join(frames[:5]), 440) == pytest.approx(8000, rel=0.05)
    assert frames[5][10:] == b"\xff" * (SAMPLES - 10)


def test_a_peer_behind_a_network_that_loses_messages_sends_again_and_answers_again(monkeypatch):
    monkeypatch.setattr(lossywire, "T1_S", 0.02)
    heads = {"call-id": ["1"], "cseq": ["1 BYE"], "via": ["SIP/2.0/UDP x;branch=1"]}
    bye, ok = Message("BYE sip:a@b SIP/2.0", heads), Message("SIP/2.0 200 OK", heads)
    wires = [LossyWire("127.0.0.1") for _ in range(2)]
    caller, callee = wires
    came: dict[LossyWire, list[Message]] = {one: [] for one in wires}

    def receive(message: Message) -> None:
        came[callee].append(message)
        if len(came[callee]) == 2:  # the first was lost, as are the answers to the next ones
            callee.answer(message, ok)

    take, lost = caller._take, []

    def lose(data, sender) -> None:
        lost.append(data)
        if len(lost) > 2:
            take(data, sender)

    monkeypatch.setattr(caller, "_take", lose)
    callee.start(receive)
    caller.start(came[caller].append)
    try:
        caller.send(bye, callee.address)
        eventually(lambda: bool(came[caller]), "it is answered")
        asked = len(came[callee])
        assert asked >= 4 and came[caller][0].status == 200
        assert not caller._open
    finally:
        for one in wires:
            one.stop()


def test_a_port_is_told_to_nobody_else_and_a_server_can_have_it_again_and_again(monkeypatch):
    port = free_port()
    monkeypatch.setattr(ports, "PORTS", range(port, port + 50))
    monkeypatch.setattr(ports.random, "sample", lambda numbers, _: numbers)
    assert free_port() != port
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError):
            socket.create_server(("127.0.0.1", port))


def test_a_service_that_ends_instead_of_starting_is_told_with_what_it_said():
    with pytest.raises(AssertionError, match="LOG_LEVEL: 'loud'"):
        Running(LOG_LEVEL="loud")


STARTS = """
import subprocess, sys
from tests.support.ending import ending_with_us
subprocess.Popen([*ending_with_us(), "sh", "-c", "echo there; exec sleep 60"], stdout=int(sys.argv[1]))
sys.stdin.read()
"""


@pytest.mark.skipif(not ending_with_us(), reason="there is no setpriv here")
def test_what_a_run_started_that_is_killed_is_killed_too():
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, str(theirs)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        pass_fds=[theirs],
    ) as run:
        ends_whole(run, ours, theirs)
