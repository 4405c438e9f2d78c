"""`uuid_audio_fork` of the sandbox: audio, texts, events, and the faults of the real module (as recorded)."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.audiosink import fork_server, level
from tests.support.drivers import eventually
from tests.support.rawcalls import ended, incoming, join, of
from tests.support.rawclient import RawClient, connected

DONE, FAILED = "+OK Success", "-ERR Operation Failed"
EVENTS = "MEDIA_BUG_START MEDIA_BUG_STOP CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY CUSTOM " + " ".join(
    f"mod_audio_fork::{name}"
    for name in "connect connect_failed disconnect buffer_overrun transcription json error".split()
)


def say(client: RawClient, leg: str, **what) -> None:
    assert client.sandbox(do="say", uuid=leg, **what) == "+OK"


def start(client: RawClient, leg: str, url: str, rest: str = "mono 16000 b") -> str:
    return client.api(f"uuid_audio_fork {leg} start {url} {rest}")


def happened(client: RawClient, what: str) -> dict:
    return client.event(lambda one: one.get("Event-Subclass") == f"mod_audio_fork::{what}")


@pytest.mark.parametrize(
    ("rate", "size"),
    [("8000", 320), ("8k", 320), ("16000", 640), ("24000", 960), ("44100", 1764), ("48000", 1920)],
)
def test_it_is_what_the_caller_says(rate, size):
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client, codecs=["PCMU"])
        say(client, leg, frequency=700)
        metadata = '\'{"x":"y z"}\''
        assert start(client, leg, server.url("/a?b=c%20d"), f"mono {rate} b {metadata}") == DONE
        started = of(client, "MEDIA_BUG_START", leg)
        assert (started["Media-Bug-Function"], started["Media-Bug-Target"]) == ("b", "N/A")
        up = happened(client, "connect")
        assert up["Unique-ID"] == leg
        assert "_body" not in up
        sink = server.connection()
        sink.wait_for(15)
        assert sink.path == "/a?b=c%20d"
        assert sink.headers["sec-websocket-protocol"] == "audio.drachtio.org"
        assert (sink.headers["host"], sink.headers["origin"]) == ("127.0.0.1", "http://127.0.0.1")
        assert sink.texts == ['{"x":"y z"}']
        assert sink.order[0] == "text"
        assert {len(message) for message in sink.messages} == {size}
        assert level(sink.samples(), size * 25, 700) == pytest.approx(8000, rel=0.05)
        assert level(sink.samples(), size * 25, 900) < 200


def test_a_frame_every_20_ms():
    with connected() as (_, client), fork_server() as server:
        leg, began = incoming(client), time.monotonic()
        start(client, leg, server.url())
        sink = server.connection()
        sink.wait_for(50)
        # none comes before its time, and a busy machine may only be late with it
        assert 0.8 <= time.monotonic() - began < 20


def test_mixes_and_two_forks_of_a_leg():
    """Mono is the leg's own voice also in a conference; the others have what it hears as well."""
    with connected(*EVENTS.split(), "conference::maintenance") as (_, client), fork_server() as server:
        one, two = incoming(client), incoming(client)
        join(client, one, "r")
        join(client, two, "r")
        say(client, one, frequency=500)
        say(client, two, frequency=900)
        for number, mix in enumerate(("mono", "mixed", "stereo")):
            assert start(client, one, server.url(f"/{mix}"), f"{mix} 16000 bug{number}") == DONE
            server.connection(number)
        sinks = {sink.path[1:]: sink for sink in server.connections}
        sinks["stereo"].wait_for(20)
        mono, mixed = sinks["mono"].samples(), sinks["mixed"].samples()
        left, right = sinks["stereo"].samples().reshape(-1, 2).T
        heard = [
            (level(ear, 16000, 500) > 7000, level(ear, 16000, 900) > 7000)
            for ear in (mono, mixed, left, right)
        ]
        assert heard == [(True, False), (True, True), (True, False), (False, True)]
        assert level(mono, 16000, 900) < 100


def test_a_muted_leg_is_heard():
    with connected(*EVENTS.split(), "conference::maintenance") as (_, client), fork_server() as server:
        leg = incoming(client)
        join(client, leg, "r", "+flags{mute}")
        say(client, leg, frequency=500)
        start(client, leg, server.url())
        server.connection().wait_for(15)
        assert level(server.connection().samples(), 16000, 500) > 7000


def test_stop_closes_and_says_what_is_left_to_say():
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client)
        assert start(client, leg, server.url()) == DONE
        sink = server.connection()
        sink.wait_for(2)
        assert "<function>b</function>" in client.api(f"uuid_buglist {leg}")
        assert client.api(f"uuid_audio_fork {leg} stop b '{{\"bye\":1}}'") == DONE
        assert sink.wait_closed() == 1000
        assert sink.texts == ['{"bye":1}']
        assert of(client, "MEDIA_BUG_STOP", leg)["Media-Bug-Function"] == "b"
        assert client.api(f"uuid_buglist {leg}") == "<media-bugs>\n</media-bugs>"
        assert client.api(f"uuid_audio_fork {leg} stop b") == FAILED
        assert not any(one.get("Event-Subclass") == "mod_audio_fork::disconnect" for one in client.events)
        assert start(client, leg, server.url("/again")) == DONE
        server.connection(1).wait_for(2)


def test_a_name_is_taken_until_its_stop():
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client)
        assert start(client, leg, server.url(), "mono 16000") == DONE
        sink = server.connection()
        sink.wait_for(2)
        assert start(client, leg, server.url(), "mono 16000 audio_fork") == FAILED
        assert start(client, leg, server.url(), "mono 16000 other") == DONE
        sink.close(1011)
        assert happened(client, "disconnect")["Unique-ID"] == leg
        assert sink.wait_closed() == 1011
        assert "<function>audio_fork</function>" in client.api(f"uuid_buglist {leg}")
        assert start(client, leg, server.url(), "mono 16000 audio_fork") == FAILED
        assert client.api(f"uuid_audio_fork {leg} stop") == DONE
        assert start(client, leg, server.url(), "mono 16000 audio_fork") == DONE


def test_a_reset_is_a_disconnect():
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url())
        server.connection().wait_for(2)
        server.connection().reset()
        assert "_body" not in happened(client, "disconnect")


def test_the_end_of_the_leg_closes_it():
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url())
        server.connection().wait_for(2)
        client.api(f"uuid_kill {leg}")
        assert server.connection().wait_closed() == 1000
        ended(client, leg)
        assert "MEDIA_BUG_STOP" in client.names(leg)
        eventually(lambda: not switch.forks.running, "no connection is left")


def test_pause_and_resume():
    with connected() as (_, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url())
        sink = server.connection()
        sink.wait_for(3)
        assert client.api(f"uuid_audio_fork {leg} pause b") == DONE
        marker = incoming(client)
        start(client, marker, server.url("/marker"))
        server.connection(1).wait_for(1)
        before = len(sink.messages)
        server.connection(1).wait_for(10)
        assert len(sink.messages) == before
        assert client.api(f"uuid_audio_fork {leg} resume b") == DONE
        sink.wait_for(3)
        assert {len(message) for message in sink.messages} == {640}


REFUSED = "HTTP/1.1 {} No\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REFUSED.format(401), "HS: ws upgrade unauthorized"),
        (REFUSED.format(404), "HS: ws upgrade response not 101"),
        (None, "Unable to connect"),
    ],
)
def test_what_cannot_be_connected(answer, reason):
    """The bug stays on the leg until it is stopped."""
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client)
        server.answers["/no"] = answer or ""
        url = server.url("/no")
        if answer is None:
            server.stop()
        assert start(client, leg, url) == DONE
        assert json.loads(happened(client, "connect_failed")["_body"]) == {"reason": reason}
        assert "<function>b</function>" in client.api(f"uuid_buglist {leg}")
        assert start(client, leg, url) == FAILED
        assert client.api(f"uuid_audio_fork {leg} stop b") == DONE


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("wss://127.0.0.1:1/", "connect SSL err 1: error:00000001:lib(0)::reason(1)"),
        ("ws://127.0.0.1:99999/", "read failed"),
        ("ws://[/", "read failed"),
        ("ws:///", "Unable to connect"),
    ],
)
def test_urls_that_lead_nowhere(url, reason):
    with connected(*EVENTS.split()) as (_, client):
        assert start(client, incoming(client), url) == DONE
        assert json.loads(happened(client, "connect_failed")["_body"]) == {"reason": reason}


def test_a_redirection_is_followed():
    with connected() as (_, client), fork_server() as server:
        server.answers["/no"] = f"HTTP/1.1 302 There\r\nLocation: {server.url('/there')}\r\n\r\n"
        start(client, incoming(client), server.url("/no"))
        assert server.connection().path == "/there"


def test_a_server_without_subprotocols_is_taken():
    with connected() as (_, client), fork_server(subprotocol=False) as server:
        start(client, incoming(client), server.url())
        server.connection().wait_for(2)


def test_stopped_before_it_is_connected_it_leaks():
    """No text, no audio, and nobody closes it but the server."""
    with connected(*EVENTS.split()) as (switch, client), fork_server() as server:
        leg = incoming(client)
        client.send(
            f"api uuid_audio_fork {leg} start {server.url()} mono 16000 b '{{\"x\":1}}'\n\n"
            f"api uuid_audio_fork {leg} stop b\n\n"
        )
        assert [client.answer().strip(), client.answer().strip()] == [DONE, DONE]
        sink = server.connection()
        eventually(lambda: switch.forks.leaked == 1, "it has leaked")
        marker = incoming(client)
        start(client, marker, server.url("/marker"))
        server.connection(1).wait_for(5)
        assert (sink.order, sink.closed) == ([], None)
        sink.close()
        eventually(lambda: switch.forks.leaked == 0, "the server has closed it")
        assert not any(one["Event-Name"] == "CUSTOM" and one["Unique-ID"] == leg for one in client.events)


def test_after_a_graceful_shutdown_it_leaks():
    with connected() as (switch, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url())
        sink = server.connection()
        sink.wait_for(2)
        assert client.api(f"uuid_audio_fork {leg} graceful-shutdown b") == DONE
        eventually(lambda: sink.messages[-1] == b"", "an empty message")
        assert client.api(f"uuid_audio_fork {leg} send_text b lost") == DONE
        assert client.api(f"uuid_audio_fork {leg} stop b") == DONE
        assert switch.forks.leaked == 1
        assert (sink.texts, sink.closed) == ([], None)


def test_what_the_server_says():
    with connected(*EVENTS.split()) as (_, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url())
        sink = server.connection()
        for said in (
            '{"type":"transcription","data":{"text":"hi"}}',
            '{"type":"unknown","data":{}}',
            "no json",
            '{"type":"error","data":"x"}',
            '{"a":1}',
            '{"type":"disconnect"}',
        ):
            sink.say(said)
        sink.say("", opcode=9)
        assert json.loads(happened(client, "transcription")["_body"]) == {"text": "hi"}
        assert json.loads(happened(client, "error")["_body"]) == "x"
        assert json.loads(happened(client, "json")["_body"]) == {"a": 1}
        assert "_body" not in happened(client, "disconnect")
        assert client.api(f"uuid_audio_fork {leg} send_text b hello there") == DONE
        eventually(lambda: sink.texts == ["hello"], "the text, up to its first blank")


def test_credentials():
    with connected() as (_, client), fork_server() as server:
        leg = incoming(client)
        client.api(f"uuid_setvar {leg} MOD_AUDIO_BASIC_AUTH_USERNAME joe")
        client.api(f"uuid_setvar {leg} MOD_AUDIO_BASIC_AUTH_PASSWORD s3cret")
        start(client, leg, server.url())
        assert server.connection().headers["authorization"] == "Basic am9lOnMzY3JldA=="


def test_a_server_that_does_not_read_overruns_alone():
    with connected(*EVENTS.split()) as (_, client), fork_server() as server, fork_server() as slow:
        leg = incoming(client)
        slow.reads = False
        start(client, leg, server.url())
        # so much that what the kernel keeps is full soon
        start(client, leg, slow.url(), "stereo 960000 slow")
        server.connection().wait_for(3)
        assert happened(client, "buffer_overrun")["Unique-ID"] == leg
        server.connection().wait_for(3)
        assert {len(message) for message in server.connection().messages} == {640}


def test_a_ringing_caller_is_given_media():
    with connected() as (_, client), fork_server() as server:
        leg = incoming(client, answer=False)
        assert start(client, leg, server.url()) == DONE
        server.connection().wait_for(2)
        assert client.far(leg)["seen"] == ["183"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("", "-USAGE: <uuid> [start"),
        ("LEG", "-USAGE: <uuid> [start"),
        ("LEG start", "-USAGE: <uuid> [start"),
        ("LEG start ws://127.0.0.1:1/", "-USAGE: <uuid> [start"),
        ("LEG start ws://127.0.0.1:1/ both 16000", "-ERR no reply"),
        ("LEG bogus", FAILED),
        ("LEG pause b", FAILED),
        ("LEG send_text", "-ERR no reply"),
        ("nobody start ws://127.0.0.1:1/ mono 16000", FAILED),
    ],
)
def test_answers(command, answer):
    with connected() as (_, client):
        leg = incoming(client)
        assert client.api(f"uuid_audio_fork {command}".replace("LEG", leg).strip()).startswith(answer)


def test_a_missing_rate_ends_the_switch():
    with connected() as (switch, client), fork_server() as server:
        leg = incoming(client)
        client.send(f"api uuid_audio_fork {leg} start {server.url()} mono\n\n")
        with pytest.raises((EOFError, OSError)):
            while True:
                client.frame()
        assert not switch.channels


def test_of_another_scheme_the_fork_before_is_taken():
    with connected() as (_, client), fork_server() as server:
        leg = incoming(client)
        start(client, leg, server.url("/first"))
        server.connection()
        assert start(client, leg, "tcp://127.0.0.1:1/x", "mono 16000 other") == DONE
        assert server.connection(1).path == "/first"


def test_without_the_module():
    with connected(without=["mod_audio_fork"]) as (_, client):
        leg = incoming(client)
        assert client.api("module_exists mod_audio_fork") == "false"
        assert start(client, leg, "ws://127.0.0.1:1/") == "-ERR uuid_audio_fork Command not found!"
        assert "-ERR" in client.api("load mod_audio_fork")
    with connected() as (_, client):
        assert client.api("module_exists mod_audio_fork") == "true"
        assert client.api("unload mod_audio_fork") == "+OK"
        assert (
            start(client, incoming(client), "ws://127.0.0.1:1/") == "-ERR uuid_audio_fork Command not found!"
        )


def test_nothing_is_left_of_a_hundred():
    with connected() as (switch, client), fork_server() as server:
        leg = incoming(client)
        for number in range(100):
            assert start(client, leg, server.url()) == DONE
            sink = server.connection(number)
            sink.wait_for(1)
            assert client.api(f"uuid_audio_fork {leg} stop b") == DONE
            assert sink.wait_closed() == 1000
        eventually(lambda: not switch.forks.running, "no connection is left")
