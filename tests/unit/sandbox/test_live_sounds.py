"""Who hears whom in the sandbox: conferences, relations, bridges, files, and what callers are told to say."""

from __future__ import annotations

import json
import wave
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gevent import monkey

from tests.support.audiosink import fork_server, level, unicast_end
from tests.support.drivers import SandboxDriver, SandboxPeer, eventually
from tests.support.rawcalls import action, dial, incoming, join, of
from tests.support.rawclient import RawClient, connected
from tests.support.rawpairs import pair, unicast
from vsi_esl.sandbox import demo, demo_caller, samples, speech
from vsi_esl.sandbox.live import Ear

stand_still = monkey.get_original("time", "sleep")
"""Holds up the loop as well, as a busy machine does."""

EVENTS = "CHANNEL_DESTROY CHANNEL_ANSWER CUSTOM conference::maintenance"


def peer(switch, leg: str) -> SandboxPeer:
    return SandboxPeer(switch, switch.channels[leg])


def talkers(switch, client: RawClient, room: str, *frequencies: int) -> list[tuple[SandboxPeer, str, str]]:
    """Members of a room, each with a tone: the caller, its leg, its number there."""
    found = []
    for frequency in frequencies:
        leg = incoming(client, codecs=["PCMU"])
        number = join(client, leg, room)["Member-ID"]
        caller = peer(switch, leg)
        caller.says(frequency)
        found.append((caller, leg, number))
    return found


def test_relations():
    with connected(*EVENTS.split()) as (switch, client):
        (one, _, here), (two, _, there), (three, _, _) = talkers(switch, client, "r", 500, 900, 1300)
        client.api(f"conference r relate {here} {there} nohear")
        one.hears(900, False)
        one.hears(1300)
        two.hears(500)
        client.api(f"conference r relate {here} {there} nospeak")
        one.hears(900)
        two.hears(500, False)
        three.hears(500)


def test_rooms_that_are_bridged_both_ways():
    """Each side hears the other, and not itself."""
    with connected(*EVENTS.split()) as (switch, client):
        ((one, _, _),) = talkers(switch, client, "a", 500)
        ((two, _, _),) = talkers(switch, client, "b", 900)
        client.api("global_setvar loopback_initial_codec=L16@16000h")
        client.api(
            "originate {origination_uuid=bridge,originate_timeout=5}loopback/m:^:sleep:20^"
            "conference:a@vsi16000/default/inline 'conference:b@vsi16000' inline"
        )
        one.hears(900)
        two.hears(500)
        one.hears(500, False)


def test_rooms_that_are_bridged_in_a_ring():
    """It sounds bad on a switch; here it is silence, and it ends."""
    with connected(*EVENTS.split()) as (switch, client):
        callers = [talkers(switch, client, room, 500 + 400 * n)[0][0] for n, room in enumerate("abc")]
        client.api("global_setvar loopback_initial_codec=L16@16000h")
        for here, there in ("ab", "bc", "ca"):
            client.api(
                f"originate {{origination_uuid={here}{there},originate_timeout=5}}loopback/m:^:sleep:20^"
                f"conference:{here}@vsi16000/default/inline 'conference:{there}@vsi16000' inline"
            )
        for caller in callers:
            with closing(Ear(switch.live, caller._channel)) as ear:
                eventually(lambda: len(ear.frames) > 5, "the clock goes on")


def test_hold_is_silence():
    with connected(*EVENTS.split()) as (switch, client):
        (one, leg, _), (two, _, _) = talkers(switch, client, "r", 500, 900)
        client.api(f"uuid_hold {leg}")
        two.hears(500, False)
        one.hears(900, False)


def test_whoever_sends_no_rtp_is_silent_in_a_fork():
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        ((one, leg, _),) = talkers(switch, client, "r", 500)
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 8000 b")
        server.connection().wait_for(10)
        one.rtp(False)
        server.connection().wait_for(15)
        assert level(server.connection().samples(), 8000, 500) == 0
        one.rtp(True)
        server.connection().wait_for(15)
        assert level(server.connection().samples(), 8000, 500) > 7000


def test_talk_is_a_tone():
    with connected(*EVENTS.split()) as (switch, client):
        one, leg = incoming(client, codecs=["PCMU"]), incoming(client, codecs=["PCMU"])
        join(client, one, "r")
        join(client, leg, "r")
        client.sandbox(do="talk", uuid=leg, on=True)
        peer(switch, one).hears(440)
        client.sandbox(do="talk", uuid=leg, on=False)
        peer(switch, one).hears(440, False)


def test_what_is_said_is_talk_until_its_end():
    with connected(*EVENTS.split()) as (switch, client):
        leg = incoming(client)
        join(client, leg, "r")
        client.events.clear()
        peer(switch, leg).say(np.full(1600, 5000, np.int16), 16000)
        action(client, leg, "start-talking")
        action(client, leg, "stop-talking")


def test_what_is_said_before_there_is_media_waits_for_it():
    """A callee's greeting begins with its answer."""
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = dial(client, "ring", "absolute_codec_string=PCMU")
        eventually(lambda: leg in switch.channels, "it is dialled")
        callee = peer(switch, leg)
        callee.say(np.full(12_000, 5000, np.int16), 8000)
        eventually(lambda: switch.channels[leg].answer_state == "ringing", "it rings")
        client.sandbox(do="answer", uuid=leg)
        of(client, "CHANNEL_ANSWER", leg)
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 8000 b")
        sink = server.connection()
        sink.wait_for(90)
        loud = np.abs(sink.samples().astype(int)) > 4000
        assert 1500 < loud.sum() <= 12_200  # as much as was left when the fork was there
        assert not loud[-800:].any()


def test_samples_follow_each_other():
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = incoming(client, codecs=["PCMU"])
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 8000 b")
        server.connection().wait_for(1)
        caller = peer(switch, leg)
        caller.say(np.full(2400, 5000, np.int16), 8000)
        caller.say(np.full(4800, -5000, np.int16), 16000)
        eventually(lambda: (server.connection().samples() < -4900).sum() > 2360, "both are heard")
        said = server.connection().samples().astype(int)
        first, second = np.flatnonzero(said > 4900), np.flatnonzero(said < -4900)
        assert (len(first), len(second)) == (pytest.approx(2400, abs=40), pytest.approx(2400, abs=40))
        assert 0 < second[0] - first[-1] < 40


def test_what_is_said_is_heard_to_its_end_though_the_machine_stood_still_meanwhile():
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = incoming(client, codecs=["PCMU"])
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 8000 b")
        server.connection().wait_for(1)
        peer(switch, leg).say(np.full(4000, 5000, np.int16), 8000)
        stand_still(0.7)
        eventually(lambda: (server.connection().samples() > 4900).sum() > 3960, "all of it")


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
def test_each_codec_has_its_rate(codec):
    """What a codec cannot carry is not heard: 3.9 kHz is the most of PCMU."""
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = incoming(client, codecs=[codec])
        caller = peer(switch, leg)
        rate = 16000
        caller.say((8000 * np.sin(2 * np.pi * 6000 / rate * np.arange(5 * rate))).astype(np.int16), rate)
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono {rate} b")
        server.connection().wait_for(20)
        heard = level(server.connection().samples(), rate, 6000)
        assert (heard < 100) is (codec == "PCMU")


def tone_file(path: Path, frequency: int, seconds: float, rate: int = 16000) -> str:
    sound = samples.tones([(round(seconds * 1000), 0, [frequency])])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.resampled(sound.samples, 8000, rate).tobytes())
    return str(path)


def test_a_file_is_heard_by_all_of_its_room(tmp_path):
    with connected(*EVENTS.split()) as (switch, client), unicast_end() as end:
        ((one, _, _),) = talkers(switch, client, "r", 500)
        unicast(client, pair(client, "conference:r@vsi16000"), end)
        end.wait_for(1)
        file = tone_file(tmp_path / "a.wav", 1300, 1.0)
        client.api(f"conference r play '{{loops=inf,vol=-12}}{file}'")
        one.hears(1300)
        end.wait_for(20)
        assert level(end.samples(), 16000, 1300) == pytest.approx(8000 * 10 ** (-12 / 20), rel=0.05)
        client.api("conference r pause_play")
        one.hears(1300, False)
        client.api("conference r pause_play")
        one.hears(1300)
        client.api("conference r stop all")
        one.hears(1300, False)
        client.api("conference r play tone_stream://%(400,10,900,1700);loops=-1")
        one.hears(900)
        one.hears(1700)


def test_a_repeated_file_has_no_gap_that_it_should_not_have(tmp_path):
    with connected(*EVENTS.split()) as (_, client), unicast_end() as end:
        unicast(client, pair(client, "conference:r@vsi16000"), end)
        end.wait_for(1)
        client.api(f"conference r play {tone_file(tmp_path / 'a.wav', 500, 6.0)}")
        end.wait_for(60)
        quiet = np.abs(end.samples()[-16000:].reshape(-1, 320)).max(axis=1) < 7000
        assert not quiet.any()


def test_a_frozen_switch_is_silent_and_catches_nothing_up():
    with connected() as (switch, client), connected() as (_, elsewhere), fork_server() as server:
        start = "uuid_audio_fork {} start {} mono 16000 b"
        client.api(start.format(incoming(client), server.url("/here")))
        here = server.connection()
        here.wait_for(3)
        elsewhere.api(start.format(incoming(elsewhere), server.url("/elsewhere")))
        clock = server.connection(1)
        switch.freeze()
        clock.wait_for(3)  # what is under way
        before = len(here.messages)
        clock.wait_for(45)
        assert len(here.messages) == before
        switch.thaw()
        here.wait_for(3)
        assert len(here.messages) < before + 40


def test_nothing_is_computed_while_nobody_listens(monkeypatch):
    driver = SandboxDriver()
    asked = []
    monkeypatch.setattr(type(driver.switch.live.sounds), "begin", lambda self, tick: asked.append(tick))
    with closing(RawClient(driver.port)) as client:
        leg = incoming(client)
        join_quietly(client, leg)
        client.sandbox(do="say", uuid=leg, frequency=500)
        client.sandbox(do="far", uuid=leg)
    driver.stop()
    assert asked == []


def join_quietly(client: RawClient, leg: str) -> None:
    assert client.api(f"uuid_transfer {leg} 'conference:r@vsi16000,park' inline") == "+OK"


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ({"frequency": 4000}, "-ERR frequency must be below 4000 Hz"),
        ({"frequency": "loud"}, "-ERR could not convert"),
        ({"file": "/none.wav"}, "-ERR cannot read the file"),
        ({"file": __file__}, "-ERR cannot read the file"),
        ({}, "+OK"),
    ],
)
def test_what_cannot_be_said(what, answer):
    with connected() as (_, client):
        assert client.sandbox(do="say", uuid=incoming(client), **what).startswith(answer)


def test_words_are_spoken_where_something_can_speak(monkeypatch):
    monkeypatch.setattr(speech.shutil, "which", lambda name: None)
    speech._spoken.cache_clear()
    with connected() as (_, client):
        answer = client.sandbox(do="say", uuid=incoming(client), text="hello")
        assert answer == "-ERR nothing here can speak: install flite or espeak-ng"
        assert "-ERR" in client.sandbox(do="call", say={"text": "hello"})
    speech._spoken.cache_clear()


@pytest.mark.parametrize("program", ["flite", "espeak-ng"])
def test_spoken_words_are_sound(monkeypatch, program):
    which = speech.shutil.which
    if not which(program):
        pytest.skip(f"there is no {program} here")
    monkeypatch.setattr(speech.shutil, "which", lambda name: which(name) if name == program else None)
    speech._spoken.cache_clear()
    voice = speech.words("-v is no option; hello")
    speech._spoken.cache_clear()
    assert voice is not None
    assert 0.5 < voice.seconds_left < 5
    voice.began = 0
    loudest = max(int(np.abs(voice.frame(tick, 8000, 16000)).max()) for tick in range(100))
    assert loudest > 1000


def test_a_call_says_what_it_was_told_to():
    with connected() as (_, client), fork_server() as server:
        leg = client.sandbox(do="call", codecs=["PCMU"], say={"frequency": 700})
        client.api(f"uuid_answer {leg}")
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 8000 b")
        server.connection().wait_for(15)
        assert level(server.connection().samples(), 8000, 700) > 7000
        assert json.loads(client.sandbox(do="far", uuid=leg))["talking"]


def test_the_demo_caller_speaks(monkeypatch):
    monkeypatch.setattr(demo, "STEP_S", 0.3)
    with connected() as (switch, client), fork_server() as server:
        demo_caller(switch)
        eventually(lambda: switch.channels, "it rings")
        (leg,) = switch.channels
        client.api(f"uuid_answer {leg}")
        client.api(f"uuid_audio_fork {leg} start {server.url()} mono 16000 b")
        sink = server.connection()
        eventually(lambda: np.abs(sink.samples().astype(int)).max(initial=0) > 1000, "it is heard")
        eventually(lambda: not sink.samples()[-1600:].any(), "it pauses")
