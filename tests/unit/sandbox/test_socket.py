"""The sandbox's event socket, spoken to in raw bytes: protocol, errors, and clients that misbehave."""

from __future__ import annotations

import json
from contextlib import closing

import gevent
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.rawclient import RawClient, connected, running
from vsi_esl import __version__
from vsi_esl.sandbox import connection, wire


def test_it_says_what_it_is():
    with connected() as (_, client):
        assert client.api("version") == f"FreeSWITCH Version sandbox (vsi_esl {__version__})"
        assert "sandbox" in client.api("status")
        assert client.api("module_exists mod_conference") == "true"
        assert client.api("module_exists mod_skinny") == "false"
        assert "CSeq" in client.api("global_getvar sip_watch_headers")


def test_bad_password_gets_invalid_and_goodbye():
    with running(password="other") as switch, closing(RawClient(switch.address[1], None)) as client:
        assert client.command("api version") == "-ERR command not found"
        assert client.command("auth ClueCon") == "-ERR invalid"
        assert client.frame()[0]["Content-Type"] == "text/disconnect-notice"
        with pytest.raises(EOFError):
            client.frame()


def test_exit_says_goodbye():
    with connected() as (_, client):
        assert client.command("exit") == "+OK bye"
        assert client.frame()[0]["Content-Type"] == "text/disconnect-notice"
        with pytest.raises(EOFError):
            client.frame()


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("bogus", "-ERR command not found"),
        ("api nosuch", "-ERR nosuch Command not found!\n"),
        (f"api uuid_kill {NOBODY} USER_BUSY", "-ERR No such channel!\n"),
        (f"api uuid_answer {NOBODY}", "-ERROR\n"),
        (f"api uuid_pre_answer {NOBODY}", "-ERROR\n"),
        (f"api uuid_ring_ready {NOBODY}", "-ERROR\n"),
        (f"api uuid_hold {NOBODY}", "+OK Success\n"),
        (f"api uuid_hold off {NOBODY}", "+OK Success\n"),
        (f"api uuid_dump {NOBODY} json", "-ERR No such channel!\n"),
        (f"api uuid_getvar {NOBODY} x", "-ERR No such channel!\n"),
        (f"api uuid_setvar {NOBODY} x y", "-ERR No such channel!\n"),
        (f"api uuid_exists {NOBODY}", "false"),
        (f"api uuid_send_dtmf {NOBODY} 1", "-ERR Cannot locate session!\n"),
        (f"api uuid_send_dtmf {NOBODY}", "-USAGE: <uuid> <dtmf_data>\n"),
        (f"api uuid_transfer {NOBODY} park inline", "-ERR No such channel!\n"),
        (f"api sched_del {NOBODY}", "+OK Deleted: 0\n"),
        (f"sendmsg {NOBODY}\ncall-command: execute", f"-ERR invalid session id [{NOBODY}]"),
        ("api conference nowhere mute 1 quiet", "-ERR Conference nowhere not found\n"),
        ("api conference json_list", "[]\n"),
        ("api show channels as json", '{"row_count":0}\n'),
        ("event json", "-ERR no keywords supplied"),
        ("event plain ALL", "-ERR the sandbox sends json events only"),
        ("noevents", "+OK no longer listening for events"),
        ("nixevent DTMF", "+OK events nixed"),
        ("filter Action", "-ERR invalid syntax"),
        ("api", "-ERR  Command not found!\n"),
        (
            "api originate",
            "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>]",
        ),
        ("api originate {a=b sofia/vsi/sip:a@h &park()", "-ERR Parse Error!\n"),
        ("api originate sofia/other/sip:a@127.0.0.1 &park()", "-ERR INVALID_PROFILE\n"),
        ("api originate sofia/vsi/tel:1 &park()", "-ERR USER_NOT_REGISTERED\n"),
        ("api originate sofia/vsi/sip:bob@ &park()", "-ERR DESTINATION_OUT_OF_ORDER\n"),
        ("api sandbox nonsense", "-ERR not JSON"),
        ("api sandbox []", "-ERR must be a JSON object\n"),
        ('api sandbox {"do":"fly"}', "-ERR unknown verb"),
        ('api sandbox {"do":"dtmf"}', "-ERR No such channel!\n"),
        ('api sandbox {"do":"call","codecs":["MP3"]}', "-ERR codecs must be of PCMU, PCMA, G722, OPUS\n"),
        ('api sandbox {"do":"call","headers":3}', "-ERR "),
    ],
)
def test_error_texts(command, answer):
    with connected() as (_, client):
        got = client.command(command)
        assert got.startswith(answer) if not answer.endswith("\n") else got == answer
        assert client.api("version").startswith("FreeSWITCH")


def test_only_what_was_asked_for_arrives():
    with connected("DTMF", "CUSTOM", "conference::maintenance") as (_, client):
        leg = client.sandbox(do="call")
        client.api(f"uuid_answer {leg}")
        client.api(f"uuid_transfer {leg} 'conference:room@vsi16000,park' inline")
        client.event(lambda one: one.get("Action") == "add-member")
        client.sandbox(do="hold", uuid=leg)
        client.sandbox(do="dtmf", uuid=leg, digits="5")
        client.event("DTMF")
        assert {one["Event-Name"] for one in client.events} == {"CUSTOM", "DTMF"}
        assert {one.get("Event-Subclass") for one in client.events} == {"conference::maintenance", None}
        client.command("nixevent DTMF")
        client.events.clear()
        client.sandbox(do="dtmf", uuid=leg, digits="6")
        client.api(f"conference room mute {client.api(f'uuid_getvar {leg} conference_member_id')}")
        client.event(lambda one: one.get("Action") == "mute-member")
        assert "DTMF" not in {one["Event-Name"] for one in client.events}


def test_with_a_filter_only_what_one_lets_pass_and_none_refuses():
    with connected("DTMF", "CUSTOM", "conference::maintenance") as (_, client):
        core = client.api("global_getvar core_uuid")
        assert client.command(f"filter Core-UUID {core}") == f"+OK filter added. [Core-UUID]=[{core}]"
        assert client.command("filter Action -mute-member").startswith("+OK")
        leg = client.sandbox(do="call")
        client.api(f"uuid_answer {leg}")
        client.api(f"uuid_transfer {leg} 'conference:room@vsi16000,park' inline")
        client.event(lambda one: one.get("Action") == "add-member")
        member = client.api(f"uuid_getvar {leg} conference_member_id")
        for action in ("mute", "deaf"):
            client.api(f"conference room {action} {member}")
        client.event(lambda one: one.get("Action") == "deaf-member")
        assert "mute-member" not in {one.get("Action") for one in client.events}
        client.command("filter Event-Name none")
        client.sandbox(do="dtmf", uuid=leg, digits="5")
        client.event("DTMF")  # one that lets nothing pass refuses nothing


def test_replies_go_before_events_and_jobs():
    with connected("ALL") as (_, client):
        leg = client.sandbox(do="call")
        client.order.clear()
        client.send(f"api uuid_ring_ready {leg}\n\napi uuid_answer {leg}\n\n")
        client.answer()
        client.answer()
        client.event("CHANNEL_ANSWER")
        assert client.order.index("CHANNEL_PROGRESS") > client.order.index("api/response")
        client.order.clear()
        assert client.command("bgapi uuid_exists x\nJob-UUID: my-job") == "+OK Job-UUID: my-job"
        job = client.event("BACKGROUND_JOB")
        assert (job["Job-UUID"], job["_body"], job["Job-Command"]) == ("my-job", "false", "uuid_exists")
        assert client.order.index("command/reply") < client.order.index("BACKGROUND_JOB")


def test_a_job_of_an_unknown_command_still_is_a_job():
    with connected("BACKGROUND_JOB") as (_, client):
        assert client.command("bgapi nosuch").startswith("+OK Job-UUID: ")
        assert client.event("BACKGROUND_JOB")["_body"] == "-ERR nosuch Command not found!\n"


def test_every_subscriber_gets_an_event_in_sequence():
    with connected("CHANNEL_PARK", "HEARTBEAT", heartbeat_s=0.05) as (switch, client):
        other = RawClient(switch.address[1])
        other.command("event json CHANNEL_PARK")
        legs = [client.sandbox(do="call") for _ in range(20)]
        for one in (client, other):
            one.event(lambda event: event.get("Unique-ID") == legs[-1])
            parked = [event for event in one.events if event["Event-Name"] == "CHANNEL_PARK"]
            assert [event["Unique-ID"] for event in parked] == legs
            numbers = [int(event["Event-Sequence"]) for event in one.events]
            assert numbers == sorted(set(numbers))
        assert client.event("HEARTBEAT")["Heartbeat-Interval"] == "1"
        other.close()


GARBAGE = (
    b"\x00\xff\xfe\r\n\r\n\n\n",
    b"auth \xff\xff\n\n",
    b"api uuid_dump \xc3\x28 json\n\n",
    b"sendmsg\n: :\n::\n\n",
    b'api sandbox {"do": "call", "from": "\\ud800"}\n\n',
    b"bgapi\n\n",
    b"event json CUSTOM\n\n",
    b"api uuid_setvar\n\napi uuid_getvar\n\napi conference\n\napi conference a\n\napi uuid_transfer\n\n",
    b"api originate {{{{ &park()\n\n",
    b'api sandbox {"do":"call","codecs":[[]]}\n\n',
)


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_harms_nobody(data):
    with connected() as (switch, client), closing(RawClient(switch.address[1])) as sick:
        sick.socket.sendall(data)
        assert sick.api("version").startswith(("FreeSWITCH", "-ERR", "+OK", "-USAGE", "Conference"))
        assert client.api("version").startswith("FreeSWITCH")


@pytest.mark.parametrize("length", ["-1", "1e3", "999999999", "9" * 5000, "²"])
def test_an_impossible_length_ends_the_connection(length):
    with connected() as (switch, client), closing(RawClient(switch.address[1])) as sick:
        sick.send(f"sendmsg x\ncontent-length: {length}\n\n")
        with pytest.raises((EOFError, ConnectionError)):
            sick.answer()
        assert client.api("version").startswith("FreeSWITCH")


def test_a_command_without_end_ends_the_connection():
    with connected() as (switch, client), closing(RawClient(switch.address[1])) as sick:
        with pytest.raises((EOFError, ConnectionError)):
            for _ in range(1000):
                sick.socket.sendall(b"x" * 65536)
        assert client.api("version").startswith("FreeSWITCH")


def test_a_client_that_does_not_read_is_dropped(monkeypatch):
    monkeypatch.setattr(connection, "MAX_OUTPUT_BYTES", 100_000)
    with connected() as (switch, client), closing(RawClient(switch.address[1])) as lazy:
        lazy.command("event json ALL")
        leg = client.sandbox(do="call")
        client.sandbox(do="burst", uuid=leg, events=20_000)
        with gevent.Timeout(20):
            while not switch.dropped_clients:
                client.api("version")
        assert switch.dropped_clients == 1
        assert client.api(f"uuid_exists {leg}") == "true"


def test_a_burst_arrives_whole():
    with connected("DTMF") as (_, client):
        leg = client.sandbox(do="call")
        client.sandbox(do="burst", uuid=leg, events=5000)
        client.event(lambda _: len(client.events) == 5000)
        assert [one["DTMF-Digit"] for one in client.events] == [str(n % 10) for n in range(5000)]


def test_a_thousand_dumps_in_one_write():
    with connected() as (_, client):
        legs = [client.sandbox(do="call") for _ in range(1000)]
        client.listed(1000)
        client.send(
            "api show channels as json\n\n" + "".join(f"api uuid_dump {leg} json\n\n" for leg in legs)
        )
        assert json.loads(client.answer())["row_count"] == 1000
        assert [json.loads(client.answer())["Unique-ID"] for _ in legs] == legs


def test_stop_ends_calls_timers_and_clients():
    with connected("ALL") as (switch, client):
        client.sandbox(do="call")
        client.send("api originate {origination_uuid=slow}sofia/vsi/sip:silent@127.0.0.1 &park()\n\n")
        client.event(lambda one: one.get("Unique-ID") == "slow")
        channels = list(switch.channels.values())
        assert len(channels) == 2
        switch.stop()
        gevent.sleep(0)
        assert not any(channel.timers._pending for channel in channels)
        with pytest.raises((EOFError, ConnectionError)):
            client.answer()


def test_there_is_an_end_to_channels():
    with connected() as (switch, client):
        switch.max_channels = 1
        client.sandbox(do="call")
        assert client.sandbox(do="call") == "-ERR the sandbox has all the channels it can have"
        answer = client.api("originate sofia/vsi/sip:a@127.0.0.1 &park()")
        assert answer == "-ERR DESTINATION_OUT_OF_ORDER"


commands = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
        .map(str.strip)
        .filter(bool),
        st.text(st.characters(codec="utf-8"), max_size=30),
    ),
    max_size=6,
)


@given(commands, st.integers(1, 9))
@example([("api version", ""), ("sendmsg x", "body\n\nof two")], 1)
def test_commands_come_apart_the_same_however_they_arrive(sent, size):
    data = b""
    for line, body in sent:
        length = f"\ncontent-length: {len(body.encode())}" if body else ""
        data += f"{line}{length}\n\n".encode() + body.encode()
    reader = wire.CommandReader()
    found = []
    for start in range(0, len(data), size):
        found += reader.feed(data[start : start + size])
    assert [(one.line, one.body) for one in found] == sent
