"""Calls in the sandbox, their events in the order recorded on a real switch."""

from __future__ import annotations

import json

import pytest

from tests.support.rawcalls import dial, ended, incoming, of, sequence
from tests.support.rawclient import RawClient, connected, shown

ARRIVES = ["CREATE", "CALLSTATE", "EXECUTE:park", "PARK"]
ANSWERED = ["PROGRESS_MEDIA", "CALLSTATE", "ANSWER", "CALLSTATE"]
ENDS = ["HANGUP", "UNPARK", "EXECUTE_COMPLETE:park", "CALLSTATE", "HANGUP_COMPLETE", "DESTROY"]
DIALLED = ["CREATE", "ORIGINATE"]


def variables(event: dict, *names: str) -> tuple:
    return tuple(event.get(f"variable_{name}") for name in names)


def watched(client: RawClient, leg: str, start: str, header: str = "CSeq") -> dict:
    return client.event(
        lambda one: (
            one.get("Unique-ID") == leg
            and one.get("SIP-Message", "").startswith(start)
            and one["Header-Name"] == header
        )
    )


def job(client: RawClient, leg: str) -> str:
    return client.event(lambda one: one.get("Job-UUID") == leg)["_body"].rstrip("\n")


def test_ring_early_media_answer_hangup():
    """As recorded: 180, a second 180 that is not sent, 183, 200, our hangup."""
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        for command in ("ring_ready", "ring_ready", "pre_answer", "answer", "answer"):
            assert client.api(f"uuid_{command} {leg}") == "+OK"
        assert client.api(f"uuid_kill {leg} NORMAL_CLEARING") == "+OK"
        last = ended(client, leg)
        progress = ["PROGRESS", "PROGRESS_MEDIA", "CALLSTATE", "ANSWER", "CALLSTATE"]
        assert sequence(client, leg) == ARRIVES + progress + ENDS
        states = [
            (one["Event-Name"], one["Answer-State"], one["Channel-Call-State"])
            for one in client.events
            if one.get("Unique-ID") == leg
        ]
        assert ("CHANNEL_CREATE", "ringing", "DOWN") in states
        assert ("CHANNEL_PARK", "ringing", "RINGING") in states
        assert ("CHANNEL_PROGRESS_MEDIA", "early", "RINGING") in states
        assert ("CHANNEL_ANSWER", "answered", "EARLY") in states
        assert (last["Channel-State"], last["Answer-State"]) == ("CS_REPORTING", "hangup")
        assert last["Hangup-Cause"] == "NORMAL_CLEARING"
        assert variables(last, "sip_hangup_disposition", "sip_term_status") == ("send_bye", None)
        assert client.far(leg)["seen"] == ["180", "183", "200", "BYE"]
        assert client.far(leg)["reason"] == 'Q.850;cause=16;text="NORMAL_CLEARING"'


def test_a_plain_answer_fires_progress_media_too():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        event = of(client, "CHANNEL_ANSWER", leg)
        assert watched(client, leg, "ACK ")["Header-Value"] == "1 ACK"
        assert sequence(client, leg) == ARRIVES + ANSWERED
        assert variables(event, "rtp_use_codec_name", "read_rate") == ("PCMU", "8000")
        assert variables(event, "remote_audio_media_flow") == ("sendrecv",)
        times = [int(event[f"Caller-Channel-{name}-Time"]) for name in ("Created", "Answered", "Hangup")]
        assert 0 < times[0] <= times[1] < times[0] + 20_000_000
        assert times[2] == 0


def test_what_an_inbound_call_shows():
    with connected("CHANNEL_PARK") as (_, client):
        headers = {
            "X-App-ID": "shop",
            "x-lower": "é",
            "X-Empty": "",
            "X-Var": "a${b}",
            "X-List": "ARRAY::a|:b",
        }
        request = {"from": "+15550100", "to": "+15550199", "display": 'Al "x"', "codecs": ["g722", "PCMU"]}
        leg = client.sandbox(do="call", headers=headers, **request)
        event = of(client, "CHANNEL_PARK", leg)
        assert (event["Call-Direction"], event["Answer-State"]) == ("inbound", "ringing")
        assert event["Caller-Destination-Number"] == "+15550199"
        assert variables(event, "vsi_leg", "sip_from_user", "sip_to_user") == (
            "inbound",
            "+15550100",
            "+15550199",
        )
        assert variables(event, "sip_h_X-App-ID", "sip_h_x-lower") == ("shop", "é")
        assert variables(event, "sip_h_X-Empty", "sip_h_X-Var") == (None, None)
        assert event["variable_sip_h_X-List"] == ["a", "b"]
        assert event["variable_sip_full_from"].startswith('"Al "x"" <sip:+15550100@')
        description = event["variable_switch_r_sdp"]
        assert "m=audio 4000 RTP/AVP 9 0 101" in description
        assert "a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000" in description
        dump = json.loads(client.api(f"uuid_dump {leg} json"))
        assert (dump["Event-Name"], dump["variable_sip_call_id"]) == ("CHANNEL_DATA", f"{leg}@sandbox")
        assert json.loads(client.api("show channels as json")) == {"row_count": 0}  # not yet
        (row,) = client.listed(1)
        assert (row["uuid"], row["application"], row["callstate"]) == (leg, "park", "RINGING")


@pytest.mark.parametrize(
    ("codec", "shown_as", "rate"),
    [("PCMA", "PCMA", "8000"), ("G722", "G722", "16000"), ("OPUS", "opus", "48000")],
)
def test_a_codec_can_be_forced(codec, shown_as, rate):
    with connected("CHANNEL_ANSWER") as (_, client):
        leg = incoming(client, answer=False)
        client.api(f"uuid_setvar {leg} absolute_codec_string {codec}")
        assert client.api(f"uuid_answer {leg}") == "+OK"
        event = of(client, "CHANNEL_ANSWER", leg)
        assert variables(event, "rtp_use_codec_name", "read_codec", "read_rate") == (shown_as, shown_as, rate)


def test_a_codec_that_was_not_offered_ends_the_call():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False, codecs=["PCMU"])
        client.api(f"uuid_setvar {leg} absolute_codec_string PCMA")
        assert client.api(f"uuid_pre_answer {leg}") == "-ERROR"
        last = ended(client, leg)
        assert last["Hangup-Cause"] == "INCOMPATIBLE_DESTINATION"
        assert variables(last, "endpoint_disposition", "sip_hangup_disposition") == (
            "CODEC NEGOTIATION ERROR",
            "send_refuse",
        )
        assert client.far(leg)["seen"] == ["488 Not Acceptable Here"]


@pytest.mark.parametrize(
    ("given", "cause", "seen"),
    [
        ("USER_BUSY", "USER_BUSY", "486 Busy Here"),
        ("CALL_REJECTED", "CALL_REJECTED", "603 Decline"),
        ("DECLINE", "DECLINE", "603 Decline"),
        ("NO_ANSWER", "NO_ANSWER", "480 Temporarily Unavailable"),
        ("UNALLOCATED_NUMBER", "UNALLOCATED_NUMBER", "404 Not Found"),
        ("INCOMING_CALL_BARRED", "INCOMING_CALL_BARRED", "403 Forbidden"),
        ("ORIGINATOR_CANCEL", "ORIGINATOR_CANCEL", "487 Request Terminated"),
        ("NORMAL_TEMPORARY_FAILURE", "NORMAL_TEMPORARY_FAILURE", "503 Service Unavailable"),
        ("NO_USER_RESPONSE", "NO_USER_RESPONSE", "408 Request Timeout"),
        ("RECOVERY_ON_TIMER_EXPIRE", "RECOVERY_ON_TIMER_EXPIRE", "504 Server Time-out"),
        ("BOGUS", "NORMAL_CLEARING", "480 Temporarily Unavailable"),
        ("17", "USER_BUSY", "486 Busy Here"),
        ("500", "UNKNOWN", "480 Temporarily Unavailable"),
        ("", "NORMAL_CLEARING", "480 Temporarily Unavailable"),
    ],
)
def test_hangup_causes_of_an_unanswered_call(given, cause, seen):
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        assert client.api(f"uuid_kill {leg} {given}".strip()) == "+OK"
        last = ended(client, leg)
        assert last["Hangup-Cause"] == cause
        assert variables(last, "sip_hangup_disposition", "rtp_audio_in_mos") == ("send_refuse", None)
        assert client.far(leg)["seen"] == [seen]
        assert sequence(client, leg) == ARRIVES + ENDS


def test_500_needs_a_variable():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        client.api(f"uuid_setvar {leg} last_bridge_proto_specific_hangup_cause sip:500")
        client.api(f"uuid_kill {leg} NORMAL_TEMPORARY_FAILURE")
        ended(client, leg)
        assert client.far(leg)["seen"] == ["500 Server Internal Error"]


@pytest.mark.parametrize("answer", [False, True])
def test_the_caller_hangs_up(answer):
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=answer)
        assert client.sandbox(do="hangup", uuid=leg) == "+OK"
        assert client.api(f"uuid_answer {leg}") == "-ERROR"
        assert client.command(f"sendmsg {leg}\ncall-command: hangup") == f"-ERR invalid session id [{leg}]"
        last = ended(client, leg)
        found = variables(last, "sip_hangup_disposition", "sip_term_status", "proto_specific_hangup_cause")
        if answer:
            assert (last["Hangup-Cause"], *found) == ("NORMAL_CLEARING", "recv_bye", "200", "sip:200")
            assert watched(client, leg, "BYE ")["Header-Value"] == "2 BYE"
        else:
            assert (last["Hangup-Cause"], *found) == ("ORIGINATOR_CANCEL", "recv_cancel", "487", "sip:487")
            assert variables(last, "sip_invite_failure_phrase") == ("CANCEL",)
        assert client.api(f"uuid_exists {leg}") == "false"


def test_nobody_takes_the_call(monkeypatch):
    monkeypatch.setattr("vsi_esl.sandbox.farend.PARK_LIMIT_S", 1.0)
    with connected("ALL") as (_, client):
        kept, lost = incoming(client, answer=False), incoming(client, answer=False)
        assert client.api(f"sched_del {kept}") == "+OK Deleted: 1"
        assert client.api(f"sched_del {kept}") == "+OK Deleted: 0"
        assert ended(client, lost)["Hangup-Cause"] == "NORMAL_TEMPORARY_FAILURE"
        assert client.far(lost)["seen"] == ["503 Service Unavailable"]
        assert client.api(f"uuid_exists {kept}") == "true"


def test_rtp_figures_come_last():
    with connected("ALL") as (switch, client):
        leg = incoming(client)
        channel = switch.channels[leg]
        channel.rtp_since -= 2_000_000  # two seconds of talk
        client.api(f"uuid_kill {leg}")
        last = ended(client, leg)
        assert 100 <= int(last["variable_rtp_audio_in_packet_count"]) < 1000
        assert variables(last, "rtp_audio_in_mean_interval", "rtp_audio_in_mos") == ("20.00", "4.50")


def test_no_packets_while_the_peer_is_held():
    with connected("ALL") as (switch, client):
        leg = incoming(client)
        channel = switch.channels[leg]
        client.api(f"uuid_hold {leg}")
        before = channel.packets_before
        assert channel.rtp_since == 0
        client.api(f"uuid_kill {leg}")
        assert float(ended(client, leg)["variable_rtp_audio_in_packet_count"]) <= before + 1


# -- outbound ---------------------------------------------------------------------------------------------


def test_ring_and_answer():
    with connected("ALL") as (_, client):
        leg = dial(client, "answer", "vsi_leg=outbound,sip_h_X-Test=two\\swords")
        assert job(client, leg) == f"+OK {leg}"
        event = of(client, "CHANNEL_PARK", leg)
        rang = ["PROGRESS", "CALLSTATE", "ANSWER", "CALLSTATE"]
        assert sequence(client, leg) == [*DIALLED, *rang, "BACKGROUND_JOB", "EXECUTE:park", "PARK"]
        assert (event["Call-Direction"], event["Answer-State"]) == ("outbound", "answered")
        assert variables(event, "vsi_leg", "sip_h_X-Test") == ("outbound", "two words")
        names = [shown(one) for one in client.events if one.get("Unique-ID") == leg]
        assert names.index("notify_watched_header") == names.index("ANSWER") - 1
        assert watched(client, leg, "SIP/2.0 200 OK")["Header-Value"].endswith(" INVITE")
        client.api(f"uuid_kill {leg}")
        assert variables(ended(client, leg), "sip_hangup_disposition") == ("send_bye",)
        assert client.far(leg)["seen"] == ["INVITE", "BYE"]


def test_an_answer_at_once_has_no_early_media():
    with connected("ALL") as (_, client):
        leg = dial(client, "instant", "absolute_codec_string=G722\\\\,PCMU")
        event = of(client, "CHANNEL_PARK", leg)
        answered = ["ANSWER", "CALLSTATE", "BACKGROUND_JOB", "EXECUTE:park", "PARK"]
        assert sequence(client, leg) == DIALLED + answered
        assert variables(event, "rtp_use_codec_name", "sip_reply_host") == ("G722", "127.0.0.1")


def test_early_media_and_then_an_answer():
    with connected("ALL") as (_, client):
        leg = dial(client, "early-answer")
        of(client, "CHANNEL_ANSWER", leg)
        early = ["PROGRESS_MEDIA", "CALLSTATE", "BACKGROUND_JOB", "EXECUTE:park", "PARK"]
        assert sequence(client, leg)[:8] == [*DIALLED, *early, "ANSWER"]
        assert of(client, "CHANNEL_PARK", leg)["Answer-State"] == "early"


def test_early_media_can_be_ignored():
    with connected("ALL") as (_, client):
        leg = dial(client, "early-answer", "ignore_early_media=true")
        of(client, "CHANNEL_PARK", leg)
        words = sequence(client, leg)
        assert words.index("PROGRESS_MEDIA") < words.index("ANSWER") < words.index("BACKGROUND_JOB")
        assert of(client, "CHANNEL_PARK", leg)["Answer-State"] == "answered"


@pytest.mark.parametrize("user", ["ring", "ring-long", "early"])
@pytest.mark.parametrize("answer", [True, False])
def test_the_callee_waits_to_be_told(user, answer):
    with connected("ALL") as (_, client):
        leg = dial(client, user)
        of(client, "CHANNEL_PROGRESS_MEDIA" if user == "early" else "CHANNEL_PROGRESS", leg)
        if answer:
            assert client.sandbox(do="answer", uuid=leg) == "+OK"
            of(client, "CHANNEL_ANSWER", leg)
            assert job(client, leg) == f"+OK {leg}"
            assert client.sandbox(do="answer", uuid=leg).startswith("-ERR")
            return
        assert client.sandbox(do="reject", uuid=leg, code=486) == "+OK"
        last = ended(client, leg)
        assert last["Hangup-Cause"] == "USER_BUSY"
        assert variables(last, "sip_hangup_disposition", "sip_term_status") == ("recv_refuse", "486")
        if user != "early":
            assert job(client, leg) == "-ERR USER_BUSY"


REFUSED = [
    (400, "NORMAL_TEMPORARY_FAILURE"),
    (402, "CALL_REJECTED"),
    (403, "CALL_REJECTED"),
    (404, "UNALLOCATED_NUMBER"),
    (405, "SERVICE_UNAVAILABLE"),
    (406, "SERVICE_NOT_IMPLEMENTED"),
    (408, "RECOVERY_ON_TIMER_EXPIRE"),
    (410, "NUMBER_CHANGED"),
    (480, "NO_USER_RESPONSE"),
    (484, "INVALID_NUMBER_FORMAT"),
    (486, "USER_BUSY"),
    (487, "ORIGINATOR_CANCEL"),
    (488, "INCOMPATIBLE_DESTINATION"),
    (500, "NORMAL_TEMPORARY_FAILURE"),
    (502, "NETWORK_OUT_OF_ORDER"),
    (503, "NORMAL_TEMPORARY_FAILURE"),
    (600, "USER_BUSY"),
    (603, "CALL_REJECTED"),
    (604, "NO_ROUTE_DESTINATION"),
]


@pytest.mark.parametrize(("code", "cause"), REFUSED)
def test_the_callee_refuses(code, cause):
    with connected("ALL") as (_, client):
        leg = dial(client, f"reject-{code}")
        assert job(client, leg) == f"-ERR {cause}"
        last = ended(client, leg)
        assert sequence(client, leg) == [
            *DIALLED,
            "HANGUP",
            "CALLSTATE",
            "HANGUP_COMPLETE",
            "DESTROY",
            "BACKGROUND_JOB",
        ]
        assert last["Hangup-Cause"] == cause
        assert variables(last, "sip_term_status", "sip_invite_failure_status", "sip_hangup_disposition") == (
            str(code),
            str(code),
            "recv_refuse",
        )
        assert variables(last, "proto_specific_hangup_cause", "sip_network_ip") == (
            f"sip:{code}",
            "127.0.0.1",
        )


def test_ring_and_refuse():
    with connected("ALL") as (_, client):
        leg = dial(client, "ring-reject-480")
        assert job(client, leg) == "-ERR NO_USER_RESPONSE"
        assert sequence(client, leg)[2:4] == ["PROGRESS", "CALLSTATE"]


def test_401_without_a_challenge():
    with connected("ALL") as (_, client):
        leg = dial(client, "reject-401")
        assert job(client, leg) == "-ERR CALL_REJECTED"
        found = variables(
            ended(client, leg), "sip_term_status", "sip_invite_failure_status", "sip_hangup_disposition"
        )
        assert found == ("401", None, None)


@pytest.mark.parametrize(
    ("credentials", "cause", "found"),
    [
        ("", "MANDATORY_IE_MISSING", (None, "send_cancel", "487")),
        ("sip_auth_username=trunk,sip_auth_password=wrong", "NORMAL_UNSPECIFIED", ("904", None, None)),
        (r'sip_auth_username=trunk,sip_auth_password=trunk;pa\\,ss"x', "", ()),
    ],
)
def test_digest(credentials, cause, found):
    with connected("ALL") as (_, client):
        leg = dial(client, "auth", credentials)
        if not cause:
            assert job(client, leg) == f"+OK {leg}"
            return
        assert job(client, leg) == f"-ERR {cause}"
        last = ended(client, leg)
        assert (
            variables(last, "sip_term_status", "sip_hangup_disposition", "sip_invite_failure_status") == found
        )


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.example"])
def test_unreachable_is_a_503_that_nobody_sent(host):
    with connected("ALL") as (_, client):
        leg = dial(client, "bob", host=host)
        assert job(client, leg) == "-ERR NORMAL_TEMPORARY_FAILURE"
        last = ended(client, leg)
        assert variables(last, "sip_term_status", "sip_network_ip", "sip_reply_host") == ("503", None, None)


def test_redirects():
    with connected("ALL") as (_, client):
        leg = dial(client, "redirect", "outbound_redirect_fatal=true")
        assert job(client, leg) == "-ERR REQUESTED_CHAN_UNAVAIL"
        last = ended(client, leg)
        assert variables(last, "proto_specific_hangup_cause", "sip_term_status") == ("sip:302", None)
        assert last["variable_sip_redirected_to"].startswith("<sip:")
        leg = dial(client, "redirect")  # the same id is free again
        of(client, "CHANNEL_ANSWER", leg)
        assert "INVITE redirected" in client.far(leg)["seen"]


def test_an_unusable_answer():
    with connected("ALL") as (_, client):
        leg = dial(client, "badsdp")
        assert job(client, leg) == "-ERR INCOMPATIBLE_DESTINATION"
        last = ended(client, leg)
        assert variables(last, "endpoint_disposition", "sip_hangup_disposition") == ("NO CODECS", "send_bye")
        assert "ANSWER" not in client.names(leg)


def test_nobody_answers():
    with connected("ALL") as (_, client):
        leg = dial(client, "silent", "originate_timeout=1")
        assert job(client, leg) == "-ERR NO_ANSWER"
        assert variables(ended(client, leg), "sip_hangup_disposition") == ("send_cancel",)


def test_we_cancel():
    with connected("ALL") as (_, client):
        leg = dial(client, "ring")
        of(client, "CHANNEL_PROGRESS", leg)
        client.api(f"uuid_kill {leg} NO_ANSWER")
        assert job(client, leg) == "-ERR NO_ANSWER"
        last = ended(client, leg)
        assert variables(
            last, "sip_invite_failure_status", "sip_invite_failure_phrase", "sip_term_status"
        ) == (
            "487",
            "CANCEL",
            None,
        )
        assert client.far(leg)["seen"] == ["INVITE", "CANCEL"]


def test_the_callee_hangs_up_soon():
    with connected("ALL") as (_, client):
        leg = dial(client, "bye-after")
        assert variables(ended(client, leg), "sip_hangup_disposition") == ("recv_bye",)
        assert job(client, leg) == f"+OK {leg}"


def test_a_second_call_of_the_same_id():
    with connected("ALL") as (_, client):
        leg = dial(client, "ring")
        of(client, "CHANNEL_PROGRESS", leg)
        answer = client.command(
            f"bgapi originate {{origination_uuid={leg}}}sofia/vsi/sip:x@127.0.0.1 &park()\nJob-UUID: 2"
        )
        assert answer == "+OK Job-UUID: 2"
        assert job(client, "2") == "-ERR DESTINATION_OUT_OF_ORDER"
        assert client.names(leg).count("CREATE") == 1


def test_api_originate_holds_its_connection():
    with connected() as (_, client):
        assert client.api("originate {origination_uuid=a}sofia/vsi/sip:instant@127.0.0.1 &park()") == "+OK a"
        assert client.api("originate sofia/vsi/sip:reject-486@127.0.0.1 &park()") == "-ERR USER_BUSY"


def test_a_null_channel():
    """As recorded: it answers by itself, then the job, then its park."""
    with connected("ALL") as (_, client):
        client.command("bgapi originate {origination_uuid=vsi-bond}null/dummy &park()\nJob-UUID: vsi-bond")
        of(client, "CHANNEL_PARK", "vsi-bond")
        assert [word for word in sequence(client, "vsi-bond") if word != "CALLSTATE"] == [
            "CREATE",
            "ANSWER",
            "BACKGROUND_JOB",
            "EXECUTE:park",
            "PARK",
        ]
        assert len(client.listed(1)) == 1


# -- within a call ----------------------------------------------------------------------------------------


def test_hold_and_unhold():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        watched(client, leg, "ACK ")
        assert client.api(f"uuid_hold {leg}") == "+OK Success"
        assert client.api(f"uuid_hold {leg}") == "-ERR Operation failed"
        event = of(client, "CHANNEL_HOLD", leg)
        assert (event["Channel-Call-State"], event["Event-Calling-Function"]) == ("HELD", "switch_ivr_hold")
        assert variables(event, "remote_audio_media_flow") == ("sendrecv",)
        number = int(watched(client, leg, "SIP/2.0 200 OK")["Header-Value"].split()[0])
        assert json.loads(client.api(f"uuid_dump {leg} json"))["Channel-Call-State"] == "HELD"
        client.events.clear()
        assert client.api(f"uuid_hold off {leg}") == "+OK Success"
        event = of(client, "CHANNEL_UNHOLD", leg)
        assert (event["Channel-Call-State"], event["Event-Calling-Function"]) == (
            "UNHELD",
            "switch_ivr_unhold",
        )
        assert watched(client, leg, "SIP/2.0 200 OK")["Header-Value"] == f"{number + 1} INVITE"
        client.event(lambda one: one.get("Original-Channel-Call-State") == "UNHELD")
        assert client.api(f"uuid_hold off {leg}") == "-ERR Operation failed"
        assert client.far(leg)["reinvites"] == ["sendonly", "sendrecv"]


def test_a_refused_hold_shows_only_in_sip():
    with connected("ALL") as (_, client):
        leg = dial(client, "hold-reject")
        of(client, "CHANNEL_PARK", leg)
        client.api(f"uuid_hold {leg}")
        of(client, "CHANNEL_HOLD", leg)
        assert watched(client, leg, "SIP/2.0 488 Not Acceptable Here")["Header-Value"].endswith(" INVITE")
        assert json.loads(client.api(f"uuid_dump {leg} json"))["Channel-Call-State"] == "HELD"
        client.api(f"uuid_kill {leg}")
        ended(client, leg)
        words = client.names(leg)
        assert words.index("UNHOLD") < words.index("HANGUP")


def test_hold_before_the_answer_is_a_lie():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        assert client.api(f"uuid_hold {leg}") == "+OK Success"
        assert of(client, "CHANNEL_HOLD", leg)["Channel-Call-State"] == "RINGING"
        assert client.far(leg)["seen"] == []


@pytest.mark.parametrize("flow", ["sendonly", "inactive"])
def test_the_peer_holds(flow):
    with connected("ALL") as (_, client):
        leg = incoming(client)
        watched(client, leg, "ACK ")
        client.events.clear()
        assert client.sandbox(do="hold", uuid=leg, flow=flow) == "+OK"
        event = of(client, "CHANNEL_HOLD", leg)
        assert event["Event-Calling-Function"] == "switch_channel_mark_hold"
        assert variables(event, "remote_audio_media_flow") == (flow,)
        client.event(lambda one: one.get("Event-Subclass") == "sofia::reinvite")
        client.sandbox(do="unhold", uuid=leg)
        assert variables(of(client, "CHANNEL_UNHOLD", leg), "remote_audio_media_flow") == ("sendrecv",)
        client.event(lambda one: one.get("Original-Channel-Call-State") == "UNHELD")
        assert sequence(client, leg) == [
            *("CALLSTATE", "HOLD", "reinvite"),
            *("CALLSTATE", "UNHOLD", "reinvite", "CALLSTATE"),
        ]


def test_digits_both_ways():
    with connected("DTMF") as (_, client):
        leg = incoming(client, answer=False)
        assert client.sandbox(do="dtmf", uuid=leg, digits="1") == "-ERR the call has no media yet"
        client.api(f"uuid_answer {leg}")
        client.sandbox(do="dtmf", uuid=leg, digits="5*#A")
        client.event(lambda one: one["DTMF-Digit"] == "A")
        assert [one["DTMF-Digit"] for one in client.events] == list("5*#A")
        assert (client.events[0]["DTMF-Source"], client.events[0]["DTMF-Duration"]) == ("RTP", "2240")
        assert client.api(f"uuid_send_dtmf {leg} 12#*A") == f"+OK {leg} sent DTMF 12#*A."
        assert client.api(f"uuid_send_dtmf {leg} x") == "-ERR Operation failed"
        assert client.far(leg)["digits"] == "12#*A"
        assert client.api(f"uuid_recv_dtmf {leg} 9@2000") == f"+OK {leg} received DTMF 9@2000."
        assert client.event(lambda one: one["DTMF-Digit"] == "9")["DTMF-Source"] == "APP"
        assert client.sandbox(do="dtmf", uuid=leg, digits="x").startswith("-ERR digits")


def test_media_timeout():
    with connected("ALL") as (_, client):
        legs = [incoming(client, answer=False) for _ in range(3)]
        silent, held, late = legs
        for leg in (silent, held):
            client.api(f"uuid_setvar {leg} media_timeout 60")
        for leg in legs:
            client.api(f"uuid_answer {leg}")
        client.api(f"uuid_setvar {late} media_timeout 60")  # no effect any more
        client.api(f"uuid_hold {held}")
        for leg in (late, held, silent):
            client.sandbox(do="rtp", uuid=leg, on=False)
        last = ended(client, silent)
        assert (last["Hangup-Cause"], *variables(last, "sip_hangup_disposition")) == (
            "MEDIA_TIMEOUT",
            "send_bye",
        )
        assert client.api(f"uuid_exists {held}") == client.api(f"uuid_exists {late}") == "true"
        client.api(f"uuid_hold off {held}")
        assert ended(client, held)["Hangup-Cause"] == "MEDIA_TIMEOUT"
        assert client.api(f"uuid_exists {late}") == "true"


def bonded(client: RawClient, **more) -> str:
    client.api("originate {origination_uuid=vsi-bond}null/dummy &park()")
    leg = incoming(client, **more)
    client.api(f"uuid_setvar {leg} signal_bond vsi-bond")
    return leg


def respond(client: RawClient, leg: str, argument: str) -> str:
    return client.command(
        f"sendmsg {leg}\ncall-command: execute\nexecute-app-name: respond\nexecute-app-arg: {argument}"
    )


def test_a_bonded_refer_waits():
    with connected("ALL") as (_, client):
        leg = bonded(client)
        client.sandbox(do="refer", uuid=leg, to="sip:carol@127.0.0.1")
        event = watched(client, leg, "REFER sip:", "Refer-To")
        assert event["Header-Value"] == "<sip:carol@127.0.0.1>"
        assert variables(event, "signal_bond") == ("vsi-bond",)
        assert watched(client, leg, "REFER ")["Header-Value"] == "2 REFER"
        headers = [one.get("Header-Name") for one in client.events if "REFER" in one.get("SIP-Message", "")]
        assert headers[:2] == ["CSeq", "Refer-To"]
        for _ in range(2):  # the second is taken, and ignored
            client.events.clear()
            assert respond(client, leg, "603 Decline") == "+OK"
            of(client, "CHANNEL_EXECUTE_COMPLETE", leg)
        assert client.api(f"uuid_exists {leg}") == "true"
        client.api(f"uuid_kill {leg}")
        ended(client, leg)
        assert client.far(leg)["seen"] == ["200", "603 Decline", "BYE"]


@pytest.mark.parametrize("target", ["sip:carol@127.0.0.1", "sip:carol@127.0.0.1?Replaces=x"])
def test_without_a_bond_the_switch_declines_itself(target):
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.sandbox(do="refer", uuid=leg, to=target)
        event = watched(client, leg, "REFER sip:", "Refer-To")
        assert "variable_signal_bond" not in event
        assert client.far(leg)["seen"] == ["200", "202 Accepted", "NOTIFY 403 Forbidden"]
        errors = [one for one in client.events if one.get("Event-Subclass") == "sofia::error"]
        assert len(errors) == (0 if "Replaces" in target else 1)
        assert all(one["Full-Refer-To"] == f"<{target}>" for one in errors)


@pytest.mark.parametrize(("answer", "seen"), [(True, ["200", "BYE"]), (False, ["486 Gone fishing"])])
def test_respond_without_a_refer_ends_the_call(answer, seen):
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=answer)
        assert respond(client, leg, "486 Gone fishing") == "+OK"
        assert ended(client, leg)["Hangup-Cause"] == "USER_BUSY"
        assert client.far(leg)["seen"] == seen


def test_applications_by_message():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        for name, argument in (("set", "vsi_t=${sip_from_user}!"), ("playback", "tone.wav"), ("answer", "")):
            block = f"call-command: execute\nexecute-app-name: {name}\nexecute-app-arg: {argument}"
            assert client.command(f"sendmsg {leg}\n{block}") == "+OK"
        assert variables(of(client, "CHANNEL_ANSWER", leg), "vsi_t") == ("+15550100!",)
        assert client.command(f"sendmsg {leg}\ncall-command: hangup\nhangup-cause: USER_BUSY") == "+OK"
        assert ended(client, leg)["Hangup-Cause"] == "USER_BUSY"
