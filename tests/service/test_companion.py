"""A switch on another machine: what is to be done where its files and audio are, its companion does. Here
both are on one machine, but the service knows none of the companion's directories and makes none of its
own."""

from __future__ import annotations

import json
import os
import signal
import stat
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.calls import answered, in_room
from tests.support.certs import Authority
from tests.support.companion import CompanionProcess
from tests.support.drivers import eventually
from tests.support.mediasocket import Refused, leg_socket
from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    moto,
    scripted,
    target,
)
from tests.support.service import Scrape, address, http, quiet, ready
from tests.support.sttserver import KEY, SttServer
from tests.support.ttsserver import TtsServer
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.providers import ProviderSettings
from vsi_esl.config.settings import (
    HttpSettings,
    ListedSwitch,
    MediaSettings,
    StateSettings,
    SwitchSettings,
)
from vsi_esl.errors import Invalid
from vsi_esl.live.sessions import Sessions
from vsi_esl.sound.host import remote
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings, S3Settings

AWAY = (503, "the companion of switch east is not connected")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)
    monkeypatch.setattr(remote, "Line", partial(remote.Line, backoff_s=(0.05, 0.2)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[CompanionProcess]:
    one = CompanionProcess(tmp_path_factory.mktemp("there"), authority)
    yield one
    one.end()


@pytest.fixture
def companion(lasting: CompanionProcess) -> CompanionProcess:
    """One that runs, with no file of the tests before."""
    for file in lasting.recordings.glob("*"):
        file.unlink()
    if not lasting.running:
        lasting.start()
    return lasting


@pytest.fixture
def start(switch, companion: CompanionProcess, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service whose only switch has a companion; the next one finds its state."""
    running: list[Service] = []

    def start_service(link: Any = None, providers: dict[str, Any] | None = None, **s3: Any) -> Service:
        for one in running:
            if not one.stopped:
                one.stop()
        listed = ListedSwitch(
            "east",
            SwitchSettings(host=switch.host, port=switch.port, password=switch.password),
            companion=link or companion.link(),
        )
        config = Config(
            instance_id="test-1",
            switches=(listed,),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=str(tmp_path / "state.sqlite3")),
            media=MediaSettings(spare_worker=False),
            providers=ProviderSettings(**(providers or {})),
        ).having(
            RecordingSettings(dir=str(tmp_path / "here" / "recordings")),
            PlaybackSettings(spool_dir=str(tmp_path / "here" / "spool")),
            S3Settings(**s3),
        )
        service = Service(config)
        service.start()
        running.append(service)
        assert service.ctx.nodes.default.wait_ready(20)
        if link is None:
            assert line(service).wait_connected(20), line(service).error
        return service

    yield start_service
    for one in running:
        if not one.stopped:
            one.stop()
    assert not (tmp_path / "here").exists(), "the service has no business with files"


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


def line(service: Service) -> Any:
    return service.ctx.nodes.default.host.companion


def frames(file: str) -> int:
    with wave.open(file) as found:
        return found.getnframes()


def outage(companion: CompanionProcess, service: Service) -> None:
    companion.end()
    eventually(lambda: not line(service).connected, "it is gone")


# -- what it is for ------------------------------------------------------------------------------------------


def test_a_url_is_fetched_there_and_played(switch, companion, service, client, prompt):
    _, leg = answered(switch, client)
    client.ok("leg_play_start", id=leg, url=prompt)
    client.event("playback.started", leg_id=leg)
    done = client.event("playback.finished", leg_id=leg)
    assert (done["reason"], done["played_ms"]) == ("completed", 500)
    (file,) = companion.spool.glob("*.wav")
    assert stat.S_IMODE(companion.spool.stat().st_mode) == 0o2770
    assert frames(str(file)) == 4000
    client.ok("leg_play_start", id=leg, tone="busy")
    client.event("playback.started", leg_id=leg)
    assert client.error("leg_play_start", id=leg, url="http://x", tone="busy")[0] == 400
    scrape = Scrape(service)
    assert (
        scrape.value("vsi_esl_companion_requests_total", switch="east", request="clip", outcome="answered")
        == 2
    )
    assert scrape.value("vsi_esl_companion_connected", switch="east") == 1
    assert scrape.value("vsi_esl_companion_request_seconds_count", request="clip") == 2


def test_what_cannot_be_fetched_is_told_as_ever(switch, companion, client, web):
    _, leg = answered(switch, client)
    client.ok("leg_play_start", id=leg, url=web.url("/none.wav"))
    assert client.event("playback.error", leg_id=leg)["error"] == "fetch audio: status 404"


def test_a_leg_is_recorded_and_published_there(switch, companion, client):
    _, leg = answered(switch, client)
    reply = client.ok("leg_record_start", id=leg, filename="call-1")
    assert reply["file"] == str(companion.recordings / "call-1.wav")
    assert client.ok("leg_record_stop", id=leg)["file"] == reply["file"]
    assert client.event("recording.finished")["file"] == reply["file"]
    assert [one.name for one in companion.recordings.iterdir()] == ["call-1.wav"]
    assert client.error("leg_record_start", id=leg, filename="call-1") == (
        409,
        "recording file already exists",
    )


def test_the_tracks_of_a_room_are_merged_there(switch, companion, client):
    in_room(switch, client, "r")
    in_room(switch, client, "r")
    client.ok("room_record_start", id="r", multi_channel=True)
    stopped = client.ok("room_record_stop", id="r")
    with wave.open(stopped["multi_channel_file"]) as merged:
        assert merged.getnchannels() == 2
    assert len(list(companion.recordings.iterdir())) == 2


# -- S3 ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store() -> Iterator[MotoServer]:
    with moto() as running:
        yield running


def bucket(url: str) -> dict[str, Any]:
    return {"bucket": "recordings", "endpoint": url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}


def test_a_recording_is_uploaded_from_there(switch, companion, start, connect, store):
    service = start(**bucket(store.url), prefix="east/")
    client = connect(service)
    _, leg = answered(switch, client)
    client.ok("leg_record_start", id=leg, storage="s3", filename="kept")
    assert client.ok("leg_record_stop", id=leg)["file"] == "s3://recordings/east/kept.wav"
    assert store.call("get_object", Bucket="recordings", Key="east/kept.wav")["Body"][:4] == b"RIFF"
    eventually(lambda: not list(companion.uploads.iterdir()), "nothing of it is left")
    eventually(lambda: not list(companion.recordings.iterdir()), "nor of its file")
    with pytest.raises(Invalid, match="s3 bucket does not exist"):
        service.ctx.nodes.default.host.probe(target(store.url, bucket="nobodys"), 5.0)
    assert SECRET_KEY not in companion.log()


def test_a_companion_that_is_killed_while_it_uploads_goes_on_with_it(switch, companion, start, connect):
    with scripted(*[503] * 40) as store:
        service = start(**bucket(store.url), request_preflight_timeout=0.0, upload_timeout=60.0)
        client = connect(service)
        _, leg = answered(switch, client)
        client.ok("leg_record_start", id=leg, storage="s3", filename="kept")
        number = client.send("leg_record_stop", id=leg)
        eventually(lambda: len(store.requests) > 0, "it tries")
        (job,) = companion.uploads.iterdir()
        assert stat.S_IMODE(job.stat().st_mode) == 0o600
        assert stat.S_IMODE(companion.uploads.stat().st_mode) == 0o700
        outage(companion, service)
        store._statuses.clear()
        companion.start()
        reply = client.reply(number, 30)
        assert reply["data"]["file"] == "s3://recordings/kept.wav"
        assert len(client.seen("recording.finished")) == 1
        eventually(lambda: not list(companion.uploads.iterdir()), "nothing of it is left")
        assert "uploads taken up again" in companion.log()


def test_what_was_uploaded_while_the_service_was_away_is_told_once(switch, companion, start, connect):
    with scripted(*[503] * 40) as store:
        service = start(**bucket(store.url), request_preflight_timeout=0.0, upload_timeout=0.1)
        client = connect(service)
        _, leg = answered(switch, client)
        client.ok("leg_record_start", id=leg, storage="s3", filename="kept")
        file = client.ok("leg_record_stop", id=leg)["file"]
        assert file == str(companion.recordings / "kept.wav")
        service.stop()
        store._statuses.clear()
        job = next(companion.uploads.iterdir())
        eventually(lambda: b"location" in job.read_bytes(), "it is there", 20)
        assert SECRET_KEY.encode() not in job.read_bytes()
        uploaded = len(store.requests)
        service = start(**bucket(store.url), request_preflight_timeout=0.0)
        eventually(lambda: quiet(service), "it is over")
        eventually(lambda: not list(companion.uploads.iterdir()), "and forgotten there")
        assert len(store.requests) == uploaded
        assert os.path.exists(file)


# -- live audio ----------------------------------------------------------------------------------------------


@pytest.fixture
def deepgram() -> Iterator[SttServer]:
    server = SttServer()
    yield server
    server.stop()


def heard(connection: Any) -> None:
    """Until something that is no silence comes from now on."""
    connection.heard.clear()
    eventually(connection.loud, "the caller is heard")


def test_a_leg_is_transcribed_by_a_worker_there(switch, companion, start, connect, deepgram):
    service = start(providers={"deepgram_url": deepgram.url, "deepgram_key": KEY})
    client = connect(service)
    peer, leg = answered(switch, client, codecs=["PCMU"])
    peer.talk(True)
    started = companion.log().count("media worker started")
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    one = deepgram.connection()
    heard(one)
    one.says("guten Tag")
    assert client.event("stt.text", leg_id=leg)["text"] == "guten Tag"
    sessions = service.ctx.get(Sessions)
    assert not sessions.pool.workers
    assert Scrape(service).value("vsi_esl_media_workers") == 1
    # one that dies is replaced
    line_of = [one for one in companion.log().splitlines() if "media worker started" in one][started]
    os.kill(json.loads(line_of)["pid"], signal.SIGKILL)
    again = deepgram.connection(1)
    heard(again)
    assert sum(pool.restarts for pool in sessions.pools) == 1
    assert line(service).connects == 1
    client.ok("leg_stt_stop", id=leg)
    eventually(lambda: not len(sessions), "it is over")
    assert KEY not in companion.log()


def test_a_text_is_spoken_by_a_worker_there(switch, companion, start, connect):
    tts = TtsServer()
    try:
        client = connect(start(providers=tts.settings))
        peer, leg = answered(switch, client)
        tts_id = client.ok("leg_tts", id=leg, text="Hello.", voice="tone-700-60")["tts_id"]
        client.event("tts.started", tts_id=tts_id)
        peer.hears(700)
        client.ok("leg_play_stop", id=leg, playback_id=tts_id)
        assert client.event("tts.finished", tts_id=tts_id)["reason"] == "stopped"
    finally:
        tts.stop()


def test_a_websocket_of_a_client_is_501_by_name(switch, companion, service, client):
    with pytest.raises(Refused) as refused:
        leg_socket(SimpleNamespace(address=address(service)))
    assert (refused.value.status, refused.value.error) == (
        501,
        "a WebSocket of a client cannot be a leg of switch east: it has a companion",
    )


# -- away ----------------------------------------------------------------------------------------------------


def test_without_it_what_needs_it_is_503_by_name_and_calls_go_on(
    switch, companion, start, connect, deepgram, prompt, log, monkeypatch
):
    monkeypatch.setattr(remote, "PUBLISH_OUTAGE_S", 0.3)
    service = start(providers={"deepgram_url": deepgram.url, "deepgram_key": KEY})
    client = connect(service)
    peer, leg = in_room(switch, client, "r")
    peer.talk(True)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    heard(deepgram.connection())
    file = client.ok("leg_record_start", id=leg)["file"]
    outage(companion, service)
    eventually(lambda: not len(service.ctx.get(Sessions)), "what it heard is over")
    for name, payload in (
        ("leg_play_start", {"id": leg, "url": prompt}),
        ("room_play_start", {"id": "r", "tone": "busy"}),
        ("room_record_start", {"id": "r"}),
        ("room_stt_start", {"id": "r", "provider": "deepgram"}),
        ("leg_tts", {"id": leg, "text": "a", "voice": "b", "provider": "elevenlabs", "api_key": "k"}),
    ):
        assert client.error(name, **payload) == AWAY
    health = http(service)("GET", "/readyz")
    assert health.status == 200
    assert health.body["switch"]["companion"]["connected"] is False
    assert health.body["switch"]["companion"]["error"]
    assert Scrape(service).value("vsi_esl_companion_connected") == 0
    _, other = in_room(switch, client, "r")
    client.ok("mute_leg", id=other)
    client.ok("delete_leg", id=other)
    client.event("leg.disconnected", leg_id=other)
    # what is recorded is so by the switch, and published later
    client.ok("leg_record_stop", id=leg)
    finished = client.event("recording.finished")
    assert finished["error"] == "recording not published: the companion of switch east is not connected"
    assert not os.path.exists(file)

    companion.start()
    assert line(service).wait_connected(30)
    again = deepgram.connection(1)
    heard(again)
    again.says("still here")
    assert client.event("stt.text", leg_id=leg)["text"] == "still here"
    eventually(lambda: quiet(service), "it is published", 30)
    assert os.path.exists(file) and len(client.seen("recording.finished")) == 1
    client.ok("leg_play_start", id=leg, url=prompt)
    client.event("playback.finished", leg_id=leg)
    assert len(log.named("companion lost")) == 1
    assert log.named("companion connected")


def test_one_that_stands_still_and_is_killed_while_it_publishes_does_it_when_it_is_back(
    switch, companion, service, client, monkeypatch
):
    _, leg = answered(switch, client)
    _, other = answered(switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    monkeypatch.setattr(remote, "PLACE_S", 0.2)
    companion.freeze()
    assert client.error("leg_record_start", id=other) == (
        503,
        "the companion of switch east did not answer in time",
    )
    assert Scrape(service).value("vsi_esl_companion_requests_total", request="place", outcome="late") == 1
    number = client.send("leg_record_stop", id=leg)
    eventually(lambda: line(service)._questions, "it was asked")
    outage(companion, service)
    companion.start()
    assert client.reply(number, 30)["data"]["file"] == file
    finished = client.event("recording.finished")
    assert (finished["file"], finished.get("error")) == (file, None)
    assert [one.name for one in companion.recordings.iterdir()] == [os.path.basename(file)]


def test_a_service_that_is_started_anew_has_published_what_ended_meanwhile(switch, companion, start, connect):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    service.stop()
    peer.hang_up()
    service = start()
    eventually(lambda: quiet(service), "it is published")
    assert os.path.exists(file)


def test_a_certificate_that_the_companion_does_not_take_is_named(switch, companion, start, connect, tmp_path):
    other = Authority(tmp_path / "other", "another authority")
    certificate, key = other.sign("service.test")
    service = start(replace(companion.link(), certificate=certificate, key=key))
    eventually(lambda: "TLS error" in line(service).error, "it is refused")
    client = connect(service)
    _, leg = answered(switch, client)
    assert client.error("leg_record_start", id=leg) == AWAY
    assert ready(service)
    eventually(lambda: '"connection refused"' in companion.log(), "the companion says so too")


def test_files_outside_its_directories_are_not_for_a_companion_to_touch(companion, service, tmp_path):
    host = service.ctx.nodes.default.host
    victim = tmp_path / "victim.wav"
    victim.write_bytes(b"kept")
    host.remove(str(victim))
    link = companion.recordings / "link"
    link.symlink_to(tmp_path)
    host.remove(str(link / "victim.wav"))
    host.remove(str(companion.recordings / ".." / ".." / "victim.wav"))
    assert victim.read_bytes() == b"kept"
    assert not line(service).ask("remove", {"path": str(companion.recordings / "none")}, 20, 0)


def test_it_stops_when_it_is_told_to(companion, service):
    companion.end(signal.SIGTERM)
    eventually(lambda: not line(service).connected, "it is gone")
    assert '"stopped"' in companion.log()
