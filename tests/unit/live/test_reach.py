"""Whether providers are reached: a connection, of which nothing is asked."""

from __future__ import annotations

import pytest
from gevent import socket
from gevent.server import StreamServer

from vsi_esl.config import load
from vsi_esl.live import reach
from vsi_esl.ops.findings import OK, WARN, Check


def found(**environ: str) -> dict[str, Check]:
    return {check.name: check for check in reach.reach(load(None, environ).config)}


@pytest.fixture
def server():
    connections: list[bytes] = []
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: connections.append(sock.recv(100)))
    server.start()
    yield server, connections
    server.stop()


def test_one_that_listens_is_reached_and_asked_nothing(server):
    listening, connections = server
    checks = found(VSI_ESL_ELEVENLABS_URL=f"http://127.0.0.1:{listening.server_port}", ELEVENLABS_API_KEY="k")
    assert set(checks) == {"elevenlabs (stt)", "elevenlabs (tts)", "elevenlabs (agent)"}
    assert {check.status for check in checks.values()} == {OK}
    assert not any(connections)


def test_one_that_is_away_and_one_without_tls(server):
    listening, _ = server
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        checks = found(
            VSI_ESL_VAPI_URL=f"http://127.0.0.1:{closed.getsockname()[1]}",
            VSI_ESL_DEEPGRAM_AGENT_URL=f"https://127.0.0.1:{listening.server_port}",
        )
    assert {check.status for check in checks.values()} == {WARN}
    assert checks["vapi (agent)"].detail == "127.0.0.1: Connection refused"
    assert checks["deepgram (agent)"].detail.startswith("127.0.0.1: ")


def test_one_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE_S", 0.05)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        (check,) = found(VSI_ESL_AZURE_TTS_URL=f"https://127.0.0.1:{deaf.getsockname()[1]}").values()
    assert (check.name, check.status) == ("azure (tts)", WARN)


def test_only_those_of_the_settings_are_looked_at(monkeypatch):
    tried = []
    monkeypatch.setattr(reach, "_tried", lambda name, url: tried.append((name, url)) or Check(name, OK, ""))
    assert [check.status for check in found().values()] == [WARN]
    assert tried == []
    found(AZURE_SPEECH_KEY="k", AZURE_SPEECH_REGION="westeurope")
    assert sorted(tried) == [
        ("azure (stt)", "https://westeurope.stt.speech.microsoft.com"),
        ("azure (tts)", "https://westeurope.tts.speech.microsoft.com"),
    ]
