"""The connection: every defect of greenswitch 0.0.19 that was measured, shown gone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
import pytest
from gevent.server import StreamServer
from greenswitch.esl import ESLEvent, NotConnectedError

from tests.support.stalls import comes_while_still, stand_still
from tests.support.waiting import eventually
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.switch.esl import client as client_module
from vsi_esl.switch.esl import writer as writer_module
from vsi_esl.switch.esl.client import AuthenticationFailed, CommandTimeout, EslClient
from vsi_esl.switch.esl.codec import CodecError
from vsi_esl.switch.esl.jobs import Jobs
from vsi_esl.switch.esl.writer import TooManyCommands, Traffic

HELLO = b"Content-Type: auth/request\n\n"
ACCEPTED = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"


@contextmanager
def peer(behave: Callable[..., None]) -> Iterator[int]:
    """A server that does what the test says with its one connection."""

    def handle(sock, address):
        with suppress(OSError):
            behave(sock)

    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop(0)


def log_in(sock) -> None:
    sock.sendall(HELLO)
    sock.recv(1000)
    sock.sendall(ACCEPTED)


@pytest.fixture
def sandbox() -> Iterator[SandboxSwitch]:
    switch = SandboxSwitch()
    switch.start()
    yield switch
    switch.stop()


@contextmanager
def connected(port: int, **options) -> Iterator[EslClient]:
    client = EslClient("127.0.0.1", port, options.pop("password", "ClueCon"), **options)
    client.connect()
    try:
        yield client
    finally:
        client.stop()


def test_replies_are_matched_in_order(sandbox):
    with connected(sandbox.address[1]) as client:
        assert client.send("api version").startswith("FreeSWITCH Version sandbox")
        assert client.send_many(["api uuid_exists x", "nonsense", "api nonsense"]) == [
            "false",
            "-ERR command not found",
            "-ERR nonsense Command not found!",
        ]


def test_an_empty_line_is_answered_by_nothing(sandbox):
    with connected(sandbox.address[1]) as client:
        for number in range(20):
            client.nudge()
            answers = client.send_many([f"api uuid_exists {number}", "nonsense"])
            assert answers == ["false", "-ERR command not found"]
        assert client.pending == 0


def test_json_events_arrive_and_the_reader_lives(sandbox):
    events: list[dict] = []
    with connected(sandbox.address[1], on_event=events.append) as client:
        client.send("event json CHANNEL_PARK CUSTOM conference::maintenance")
        client.send('api sandbox {"do":"call","display":"a%0AUnique-ID: forged"}')
        with gevent.Timeout(20):
            while not events:
                gevent.sleep(0.005)
        assert events[0]["Caller-Caller-ID-Name"] == "a%0AUnique-ID: forged"
        assert client.send("api uuid_exists x") == "false"


def test_the_base_class_takes_the_forged_header():
    """What we do not use: greenswitch's own parser unquotes the whole block first."""
    event = ESLEvent("Unique-ID: real\nCaller-Name: a%0AUnique-ID: forged")
    assert event.headers["Unique-ID"] == "forged"


def test_a_pending_command_fails_when_the_peer_dies():
    def die(sock):
        log_in(sock)
        sock.recv(1000)
        sock.close()

    with peer(die) as port, connected(port) as client:
        started = time.monotonic()
        with pytest.raises(NotConnectedError):
            client.send("api never", timeout=60)
        assert time.monotonic() - started < 30
        assert not client.connected
        with pytest.raises(NotConnectedError):
            client.send("api more")


def test_end_of_file_inside_a_body_ends_the_connection():
    closed: list[Exception] = []

    def half_a_body(sock):
        log_in(sock)
        sock.sendall(b"Content-Type: api/response\nContent-Length: 100\n\nhalf")
        sock.close()

    with peer(half_a_body) as port, connected(port, on_close=closed.append) as client:
        with pytest.raises(NotConnectedError):
            client.send("api x", timeout=20)
        assert len(closed) == 1


def test_connect_gives_up_on_a_silent_peer_and_on_one_that_closes():
    with peer(lambda sock: gevent.sleep(30)) as port:
        client = EslClient("127.0.0.1", port, "x", timeout=0.2)
        with pytest.raises(NotConnectedError, match="no greeting"):
            client.connect()
    with peer(lambda sock: sock.close()) as port:
        client = EslClient("127.0.0.1", port, "x", timeout=20)
        with pytest.raises(NotConnectedError, match="closed"):
            client.connect()


def test_bad_password_and_access_list(sandbox):
    with pytest.raises(AuthenticationFailed, match="password"):
        EslClient("127.0.0.1", sandbox.address[1], "wrong").connect()
    rude = b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
    with peer(lambda sock: sock.sendall(rude)) as port, pytest.raises(NotConnectedError, match="access list"):
        EslClient("127.0.0.1", port, "x").connect()


def test_an_unanswered_command_has_a_deadline_and_its_late_answer_is_dropped():
    def slow(sock):
        log_in(sock)
        asked = b""
        while asked.count(b"\n\n") < 2:
            asked += sock.recv(1000)
        sock.sendall(b"Content-Type: command/reply\nReply-Text: first\n\n")
        sock.sendall(b"Content-Type: command/reply\nReply-Text: second\n\n")
        sock.recv(1000)

    with peer(slow) as port, connected(port) as client:
        with pytest.raises(CommandTimeout):
            client.send("api one", timeout=0.1)
        assert client.send("api two", timeout=20) == "second"


def test_an_answer_that_came_while_we_stood_still_is_taken():
    """Of two, behind other frames."""

    def answers(sock):
        log_in(sock)
        asked = b""
        while asked.count(b"\n\n") < 2:
            asked += sock.recv(1000)
        notice = b"Content-Type: text/disconnect-notice\n\n"
        answer = b"Content-Type: command/reply\nReply-Text: yes\n\n"
        sock.sendall(100 * notice + answer + 100 * notice + answer)
        stand_still(0.6)
        sock.recv(1000)

    with peer(answers) as port, connected(port) as client:
        assert client.send_many(["api one", "api two"], timeout=0.3) == ["yes", "yes"]
        assert client.late_answers == 0


def test_a_line_end_never_reaches_the_socket(sandbox):
    with connected(sandbox.address[1]) as client, pytest.raises(ValueError, match="one line"):
        client.send("api version\n\napi status")


def test_large_commands_are_sent_whole(sandbox):
    with connected(sandbox.address[1]) as client:
        answer = client.send('api sandbox {"do":"call"}')
        channel = answer.split()[1]
        client.send(f"api uuid_setvar {channel} big {'x' * 200_000}")
        assert len(client.send(f"api uuid_getvar {channel} big")) == 200_000


def test_a_burst_lets_other_greenlets_run(monkeypatch):
    """20,000 events in the buffers: a timer must get its turn in between."""
    body = b'{"Event-Name":"DTMF","pad":"' + b"x" * 500 + b'"}'
    frame = b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body
    turns: list[int] = []

    def burst(sock):
        log_in(sock)
        sock.sendall(frame * 20_000)
        gevent.sleep(30)

    with peer(burst) as port, connected(port, on_event=lambda event: None) as client, gevent.Timeout(20):
        while client.events_read < 20_000:
            turns.append(client.events_read)
            gevent.sleep(0.001)
    steps = [after - before for before, after in itertools.pairwise(turns)]
    assert max(steps) <= 40 * client_module.FRAMES_BEFORE_YIELD


def test_one_bad_event_does_not_stop_the_reader():
    seen: list[str] = []

    def handler(event):
        seen.append(event["Event-Name"])
        if event["Event-Name"] == "BAD":
            raise RuntimeError("handler is broken")

    def send(sock):
        log_in(sock)
        for body in (b'{"Event-Name":"BAD"}', b'{"Event-Name":"GOOD"}'):
            sock.sendall(b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body)
        gevent.sleep(30)

    with peer(send) as port, connected(port, on_event=handler), gevent.Timeout(20):
        while len(seen) < 2:
            gevent.sleep(0.005)
    assert seen == ["BAD", "GOOD"]


def test_a_reader_is_not_held_up_for_good_by_whoever_pauses_what_is_closed():
    """What the switch had said before its end is told: how its calls ended is among it."""
    seen: list[str] = []

    def handler(event):
        seen.append(event["Event-Name"])
        client.pause()

    def send(sock):
        log_in(sock)
        sock.sendall(EVENT * 3)
        gevent.sleep(30)

    with peer(send) as port:
        client = EslClient("127.0.0.1", port, "ClueCon", on_event=handler)
        client.connect()
        eventually(lambda: seen == ["GOOD"], "the first has come")
        client.close()
        reader = client._receive_events_greenlet
        reader.join(20)
        assert reader.dead
    assert seen == ["GOOD"] * 3


EVENT = b"Content-Length: 21\nContent-Type: text/event-json\n\n" + b'{"Event-Name":"GOOD"}'


@pytest.mark.parametrize(
    "broken",
    [
        b"Content-Length: 7\nContent-Type: text/event-json\n\nno json",
        b"Content-Length: 2\nContent-Type: text/event-json\n\n[]",
        EVENT.replace(b"21", b"12"),
        EVENT.replace(b"21", b"30"),
        b"Content-Type: log/data\nContent-Length: 3\n\nabc",
        b"nothing of the kind\n\n",
        b"Content-Length: -1\n\n",
    ],
)
def test_a_frame_that_makes_no_sense_ends_the_connection(broken):
    """What follows it may be read wrongly; on a new connection the calls are looked at anew."""
    closed: list[Exception] = []
    seen: list[dict] = []

    def send(sock):
        log_in(sock)
        sock.sendall(EVENT + broken + EVENT * 2)
        gevent.sleep(30)

    with peer(send) as port, connected(port, on_event=seen.append, on_close=closed.append) as client:
        with gevent.Timeout(20):
            while not closed:
                gevent.sleep(0.005)
        assert not client.connected
        assert isinstance(closed[0], CodecError)
        assert len(seen) == 1


@contextmanager
def deaf_peer() -> Iterator[tuple[int, list[bytes], gevent.event.Event]]:
    """A switch that logs a client in and then reads nothing until it is told to."""
    received: list[bytes] = []
    read = gevent.event.Event()

    def behave(sock):
        log_in(sock)
        read.wait()
        while data := sock.recv(65536):
            received.append(data)

    with peer(behave) as port:
        yield port, received, read


def fill(client: EslClient) -> None:
    """Post until some of it has to wait for the socket."""
    with gevent.Timeout(20):
        while not client._writer._unsent:
            client.post("api global_setvar filler=" + "x" * 60_000)


def test_a_post_never_waits_for_the_socket():
    with deaf_peer() as (port, _, _), connected(port) as client:
        fill(client)
        others_ran = gevent.event.Event()
        gevent.spawn(others_ran.set)
        for _ in range(100):
            client.post("api version")
        assert not others_ran.is_set()


def test_a_post_too_many_is_refused():
    with deaf_peer() as (port, _, _), connected(port) as client:
        fill(client)
        with pytest.raises(TooManyCommands):
            for _ in range(30_000):
                client.post("api version")


def test_a_command_that_was_given_up_before_it_went_out_never_does():
    traffic = Traffic()
    with deaf_peer() as (port, received, read), connected(port, traffic=traffic) as client:
        fill(client)
        with pytest.raises(CommandTimeout):
            client.send("api too-late", timeout=0.1)
        client.post("api behind-it")
        read.set()
        with gevent.Timeout(20):
            while b"behind-it" not in b"".join(received[-3:]):
                gevent.sleep(0.005)
        assert b"too-late" not in b"".join(received)
        assert (client.owing, traffic.withdrawn) == (0, 1)


def test_a_post_that_could_not_go_out_in_time_never_does():
    lost: list[bool] = []
    traffic = Traffic()
    with deaf_peer() as (port, received, read), connected(port, traffic=traffic) as client:
        fill(client)
        waiting = traffic.pending
        client.post("api too-late", "api too-late", timeout=0.0, not_sent=lambda: lost.append(True))
        client.post("api in-time", timeout=30.0, not_sent=lambda: lost.append(False))
        assert traffic.pending == waiting + 3
        read.set()
        with gevent.Timeout(20):
            while b"in-time" not in b"".join(received[-3:]):
                gevent.sleep(0.005)
        assert b"too-late" not in b"".join(received)
        assert lost == [True, True]
        assert (traffic.pending, traffic.withdrawn) == (waiting + 1, 2)
    assert traffic.pending == 0


def test_a_switch_that_takes_nothing_for_too_long_loses_the_connection(monkeypatch):
    monkeypatch.setattr(writer_module, "WRITE_TIMEOUT_S", 0.2)
    closed: list[Exception] = []
    with deaf_peer() as (port, _, _), connected(port, on_close=closed.append) as client:
        fill(client)
        with gevent.Timeout(20):
            while not closed:
                gevent.sleep(0.005)
        assert "does not read" in str(closed[0])


def test_an_answer_after_its_caller_gave_up_is_counted(sandbox):
    with connected(sandbox.address[1]) as client:
        sandbox.freeze()
        with pytest.raises(CommandTimeout):
            client.send("api version", timeout=0.1)
        assert client.owing == 1
        sandbox.thaw()
        assert client.send("api uuid_exists x") == "false"
        assert (client.owing, client.late_answers) == (0, 1)


def test_background_jobs(sandbox):
    jobs = Jobs()
    with (
        connected(sandbox.address[1], on_event=jobs.finished) as events,
        connected(sandbox.address[1]) as client,
    ):
        events.send("event json BACKGROUND_JOB")
        assert jobs.run(client, "version", 20).startswith("FreeSWITCH Version")
        assert (
            jobs.run(client, "originate {origination_uuid=u1}sofia/vsi/sip:answer@127.0.0.1 &park()", 20)
            == "+OK u1"
        )
        answer = jobs.run(client, "originate {origination_uuid=u1}sofia/vsi/sip:answer@127.0.0.1 &park()", 20)
        assert answer == "-ERR DESTINATION_OUT_OF_ORDER"
        with pytest.raises(CommandTimeout):
            jobs.run(client, "originate {origination_uuid=u2}sofia/vsi/sip:silent@127.0.0.1 &park()", 0.1)
        assert len(jobs) == 0
        assert jobs.timeouts == 1


def test_stop_says_goodbye(sandbox):
    client = EslClient("127.0.0.1", sandbox.address[1], "ClueCon")
    client.connect()
    client.stop()
    client.stop()
    assert not client.connected


def test_a_job_that_was_done_while_we_stood_still_is_done(sandbox):
    jobs = Jobs()
    with connected(sandbox.address[1]) as client:
        asked = gevent.spawn(jobs.run, client, "version", 0.5)  # its event comes by another connection
        eventually(lambda: len(jobs) and not client.pending, "it is under way")
        (job,) = jobs._waiting
        comes_while_still(0.8, lambda: jobs.finished({"Job-UUID": job, "_body": "done\n"}))
        assert asked.get(timeout=20) == "done"
        assert (jobs.timeouts, jobs.late_results) == (0, 0)
