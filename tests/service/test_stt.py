"""Speech to text: what callers say comes as events, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import wave
from collections.abc import Iterator

import gevent
import numpy as np
import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.log import recorded_log
from tests.support.service import Scrape
from tests.support.sttserver import KEY, SttServer
from vsi_esl.live.sessions import Sessions
from vsi_esl.speech.stt.transcribing import KIND, Transcriptions

WORDS = "hello world please call the doctor tomorrow morning"


@pytest.fixture
def provider() -> Iterator[SttServer]:
    server = SttServer()
    yield server
    server.stop()


@pytest.fixture
def begin(start, provider):
    """Start a service whose Deepgram is the test's."""

    def begin_service():
        return start(providers={"deepgram_url": provider.url, "deepgram_key": KEY}, media={"workers": 1})

    return begin_service


@pytest.fixture
def service(begin):
    return begin()


def speaker(switch, client):
    """A caller who is answered, and makes a noise."""
    peer, leg = answered(switch, client, codecs=["PCMU"])
    peer.talk(True)
    return peer, leg


def hears(connection) -> None:
    """Until something that is no silence comes from now on."""
    connection.heard.clear()
    eventually(connection.loud, "the caller is heard")


def over(service) -> None:
    """Until no session and nothing that was kept of one is left."""
    ctx = service.ctx
    eventually(
        lambda: not (len(ctx.get(Sessions)) or len(ctx.get(Transcriptions)) or ctx.state.items(KIND)),
        "all transcriptions are over",
    )


def test_a_leg(switch, client, service, provider):
    _, leg = speaker(switch, client)
    assert client.ok("leg_stt_start", id=leg, provider="deepgram", partial=True, language="de") == {
        "status": "stt_started",
        "leg_id": leg,
    }
    one = provider.connection()
    assert "language=de" in one.query and "interim_results=true" in one.query
    hears(one)
    assert len(one.heard) % 640 == 0
    one.says("guten", final=False)
    one.says("")
    one.says("guten Tag")
    guess = client.event("stt.text", leg_id=leg)
    assert (guess["text"], guess["is_final"]) == ("guten", False)
    text = client.event("stt.text", leg_id=leg)
    assert (text["text"], text["is_final"]) == ("guten Tag", True)
    assert "room_id" not in text
    assert client.error("leg_stt_start", id=leg, provider="deepgram") == (
        409,
        "STT already running on this leg",
    )
    provider.last_text = "auf Wiedersehen"
    assert client.ok("leg_stt_stop", id=leg) == {"status": "stt_stopped"}
    assert client.event("stt.text", leg_id=leg)["text"] == "auf Wiedersehen"
    assert client.error("leg_stt_stop", id=leg) == (404, "no STT in progress")
    over(service)
    scrape = Scrape(service)
    assert scrape.value("vsi_esl_live_first_text_seconds_count", kind="stt", provider="deepgram") == 1
    assert scrape.value("vsi_esl_live_sessions_ended_total", kind="stt", reason="closed") == 1
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    assert "interim_results" not in provider.connection(1).query


def test_a_muted_leg_is_heard_and_one_that_moves(switch, client, service, provider):
    _, leg = speaker(switch, client)
    client.ok("mute_leg", id=leg)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    one = provider.connection()
    hears(one)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    hears(one)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    client.event("leg.left_room", leg_id=leg)
    hears(one)
    one.says("still here")
    assert "room_id" not in client.event("stt.text", leg_id=leg)
    assert len(provider.connections) == 1


def test_a_room(switch, client, service, provider):
    """Each leg by itself, also one that comes later; one that leaves is heard no more."""
    legs = []
    for _ in range(2):
        _, leg = speaker(switch, client)
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
        client.event("leg.joined_room", leg_id=leg)
        legs.append(leg)
    started = client.ok("room_stt_start", id="r", provider="deepgram")
    assert (started["status"], started["room_id"]) == ("stt_started", "r")
    assert sorted(started["leg_ids"]) == sorted(legs)
    _, late = speaker(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=late)
    said = {}
    for number in range(3):
        one = provider.connection(number)
        hears(one)
        one.says(f"text {number}")
        said[client.event("stt.text", room_id="r")["leg_id"]] = one
    assert set(said) == {*legs, late}
    client.ok("remove_leg_from_room", room_id="r", leg_id=late)
    eventually(lambda: said[late].gone, "who left is heard no more")
    assert not said[legs[0]].gone
    client.ok("add_leg_to_room", room_id="r", leg_id=late)
    hears(provider.connection(3))
    client.ok("delete_leg", id=legs[0])
    client.event("leg.disconnected", leg_id=legs[0])
    eventually(lambda: said[legs[0]].gone, "who hung up is heard no more")
    assert client.ok("room_stt_stop", id="r") == {"status": "stt_stopped"}
    over(service)
    assert not client.seen("stt.error")
    eventually(lambda: all(one.gone for one in provider.connections), "no connection is left")


def test_a_room_without_anybody_is_not_transcribed_for_ever(switch, client, service, provider):
    peer, leg = speaker(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("room_stt_start", id="r", provider="deepgram")
    provider.connection()
    provider.last_text = "goodbye"
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    types = client.types(leg_id=leg)
    assert types.index("stt.text") < types.index("leg.disconnected"), "its end is the last of a leg"
    over(service)
    assert client.error("room_stt_stop", id="r") == (404, "no STT in progress")


def test_a_room_that_is_deleted(switch, client, service, provider):
    _, leg = speaker(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("room_stt_start", id="r", provider="deepgram")
    provider.connection()
    provider.last_text = "goodbye"
    client.ok("delete_room", id="r")
    client.event("leg.disconnected", leg_id=leg)
    types = client.types()
    assert types.index("stt.text") < types.index("room.deleted")
    over(service)


def test_a_provider_that_breaks_off_is_connected_to_again(switch, client, service, provider):
    _, leg = speaker(switch, client)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    provider.connection().breaks()
    one = provider.connection(1)
    hears(one)
    one.says("hello again")
    assert client.event("stt.text", leg_id=leg)["text"] == "hello again"
    client.ok("leg_stt_stop", id=leg)
    over(service)
    assert not client.seen("stt.error")
    eventually(lambda: Scrape(service).value("vsi_esl_live_reconnects_total") >= 1, "it is counted")


@pytest.mark.parametrize("fault", ["key", "gone"])
def test_a_provider_that_cannot_be_had(switch, client, service, provider, fault):
    _, leg = speaker(switch, client)
    with recorded_log() as log:
        if fault == "key":
            client.ok("leg_stt_start", id=leg, provider="deepgram", api_key="a-wrong-key")
        else:
            client.ok("leg_stt_start", id=leg, provider="deepgram")
            one = provider.connection()
            provider.refuses = True
            one.breaks()
        error = client.event("stt.error", leg_id=leg, timeout=20)
        expected = (401, "permanent_auth", 1) if fault == "key" else (503, "service_unavailable", 3)
        status, category, tries = expected
        assert error["error"] == f"deepgram: refused the connection: status {status}"
        assert error["category"] == category
        assert provider.refused == tries
        over(service)
    assert len(log.named("transcription failed")) == 1
    assert "a-wrong-key" not in str(log.lines)
    assert client.error("leg_stt_stop", id=leg) == (404, "no STT in progress")
    assert len(client.seen("stt.error")) == 1
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_media_worker_that_dies_costs_no_transcription(switch, client, service, provider):
    _, leg = speaker(switch, client)
    client.ok("leg_stt_start", id=leg, provider="deepgram")
    hears(provider.connection())
    (session,) = service.ctx.get(Sessions)
    os.kill(session.worker.pid, signal.SIGKILL)
    one = provider.connection(1)
    hears(one)
    one.says("nothing happened")
    assert client.event("stt.text", leg_id=leg)["text"] == "nothing happened"
    assert not client.seen("stt.error") and not client.seen("leg.disconnected")
    client.ok("leg_stt_stop", id=leg)
    over(service)


def test_transcriptions_go_on_after_a_restart_of_the_service(switch, connect, begin, provider):
    first = begin()
    client = connect(first)
    _, alone = speaker(switch, client)
    _, leg = speaker(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("leg_stt_start", id=alone, provider="deepgram", partial=True, language="de")
    client.ok("room_stt_start", id="r", provider="deepgram")
    for number in range(2):
        provider.connection(number)
    first.stop()
    eventually(lambda: all(one.gone for one in provider.connections), "they end with the service")
    second = begin()
    client = connect(second)
    begun = [provider.connection(number) for number in (2, 3)]
    for one in begun:
        hears(one)
        one.says("here I am")
    texts = [client.event("stt.text") for _ in begun]
    assert {(one["leg_id"], one.get("room_id")) for one in texts} == {(alone, None), (leg, "r")}
    assert len([one for one in begun if "language=de" in one.query and "interim" in one.query]) == 1
    client.ok("leg_stt_stop", id=alone)
    client.ok("room_stt_stop", id="r")
    over(second)
    assert not client.seen("stt.error")


def test_it_stops_on_the_switch_as_well(switch, client, service, provider):
    _, leg = speaker(switch, client)
    for number in range(3):
        client.ok("leg_stt_start", id=leg, provider="deepgram")
        provider.connection(number)
        client.ok("leg_stt_stop", id=leg)
        over(service)
    eventually(lambda: not switch.channels("lv-"), "no channel is left")
    if switch.name == "freeswitch":
        eventually(lambda: "audio_fork" not in switch.esl(f"uuid_buglist {leg}"), "no fork is left")


def spoken(directory) -> tuple[np.ndarray, int]:
    """The words as samples, and their rate."""
    if shutil.which("flite") is None:
        pytest.skip("there is no flite")
    file = directory / "words.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", WORDS, "-o", str(file)], check=True)
    with wave.open(str(file)) as audio:
        return np.frombuffer(audio.readframes(audio.getnframes()), np.int16), audio.getframerate()


def test_what_somebody_says_is_understood_on_this_machine(switch, client, service, tmp_path):
    pytest.importorskip("pocketsphinx")
    samples, rate = spoken(tmp_path)
    peer, leg = answered(switch, client, codecs=["PCMU"])
    client.ok("leg_stt_start", id=leg, provider="local", partial=True)
    (session,) = service.ctx.get(Sessions)
    assert session.attached.wait(20)
    gevent.sleep(0.5)  # as people wait before they speak
    peer.say(samples, rate)
    found: list[str] = []
    with gevent.Timeout(40, AssertionError(f"only {found} of {WORDS}")):
        while len(set(" ".join(found).split()) & set(WORDS.split())) < 4:
            text = client.event("stt.text", leg_id=leg, is_final=True, timeout=40)
            found.append(text["text"])
    assert client.seen("stt.text", leg_id=leg, is_final=False)
    client.ok("leg_stt_stop", id=leg)
    over(service)
