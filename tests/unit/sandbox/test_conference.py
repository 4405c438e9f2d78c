"""Conferences in the sandbox: events in the recorded order, and what survives what."""

from __future__ import annotations

import json

from tests.support.rawcalls import action, ended, incoming, join, sequence
from tests.support.rawclient import RawClient, connected


def is_silent(client: RawClient) -> bool:
    """Whether nobody has begun or ceased to talk until a marker event came."""
    client.command("bgapi version\nJob-UUID: marker")
    client.event(lambda one: one.get("Job-UUID") == "marker")
    return not any("talking" in one.get("Action", "") for one in client.events)


def test_join_and_leave():
    """As recorded: the conference begins with its first member, and ends after its last."""
    with connected("ALL") as (_, client):
        leg = incoming(client)
        first = join(client, leg, "m1")
        assert sequence(client, leg) == [
            *("UNPARK", "EXECUTE_COMPLETE:park", "EXECUTE:set", "EXECUTE_COMPLETE:set"),
            *("EXECUTE:conference", "add-member"),
        ]
        actions = [one["Action"] for one in client.events if "Action" in one]
        assert actions == ["conference-create", "add-member"]
        assert (first["Conference-Name"], first["Conference-Size"]) == ("m1", "1")
        assert (first["Speak"], first["Hear"], first["Talking"]) == ("true", "true", "false")
        assert first["Conference-Profile-Name"] == "vsi16000"
        assert client.api(f"uuid_getvar {leg} conference_member_id") == first["Member-ID"]
        client.events.clear()
        client.api(f"uuid_transfer {leg} 'set:signal_bond=D,park' inline")
        end = action(client, "", "conference-destroy")
        assert sequence(client, leg) == [
            *("del-member", "EXECUTE_COMPLETE:conference", "EXECUTE:set", "EXECUTE_COMPLETE:set"),
            *("EXECUTE:park", "PARK"),
        ]
        assert action(client, leg, "del-member")["Conference-Size"] == "0"
        assert end["Conference-Unique-ID"] == first["Conference-Unique-ID"]
        assert client.api(f"uuid_getvar {leg} signal_bond") == "D"
        again = join(client, leg, "m1")
        assert again["Member-ID"] == first["Member-ID"]
        assert again["Conference-Unique-ID"] != first["Conference-Unique-ID"]


def test_a_move_does_not_park():
    with connected("ALL") as (_, client):
        one, two = incoming(client), incoming(client)
        join(client, one, "a")
        join(client, two, "b")
        moved = join(client, one, "b")
        assert sequence(client, one) == [
            *("del-member", "EXECUTE_COMPLETE:conference", "EXECUTE:set", "EXECUTE_COMPLETE:set"),
            *("EXECUTE:conference", "add-member"),
        ]
        assert moved["Conference-Size"] == "2"


def test_a_transfer_takes_the_bond_away():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        client.api(f"uuid_setvar {leg} signal_bond D")
        client.events.clear()
        client.api(f"uuid_transfer {leg} park inline")
        client.event("CHANNEL_PARK")
        assert client.api(f"uuid_getvar {leg} signal_bond") == "_undef_"


def test_joining_answers_the_caller():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False)
        join(client, leg, "m1")
        words = sequence(client, leg)
        assert words.index("PROGRESS_MEDIA") < words.index("ANSWER") < words.index("add-member")
        assert client.far(leg)["seen"] == ["200"]


def test_joining_without_a_codec_ends_the_call():
    with connected("ALL") as (_, client):
        leg = incoming(client, answer=False, codecs=["PCMU"])
        client.api(f"uuid_setvar {leg} absolute_codec_string G722")
        client.api(f"uuid_transfer {leg} 'conference:m1@vsi8000,park' inline")
        assert ended(client, leg)["Hangup-Cause"] == "INCOMPATIBLE_DESTINATION"
        assert client.api("conference json_list") == "[]"


def test_mute_and_deaf():
    with connected("ALL") as (_, client):
        leg = incoming(client, talk=True)
        member = join(client, leg, "m1", "+flags{mute|deaf}")["Member-ID"]
        assert (client.events[-1]["Speak"], client.events[-1]["Hear"]) == ("false", "false")
        assert client.api(f"conference m1 undeaf {member}") == f"+OK undeaf {member}"
        assert action(client, leg, "undeaf-member")["Hear"] == "true"
        client.sandbox(do="talk", uuid=leg, on=False)
        client.sandbox(do="talk", uuid=leg, on=True)
        assert is_silent(client)
        assert client.api(f"conference m1 unmute {member} quiet") == f"+OK unmute {member}"
        assert action(client, leg, "unmute-member")["Speak"] == "true"
        assert action(client, leg, "start-talking")["Talking"] == "true"
        client.events.clear()
        assert client.api(f"conference m1 mute {member} quiet") == f"+OK mute {member}"
        assert action(client, leg, "mute-member")["Talking"] == "false"
        assert is_silent(client)  # there is no stop-talking
        assert join(client, leg, "m2")["Speak"] == "true"  # a mute does not outlive the stay
        action(client, leg, "start-talking")
        client.sandbox(do="talk", uuid=leg, on=False)
        action(client, leg, "stop-talking")


def test_errors():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        join(client, leg, "m1")
        assert client.api("conference m1 mute 999") == "-ERR Non-Existant ID 999"
        assert client.api("conference m1 mute ²") == "-ERR Non-Existant member"
        assert client.api("conference m1 relate 1 999 nohear") == "-ERR relationship 1->999 not found."
        assert client.api("conference m1 fly 1").startswith("-ERR")
        assert client.api("conference 'm1' get count") == "1"


def test_json_list():
    with connected("ALL") as (_, client):
        legs = [incoming(client), incoming(client)]
        numbers = [int(join(client, leg, "m1")["Member-ID"]) for leg in legs]
        join(client, legs[1], "m1", "+flags{mute}")
        (room,) = json.loads(client.api("conference json_list"))
        assert (room["conference_name"], room["member_count"], room["rate"]) == ("m1", 2, 16000)
        assert room == json.loads(client.api("conference m1 json_list"))[0]
        members = {one["id"]: one for one in room["members"]}
        assert [members[number]["uuid"] for number in numbers] == legs
        assert members[numbers[0]]["flags"]["can_speak"] is True
        assert members[numbers[1]]["flags"]["can_speak"] is False
        assert {one["type"] for one in room["members"]} == {"caller"}


def test_relations():
    with connected("ALL") as (_, client):
        legs = [incoming(client) for _ in range(3)]
        a, b, c = (join(client, leg, "m1")["Member-ID"] for leg in legs)
        assert client.api("conference m1 relate") == "+OK No relationships"
        assert client.api(f"conference m1 relate {a} {b},{c} nohear").split("\n") == [
            f"+OK {a}->{b} nohear set",
            f"+OK {a}->{c} nohear set",
        ]
        assert client.api("conference m1 relate") == "-ERR no reply"
        assert f"{a} -> {b} SPEAK NOHEAR" in client.api(f"conference m1 relate {a}")
        client.api(f"conference m1 relate {a} {b} nospeak")  # replaces the nohear
        assert f"{a} -> {b} NOSPEAK HEAR" in client.api(f"conference m1 relate {a}")
        assert client.api(f"conference m1 relate {b} {a} clear").startswith("-ERR")
        join(client, legs[1], "m2")
        join(client, legs[1], "m1")
        assert f"{a} -> {b}" in client.api(f"conference m1 relate {a}")  # survives the other's absence
        assert client.api(f"conference m1 relate {a} {c} clear") == f"+OK relationship {a}->{c} cleared."
        join(client, legs[0], "m2")
        assert client.api("conference m1 relate") == "+OK No relationships"  # but not the owner's


def test_what_stands_behind_the_conference():
    with connected("ALL") as (_, client):
        parked, gone = incoming(client), incoming(client)
        join(client, parked, "m1")
        number = join(client, gone, "m1", behind="")["Member-ID"]
        client.events.clear()
        assert client.api(f"conference m1 kick {number}") == f"+OK kicked {number}"
        assert ended(client, gone)["Hangup-Cause"] == "NORMAL_CLEARING"
        assert sequence(client, gone)[:4] == [
            "kick-member",
            "del-member",
            "EXECUTE_COMPLETE:conference",
            "HANGUP",
        ]
        assert client.api("conference m1 hup all").startswith("+OK hup ")
        client.event(lambda one: one["Event-Name"] == "CHANNEL_PARK" and one["Unique-ID"] == parked)
        assert client.api(f"uuid_exists {parked}") == "true"
        assert client.api("conference m1 get count") == "-ERR Conference m1 not found"


def test_hangup_in_a_conference():
    with connected("ALL") as (_, client):
        leg = incoming(client)
        join(client, leg, "m1")
        client.events.clear()
        client.sandbox(do="hangup", uuid=leg)
        ended(client, leg)
        assert [word for word in sequence(client, leg) if word != "CALLSTATE"] == [
            *("HANGUP", "del-member", "EXECUTE_COMPLETE:conference", "HANGUP_COMPLETE", "DESTROY")
        ]
        action(client, "", "conference-destroy")


def test_an_early_outbound_leg_can_join_and_is_not_parked_by_the_answer():
    with connected("ALL") as (_, client):
        leg = "early-leg"
        client.command(f"bgapi originate {{origination_uuid={leg}}}sofia/vsi/sip:early@127.0.0.1 &park()")
        client.event(lambda one: one["Event-Name"] == "CHANNEL_PARK" and one["Unique-ID"] == leg)
        join(client, leg, "m1")
        client.sandbox(do="answer", uuid=leg)
        client.event("CHANNEL_ANSWER")
        client.api("conference m1 get count")
        assert "PARK" not in client.names(leg)
        assert client.api("conference m1 get count") == "1"
