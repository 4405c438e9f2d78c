"""Speech to text on a real switch, by a fork and without, and over the death of the service."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.sttserver import KEY, SttServer


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[SttServer]:
    server = SttServer()
    monkeypatch.setenv("VSI_ESL_DEEPGRAM_URL", server.url)
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
    yield server
    server.stop()


@pytest.fixture(params=["fork", "loopback"])
def way(request: pytest.FixtureRequest, switch: PrivateSwitch) -> None:
    """How legs are heard, set before the service looks."""
    loaded = switch.api("module_exists mod_audio_fork").strip() == "true"
    if request.param == "fork" and not loaded and not switch.api("load mod_audio_fork").startswith("+OK"):
        pytest.skip("there is no mod_audio_fork here")
    if request.param == "loopback" and loaded:
        switch.api("unload mod_audio_fork")


def caller(client, agent):
    """A caller with a tone, answered."""
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.rtp.frequency = 440
    return call, leg


def left(switch, leg: str) -> bool:
    """Whether something of live audio is on the switch or at the leg."""
    return "lv-" in switch.api("show channels") or "lv-" in switch.api(f"uuid_buglist {leg}")


def test_it_outlives_the_service(way, provider, switch, service, connect: Callable, agent):
    """Killed, it is begun again by the next one, and stops for good when it is told to."""
    client = connect(service)
    call, leg = caller(client, agent)
    client.ok("leg_stt_start", id=leg, provider="deepgram", partial=True)
    provider.connection()
    service.end(signal.SIGKILL)
    eventually(lambda: provider.connections[0].gone, "the worker has ended with it")
    service.start()
    client = connect(service)
    one = provider.connection(1)
    eventually(one.loud, "the caller is heard")
    assert "interim_results=true" in one.query
    one.says("still there")
    assert client.event("stt.text", leg_id=leg)["text"] == "still there"
    client.ok("leg_stt_stop", id=leg)
    eventually(lambda: not left(switch, leg), "nothing is left")
    assert not client.seen("stt.error")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    call.bye()


def test_a_muted_caller_is_heard(way, provider, switch, service, connect: Callable, agent):
    client = connect(service)
    call, leg = caller(client, agent)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    one = provider.connection()
    eventually(one.loud, "the caller is heard")
    client.ok("mute_leg", id=leg)
    one.heard.clear()
    eventually(one.loud, "it is heard while it is muted")
    one.says("hello")
    assert client.event("stt.text", leg_id=leg)["text"] == "hello"
    client.ok("leg_stt_stop", id=leg)
    eventually(lambda: not left(switch, leg), "nothing is left")
    call.bye()
