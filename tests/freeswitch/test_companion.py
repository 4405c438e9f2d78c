"""A real switch with a companion beside it: what is played, recorded and transcribed goes through that."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.freeswitch.conftest import ServiceProcess
from tests.support.certs import Authority
from tests.support.companion import CompanionProcess, switch_with_companion
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import HEARD, hears, said
from tests.support.program import run
from tests.support.sttserver import KEY, SttServer
from tests.support.webserver import WebServer, tone


@pytest.fixture
def companion(tmp_path: Path) -> Iterator[CompanionProcess]:
    one = CompanionProcess(tmp_path / "there", Authority(tmp_path / "ca"))
    one.start()
    yield one
    one.end()


@pytest.fixture
def service(
    switch: PrivateSwitch, companion: CompanionProcess, provider: SttServer, tmp_path: Path
) -> Iterator[ServiceProcess]:
    link = companion.link()
    settings = tmp_path / "vsi.yaml"
    settings.write_text(switch_with_companion(link))
    process = ServiceProcess(
        switch,
        tmp_path,
        VSI_ESL_CONFIG=str(settings),
        VSI_ESL_DEEPGRAM_URL=provider.url,
        DEEPGRAM_API_KEY=KEY,
    )
    process.start()
    eventually(lambda: "companion connected" in process.log(), "the companion is there", 20)
    yield process
    process.end()
    assert not (tmp_path / "recordings").exists() and not (tmp_path / "spool").exists()


@pytest.fixture
def provider() -> Iterator[SttServer]:
    server = SttServer()
    yield server
    server.stop()


@pytest.fixture
def prompt() -> Iterator[str]:
    server = WebServer()
    yield server.put("/prompt.wav", tone(700, 3))
    server.stop()


def caller(client, agent):
    """A caller with a tone of 440 Hz, answered."""
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.rtp.frequency = 440
    return call, leg


def test_what_is_to_be_done_there_and_that_it_is_killed(
    switch, companion, service, client, agent, provider, prompt
):
    if switch.api("module_exists mod_audio_fork").strip() != "true":
        switch.api("load mod_audio_fork")
    call, leg = caller(client, agent)
    file = client.ok("leg_record_start", id=leg, filename="call")["file"]
    client.ok("leg_play_start", id=leg, url=prompt)
    client.event("playback.started", leg_id=leg)
    hears(call, 700)
    client.event("playback.finished", leg_id=leg)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    connection = provider.connection()
    eventually(connection.loud, "the caller is heard")
    connection.says("guten Tag")
    assert client.event("stt.text", leg_id=leg)["text"] == "guten Tag"
    client.ok("leg_stt_stop", id=leg)
    assert client.ok("leg_record_stop", id=leg)["file"] == file == str(companion.recordings / "call.wav")
    assert said(file) > HEARD
    assert len(list(companion.spool.glob("*.wav"))) == 1

    checked = run("doctor", "--json", **service.environ)
    found = {one["name"].removeprefix("east: "): one for one in json.loads(checked.stdout)}
    assert {found[name]["status"] for name in ("playback", "recording")} == {"ok"}, found
    assert [one.name for one in companion.recordings.iterdir()] == ["call.wav"]

    # a recording goes on without the companion
    file = client.ok("leg_record_start", id=leg)["file"]
    companion.end(signal.SIGKILL)
    eventually(lambda: "companion lost" in service.log(), "it is gone")
    assert client.error("leg_play_start", id=leg, tone="busy") == (
        503,
        "the companion of switch east is not connected",
    )
    hears(call, 440, False)  # half a second of it
    number = client.send("leg_record_stop", id=leg)
    companion.start()
    assert client.reply(number, 30)["data"]["file"] == file
    assert said(file) > HEARD
    call.bye()
