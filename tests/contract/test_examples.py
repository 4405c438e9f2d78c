"""The examples do what they say, on the published client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from vsi_esl.access.tokens import line_of, new_token

IVR = Path(__file__).resolve().parents[2] / "examples" / "ivr.py"
TOKEN = new_token()


@pytest.fixture
def guarded(start):
    return start(access={"tokens": (line_of("ivr", "control", TOKEN),)})


@pytest.fixture
def watcher(guarded, connect):
    return connect(guarded, f"?token={TOKEN}")


@pytest.fixture
def ivr(guarded) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start_ivr(**environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(IVR), "--address", f"127.0.0.1:{guarded.http.server.server_port}"],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_ivr
    for process in started:
        process.kill()
        process.communicate()


def test_callers_meet_and_are_recorded(switch, watcher, ivr):
    early = switch.call()  # rings before anybody is there to answer
    first = watcher.event("leg.ringing")["leg_id"]
    ivr(VSI_TOKEN=TOKEN)
    watcher.event("playback.started", leg_id=first)
    early.dtmf("31")
    watcher.event("leg.joined_room", leg_id=first, room_id="meeting")
    file = watcher.event("recording.started", room_id="meeting")["file"]
    late = switch.call()
    second = watcher.event("leg.connected")["leg_id"]
    watcher.event("playback.started", leg_id=second)
    late.dtmf("1")
    watcher.event("leg.joined_room", leg_id=second, room_id="meeting")
    early.dtmf("7#")
    ended = watcher.event("leg.disconnected", leg_id=first)
    assert ended["cdr"]["reason"] == "api_hangup"
    late.hang_up()
    assert watcher.event("leg.disconnected", leg_id=second)["cdr"]["reason"] == "remote_bye"
    watcher.rewind()
    watcher.event("recording.finished", room_id="meeting", file=file)


def test_a_caller_who_hangs_up_is_no_error(switch, watcher, ivr):
    process = ivr(VSI_TOKEN=TOKEN)
    with gevent.Timeout(20):
        while not process.stdout.readline().startswith("connected"):
            assert process.poll() is None
    peer = switch.call()
    leg = watcher.event("leg.ringing")["leg_id"]
    watcher.event("playback.started", leg_id=leg)
    peer.hang_up()
    watcher.event("leg.disconnected", leg_id=leg)
    other = switch.call()
    leg = watcher.event("leg.ringing")["leg_id"]
    watcher.event("playback.started", leg_id=leg)
    other.dtmf("2")
    watcher.event("playback.started", leg_id=leg)
    assert watcher.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"
    process.terminate()
    output = process.communicate(timeout=60)[0]
    assert "remote_bye" in output
    assert "Traceback" not in output


def test_without_its_token_it_says_what_is_wrong(guarded, ivr):
    output = ivr().communicate(timeout=60)[0]
    assert "cannot connect" in output and "401" in output
    assert "Traceback" not in output
