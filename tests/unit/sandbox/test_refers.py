"""Transfers in the sandbox, as measured on a real switch."""

from __future__ import annotations

import json

from tests.support.rawcalls import ended, incoming
from tests.support.rawclient import RawClient, connected
from tests.support.waiting import eventually

CONTINUE = "sip_refer_continue_after_reply"


def refers(client: RawClient, leg: str, target: str = "sip:bob@h") -> str:
    client.api(f"uuid_setvar {leg} {CONTINUE} true")
    return client.api(f"uuid_deflect {leg} {target}")


def test_what_uuid_deflect_answers():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        assert client.api("uuid_deflect") == "-USAGE: <uuid> <uri>"
        assert client.api("uuid_deflect nobody sip:h") == "-ERR No such channel nobody!"
        assert refers(client, leg) == "+OK:"
        assert refers(client, leg, "sip:c@h;transport=tcp?Replaces=a%3Bto-tag%3D1") == "+OK:"
        assert refers(client, leg, "sip:c,d@h") == "+OK:"  # and sends nothing
        assert client.far(leg)["referred"] == [
            "<sip:bob@h>",
            "<sip:c@h>;transport=tcp?Replaces=a%3Bto-tag%3D1",
        ]


def test_without_its_variable_it_ends_the_call():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        assert client.api(f"uuid_deflect {leg} sip:bob@h").startswith("+OK:")
        assert ended(client, leg)["Hangup-Cause"] == "BLIND_TRANSFER"


def test_a_terminated_report_leaves_a_channel_without_a_dialog():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        refers(client, leg)
        client.sandbox(
            do="notify", uuid=leg, line="SIP/2.0 603 Decline", state="terminated;reason=noresource"
        )
        report = client.event(lambda one: one.get("Event-Subclass") == "sofia::notify_refer")
        assert (report["UniqueID"], report["subscription-substate"]) == (leg, "terminated")
        assert (report["_body"], "Unique-ID" in report) == ("SIP/2.0 603 Decline\r\n", False)
        assert client.api(f"uuid_getvar {leg} sip_refer_target_status_code") == "603"
        eventually(lambda: "BYE" in client.far(leg)["seen"], "the switch sends BYE")
        assert client.api(f"uuid_exists {leg}") == "true"
        client.api(f"uuid_kill {leg} NORMAL_CLEARING")
        last = ended(client, leg)
        assert last["Hangup-Cause"] == "NORMAL_CLEARING"
        assert "variable_sip_hangup_disposition" not in last
        assert client.far(leg)["seen"].count("BYE") == 1


def test_a_challenge():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.sandbox(do="answer_refer", uuid=leg, code=401, challenge=True)
        refers(client, leg)
        last = ended(client, leg)
        assert last["Hangup-Cause"] == "MANDATORY_IE_MISSING"
        assert last["variable_sip_hangup_disposition"] == "send_bye"


def test_what_the_peer_cannot_do():
    with connected("ALL") as (_, client):
        leg, ringing = incoming(client), incoming(client, answer=False)
        for request, wrong in (
            ({"do": "answer_refer", "uuid": leg, "code": 100}, "-ERR code must be"),
            ({"do": "notify", "uuid": ringing, "line": "x"}, "-ERR the call is not answered"),
        ):
            assert client.api(f"sandbox {json.dumps(request)}").startswith(wrong)
