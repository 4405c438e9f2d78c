"""A real switch with a companion beside it, and two services: the one that has it is killed, and what is
recorded, transcribed and uploaded there goes on by the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.certs import Authority
from tests.support.companion import CompanionProcess
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import HEARD, hears, said
from tests.support.redisserver import RedisServer
from tests.support.s3server import ACCESS_KEY, SECRET_KEY, clean_environment, scripted
from tests.support.services import REAL_TIMES, OneOfSeveral
from tests.support.sttserver import KEY, SttServer

LONGEST_S = 60.0
NEXT_ATTEMPT_S = 90.0
"""Between two attempts of an upload is a minute at most, by chance."""


@pytest.fixture
def companion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompanionProcess]:
    clean_environment(monkeypatch)
    one = CompanionProcess(tmp_path / "there", Authority(tmp_path / "ca"))
    one.start()
    yield one
    one.end()


@pytest.fixture
def provider() -> Iterator[SttServer]:
    server = SttServer()
    yield server
    server.stop()


def test_what_is_done_there_goes_on_by_the_next_service(
    switch: PrivateSwitch, agent, companion, provider, redis_server: RedisServer, tmp_path
):
    if switch.api("module_exists mod_audio_fork").strip() != "true":
        switch.api("load mod_audio_fork")
    at = SimpleNamespace(host="127.0.0.1", port=switch.esl_port, password=switch.password)
    entries = {"one": {"companion": asdict(companion.link())}}
    with scripted(*[503] * 400) as store:
        s3 = {"bucket": "recordings", "endpoint": store.url, "access_key": ACCESS_KEY}
        s3 |= {"secret_key": SECRET_KEY, "request_preflight_timeout": "0", "upload_timeout": "120s"}
        providers = {"deepgram_url": provider.url, "deepgram_key": KEY}
        more = {"entries": entries, "s3": s3, "providers": providers, "hurried": not REAL_TIMES}
        made = [OneOfSeveral(name, tmp_path, redis_server, {"one": at}, **more) for name in ("a", "b")]
        try:
            for one in made:
                one.listening()
            owner, taker = made  # the first by name has one switch of two services
            eventually(lambda: owner.owned() and not taker.owned(), "the first has it", LONGEST_S)
            _goes_on(agent, companion, provider, store, owner, taker)
        finally:
            for one in made:
                one.close()
    assert not (tmp_path / "recordings").exists(), "services have no business with files"


def _goes_on(agent, companion, provider, store, owner, taker) -> None:
    client, other = owner.connect(), taker.connect()
    eventually(lambda: bool(owner.heard("companion connected")), "the companion is there", LONGEST_S)
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.rtp.frequency = 440
    client.ok("leg_record_start", id=leg, storage="s3", filename="uploaded")
    hears(call, 440, False)
    stopping = owner.connect()  # which waits for the upload
    stopping.send("leg_record_stop", id=leg)
    eventually(lambda: len(store.requests) > 1, "it is being uploaded", LONGEST_S)
    file = client.ok("leg_record_start", id=leg, filename="kept")["file"]
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    eventually(provider.connection().loud, "the caller is heard")
    eventually(lambda: not owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)
    for one in (client, stopping):
        one.close()
    began = time.monotonic()
    owner.kill()
    eventually(lambda: bool(taker.owned()), "the other has it", LONGEST_S)
    print(f"the switch was had again after {time.monotonic() - began:.1f} s")
    # the provider hears the caller again, by a worker that the next service has there
    again = provider.connection(1)
    eventually(again.loud, "the caller is heard again", LONGEST_S)
    again.says("weiter")
    assert other.event("stt.text", leg_id=leg)["text"] == "weiter"
    store._statuses.clear()
    told = other.event("recording.finished", NEXT_ATTEMPT_S, leg_id=leg)
    assert (told["file"], told.get("error")) == ("s3://recordings/uploaded.wav", None)
    assert other.ok("leg_record_stop", id=leg)["file"] == file == str(companion.recordings / "kept.wav")
    assert said(file) > HEARD
    eventually(lambda: not list(companion.uploads.iterdir()), "nothing of the upload is left", LONGEST_S)
    call.bye()
    other.event("leg.disconnected", leg_id=leg)
    other.close()
