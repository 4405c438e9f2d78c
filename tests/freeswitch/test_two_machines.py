"""A real switch with its companion on one machine, the service on another: networks, loopbacks and files of
their own. All that docs/companion.md promises of it, over a good line and over a bad one."""

from __future__ import annotations

import json
import signal
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.freeswitch.conftest import ServiceProcess
from tests.support import listen
from tests.support.agentserver import AgentServer
from tests.support.browsers import ChromiumBrowser
from tests.support.certs import Authority
from tests.support.chromium import Chromium, find_chromium
from tests.support.companion import CompanionProcess, switch_with_companion
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import HEARD, hears, in_room, said
from tests.support.http import HttpClient
from tests.support.lossywire import LossyWire
from tests.support.machines import NETWORK, Machines, machines, unable
from tests.support.program import run
from tests.support.s3server import ACCESS_KEY, SECRET_KEY, MotoServer, moto, scripted
from tests.support.sipua import Call, UserAgent
from tests.support.sounds import RATE, sequence, silence
from tests.support.sounds import tone as sound
from tests.support.sttserver import KEY, Connection, SttServer
from tests.support.ttsserver import KEY as TTS_KEY
from tests.support.ttsserver import TtsServer
from tests.support.vsi import VsiClient
from tests.support.webserver import WebServer, tone

AWAY = (503, "the companion of switch east is not connected")
PRIVATE = f"{NETWORK}.0/24"
BAD = {"delay": 0.05, "loss": 0.01}

pytestmark = pytest.mark.timeout(240)  # the first one starts all of it


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    if reason := unable():
        pytest.skip(reason)
    with machines(tmp_path_factory.mktemp("machines")) as both:
        yield both


@pytest.fixture(scope="module")
def switch(two: Machines) -> Iterator[PrivateSwitch]:
    there = two.switch
    switch = PrivateSwitch(
        there.home / "freeswitch",
        host=there.address,
        peers=[two.service.address],
        there=there.there,
    )
    switch.start()
    try:
        if switch.api("module_exists mod_audio_fork").strip() != "true":
            switch.api("load mod_audio_fork")
        yield switch
    finally:
        switch.stop()


@pytest.fixture(scope="module")
def lasting(two: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompanionProcess]:
    there = two.switch
    one = CompanionProcess(
        there.home / "companion",
        Authority(tmp_path_factory.mktemp("ca")),
        there.address,
        there.there,
        VSI_ESL_S3_ALLOWED_NETWORKS=PRIVATE,
    )
    one.start()
    yield one
    one.end()


@pytest.fixture
def companion(lasting: CompanionProcess) -> CompanionProcess:
    if not lasting.running:
        lasting.start()
    return lasting


class Providers:
    """Everybody whom a companion talks to, on the machine of the service."""

    def __init__(self, host: str, store: MotoServer) -> None:
        self.web, self.stt, self.tts = WebServer(host), SttServer(host), TtsServer(host)
        self.agents = AgentServer(host)
        self.store = store
        self.host = host

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.agents.environment,
            "VSI_ESL_ELEVENLABS_URL": self.tts.http,
            "ELEVENLABS_API_KEY": TTS_KEY,
            "VSI_ESL_S3_ALLOWED_NETWORKS": PRIVATE,
            "VSI_ESL_DEEPGRAM_URL": self.stt.url,
            "DEEPGRAM_API_KEY": KEY,
            "VSI_ESL_RTP_TIMEOUT": "300s",  # callers are on this machine as well, when the line is cut
            "S3_BUCKET": "recordings",
            "S3_ENDPOINT": self.store.url,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "S3_REQUEST_PREFLIGHT_TIMEOUT": "0s",
            "S3_UPLOAD_TIMEOUT": "60s",  # a companion that is killed meanwhile has to come back
        }

    def stop(self) -> None:
        for one in (self.web, self.stt, self.tts, self.agents):
            one.stop()


@pytest.fixture(scope="module")
def providers(two: Machines) -> Iterator[Providers]:
    with moto(two.service.address) as store:
        all_of_them = Providers(two.service.address, store)
        yield all_of_them
        all_of_them.stop()


@pytest.fixture(scope="module")
def service_there(
    two: Machines, switch: PrivateSwitch, lasting: CompanionProcess, providers: Providers
) -> Iterator[ServiceProcess]:
    home, link = two.service.home, lasting.link()
    settings = home / "vsi.yaml"
    settings.write_text(switch_with_companion(link))
    process = ServiceProcess(
        switch, home, two.service.there, VSI_ESL_CONFIG=str(settings), **providers.environment
    )
    process.start()
    yield process
    process.end()
    assert not (home / "recordings").exists() and not (home / "spool").exists()


@pytest.fixture
def service(
    service_there: ServiceProcess, switch: PrivateSwitch, companion: CompanionProcess
) -> Iterator[ServiceProcess]:
    """It, with its companion connected, and no calls when the test is over."""
    eventually(lambda: there_is(service_there), "the companion is connected", 60)
    yield service_there
    switch.api("hupall")
    eventually(lambda: HttpClient(service_there.address)("GET", "/v1/legs").body == [], "the calls are over")


def there_is(service: ServiceProcess) -> bool:
    """Whether the service has its companion."""
    health = HttpClient(service.address)("GET", "/readyz").body
    connected: bool = health["switch"]["companion"]["connected"]
    return connected


@pytest.fixture
def agent(two: Machines, switch: PrivateSwitch) -> Iterator[UserAgent]:
    agent = UserAgent((switch.host, switch.sip_port), LossyWire(two.service.address))
    yield agent
    agent.stop()


@pytest.fixture
def bad_line(two: Machines) -> Iterator[None]:
    """It loses 1 % each way, and takes 50 ms."""
    two.line(**BAD)
    yield
    two.line()


@pytest.fixture(params=["good", "bad"])
def line(request: pytest.FixtureRequest, two: Machines) -> Iterator[str]:
    """What the line between the two is like; the bad one loses 1 % each way, and takes 50 ms."""
    two.line(**(BAD if request.param == "bad" else {}))
    yield request.param
    two.line()


def answered(client: VsiClient, agent: UserAgent, frequency: float = 440.0) -> tuple[Call, str]:
    """A caller with a tone."""
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.wait("200")
    call.rtp.frequency = frequency
    return call, leg


def heard_by(connections: list[Connection]) -> Connection:
    """Who hears the caller, as soon as somebody does."""
    eventually(lambda: any(one.loud() for one in connections), "the caller is heard")
    return next(one for one in connections if one.loud())


def test_they_are_two_machines(two, switch, companion, service):
    """The switch and the companion are reached by their addresses, and by nothing else."""
    here, there = two.service, two.switch
    assert there.run("ls", str(here.home)).stdout == here.run("ls", str(there.home)).stdout == ""
    assert (here.home / "vsi.yaml").exists() and companion.spool.exists()
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    for port in (switch.esl_port, companion.port):
        for address, reached in ((switch.host, True), ("127.0.0.1", False)):
            done = here.run("python3", "-c", connect, address, str(port))
            assert (done.returncode == 0) is reached, done.stderr
    strangers = switch.api(f"acl {there.address} vsi_control"), switch.api(f"acl {here.address} vsi_control")
    assert [one.strip() for one in strangers] == ["false", "true"]


def test_what_is_played_is_fetched_there(line, companion, service, client, agent, providers):
    call, leg = answered(client, agent)
    pitch = {"good": 700, "bad": 900}[line]  # the spool knows a sound again
    url = providers.web.put(f"/{line}.wav", tone(pitch, 3))
    before = len(list(companion.spool.glob("*.wav")))
    client.ok("leg_play_start", id=leg, url=url)
    client.event("playback.started", leg_id=leg)
    hears(call, pitch)
    assert client.event("playback.finished", leg_id=leg)["reason"] == "completed"
    assert len(list(companion.spool.glob("*.wav"))) == before + 1
    client.ok("leg_play_start", id=leg, url=providers.web.url("/none.wav"))
    assert client.event("playback.error", leg_id=leg)["error"] == "fetch audio: status 404"
    client.ok("leg_play_start", id=leg, tone="busy")
    client.event("playback.started", leg_id=leg)
    call.bye()


def test_recordings_are_published_and_uploaded_there(line, companion, service, client, agent, providers):
    call, leg = answered(client, agent)
    file = client.ok("leg_record_start", id=leg, filename=line)["file"]
    assert file == str(companion.recordings / f"{line}.wav")
    hears(call, 440, False)
    assert client.ok("leg_record_stop", id=leg)["file"] == file
    assert said(file) > HEARD
    client.ok("leg_record_start", id=leg, storage="s3", filename=f"{line}-up")
    hears(call, 440, False)
    assert client.ok("leg_record_stop", id=leg)["file"] == f"s3://recordings/{line}-up.wav"
    kept = providers.store.call("get_object", Bucket="recordings", Key=f"{line}-up.wav")["Body"]
    assert kept[:4] == b"RIFF" and len(kept) > 8000
    eventually(lambda: not list(companion.uploads.iterdir()), "nothing of it is left")
    call.bye()


def test_the_tracks_of_a_room_are_merged_there(bad_line, companion, service, client, agent):
    a, one = in_room(client, agent, 440)
    b, other = in_room(client, agent, 700)
    hears(a, 700)
    client.ok("room_record_start", id="r", multi_channel=True)
    client.event("recording.started", room_id="r")
    for _ in range(3):
        hears(b, 440)
    mix = client.ok("room_record_stop", id="r")
    rate, tracks = listen.read(mix["multi_channel_file"])
    for leg, frequency in ((one, 440), (other, 700)):
        track = tracks[:, mix["channels"][leg]["channel"]]
        assert np.median(listen.levels(track, rate, frequency, 100)) > HEARD
    assert mix["multi_channel_file"].startswith(str(companion.recordings))
    with wave.open(mix["file"]) as mixed:
        assert mixed.getnframes() > 0
    a.bye()
    b.bye()


def test_speech_of_a_leg_and_of_a_room(line, companion, service, client, agent, providers):
    """Speech to text by a fork of the leg, and by a pair of the room; and text to speech."""
    call, leg = in_room(client, agent, 440)
    known = len(providers.stt.connections)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    first = providers.stt.connection(known)
    client.ok("room_stt_start", id="r", provider="deepgram")
    second = providers.stt.connection(known + 1)
    for connection in (first, second):
        connection.heard.clear()
        eventually(connection.loud, "the caller is heard")
        connection.says("guten Tag")
    for about in ({"leg_id": leg}, {"room_id": "r"}):
        assert client.event("stt.text", **about)["text"] == "guten Tag"
    client.ok("leg_stt_stop", id=leg)
    client.ok("room_stt_stop", id="r")
    spoken = {"provider": "elevenlabs", "text": "Hello.", "voice": "tone-700-60"}
    tts_id = client.ok("leg_tts", id=leg, **spoken)["tts_id"]
    client.event("tts.started", tts_id=tts_id)
    hears(call, 700)
    client.ok("leg_play_stop", id=leg, playback_id=tts_id)
    assert client.event("tts.finished", tts_id=tts_id)["reason"] == "stopped"
    call.bye()


def test_an_agent(bad_line, companion, service, client, agent, providers):
    call, leg = answered(client, agent, 500)
    providers.agents.reset()
    client.ok("leg_agent_vapi", id=leg, assistant_id="as-1")
    client.event("agent.connected", leg_id=leg)
    party = providers.agents.party()
    eventually(lambda: party.level(500) > HEARD, "the caller is heard")
    party.speak(900, 3000)
    hears(call, 900)
    client.ok("leg_agent_stop", id=leg)
    client.event("agent.disconnected", leg_id=leg)
    assert providers.agents.wrongs == []
    call.bye()


def test_who_has_answered(bad_line, companion, service, client, agent):
    request = {"type": "sip", "to": f"sip:answer@{agent.at}", "codecs": ["PCMU"]}
    patient = {"initial_silence_timeout": 15_000, "total_analysis_time": 25_000}
    leg = client.ok("create_leg", **request, amd=patient)["id"]
    client.event("leg.connected", leg_id=leg)
    callee = agent.incoming()
    callee.rtp.say(sequence(silence(0.5), sound(440, 0.4)), RATE)
    assert client.event("amd.result", leg_id=leg)["result"] == "human"
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_a_browser(bad_line, companion, service, client):
    """Its connection to mod_verto is one between the machines."""
    chromium = Chromium(mdns=False)
    try:
        browser = ChromiumBrowser(chromium)
        made = client.ok("webrtc_offer", sdp=browser.offer(frequency=440, gather=True))
        browser.answer(made["sdp"])
        for candidate in client.ok("webrtc_get_candidates", id=made["leg_id"])["candidates"]:
            browser.candidate(candidate)
        client.event("leg.connected", leg_id=made["leg_id"])
        client.ok("leg_play_start", id=made["leg_id"], tone="us_dial", repeat=-1)
        browser.hears(350)
        client.ok("delete_leg", id=made["leg_id"])
        client.event("leg.disconnected", leg_id=made["leg_id"])
    finally:
        chromium.stop()


def test_doctor_and_readyz(companion, service):
    health = HttpClient(service.address)("GET", "/readyz")
    assert health.status == 200 and health.body["switch"]["companion"]["connected"]
    checked = run("doctor", "--json", **service.environ)
    found = {one["name"].removeprefix("east: "): one for one in json.loads(checked.stdout)}
    bad = {name: one for name, one in found.items() if one["status"] not in ("ok", "skipped")}
    assert {found[name]["status"] for name in ("playback", "recording")} == {"ok"}, found
    assert not bad, bad


def test_killed_in_the_middle_of_an_upload_it_goes_on_with_it(
    bad_line, companion, service, client, agent, providers
):
    call, leg = answered(client, agent)
    with scripted(*[503] * 60, host=providers.host) as slow:
        client.ok(
            "leg_record_start",
            id=leg,
            storage="s3",
            filename="kept",
            s3_bucket="recordings",
            s3_endpoint=slow.url,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )
        hears(call, 440, False)
        number = client.send("leg_record_stop", id=leg)
        eventually(lambda: len(slow.requests) > 0, "it tries")
        companion.end(signal.SIGKILL)
        slow._statuses.clear()
        companion.start()
        reply = client.reply(number, 30)
        assert reply["type"] != "error", reply
        assert reply["data"]["file"] == "s3://recordings/kept.wav"
        assert "uploads taken up again" in companion.log()
        client.event("recording.finished", leg_id=leg)
        assert len(client.seen("recording.finished")) == 1
    call.bye()


def test_without_it_calls_go_on_and_what_needs_it_is_503(
    bad_line, companion, service, client, agent, providers
):
    call, leg = answered(client, agent)
    other, second = in_room(client, agent, 700)
    file = client.ok("leg_record_start", id=leg)["file"]
    companion.end(signal.SIGKILL)
    eventually(lambda: not there_is(service), "it is gone")
    for name, payload in (
        ("leg_play_start", {"id": leg, "tone": "busy"}),
        ("room_record_start", {"id": "r"}),
        ("leg_stt_start", {"id": leg, "provider": "deepgram"}),
        ("leg_agent_elevenlabs", {"id": leg, "agent_id": "a"}),
    ):
        assert client.error(name, **payload) == AWAY
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    hears(call, 700)
    hears(other, 440)
    number = client.send("leg_record_stop", id=leg)
    companion.start()
    assert client.reply(number, 30)["data"]["file"] == file
    assert Path(file).stat().st_size > 8000
    assert client.ok("get_leg", id=second)["state"] == "connected"
    for one in (call, other):
        one.bye()


def test_a_network_that_is_gone_for_a_while_costs_no_call(two, companion, service, client, agent, providers):
    """Both connections are made anew, and what was begun before is there: a recording and a transcription."""
    call, leg = answered(client, agent)
    known = len(providers.stt.connections)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    eventually(providers.stt.connection(known).loud, "the caller is heard")
    file = client.ok("leg_record_start", id=leg)["file"]
    hears(call, 440, False)  # half a second of it
    two.line(cut=True)
    try:
        eventually(lambda: HttpClient(service.address)("GET", "/readyz").status == 503, "it is gone", 60)
        assert client.error("add_leg_to_room", room_id="r", leg_id=leg)[0] == 503
        eventually(lambda: not there_is(service), "the companion is gone", 60)
    finally:
        two.line()
    eventually(lambda: HttpClient(service.address)("GET", "/readyz").status == 200, "it is back", 60)
    eventually(lambda: there_is(service), "the companion is back", 60)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    for connection in providers.stt.connections:
        connection.heard.clear()
    again = heard_by(providers.stt.connections)
    again.says("still here")
    assert client.event("stt.text", leg_id=leg)["text"] == "still here"
    hears(call, 440, False)
    assert client.ok("leg_record_stop", id=leg)["file"] == file
    rate, samples = listen.read(file)
    levels = listen.levels(samples[:, 0], rate, 440, 100)
    assert levels[:10].max() > HEARD and levels[-10:].max() > HEARD  # with what did not come between them
    assert not client.seen("leg.disconnected")
    call.bye()
