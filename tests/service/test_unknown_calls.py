"""Commands that come before a service that has begun has looked at its switch's calls."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.service import crash
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.protocol import unknown
from vsi_esl.switch.node import SwitchNode
from vsi_esl.translate import adoption

TOKENS = {name: new_token() for name in ("all", "acme")}
LINES = (line_of("all", "control", TOKENS["all"]), line_of("acme", "control", TOKENS["acme"], "acme"))


@pytest.fixture
def look(monkeypatch):
    """The service looks at its switch's calls when this is set."""
    set_, resync = Event(), adoption.resync
    monkeypatch.setattr(adoption, "resync", lambda *of: resync(*of) if set_.wait(20) else None)
    yield set_
    set_.set()


@pytest.fixture
def waiting(monkeypatch):
    """How many commands wait for the calls to be known."""
    waiting, wait = [], SwitchNode.wait_adopted

    def counted(self, timeout):
        waiting.append(timeout)
        return wait(self, timeout)

    monkeypatch.setattr(SwitchNode, "wait_adopted", counted)
    return waiting


def a_call_in_a_room(switch, client):
    _, leg = answered(switch, client, headers={"X-App-ID": "acme"})
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    return leg


def test_they_wait_for_it(switch, start, connect, look, waiting):
    look.set()
    service = start()
    leg = a_call_in_a_room(switch, client := connect(service))
    before = {
        "get_leg": client.ok("get_leg", id=leg),
        "get_room": client.ok("get_room", id="r"),
        "list_legs": client.ok("list_legs"),
        "list_rooms": client.ok("list_rooms"),
    }
    crash(service)
    look.clear()
    service = start(wait=False)
    named = {"get_leg": {"id": leg}, "get_room": {"id": "r"}}
    answers = {
        command: gevent.spawn(connect(service).ok, command, **named.get(command, {})) for command in before
    }
    muted = gevent.spawn(connect(service).ok, "mute_leg", id=leg)
    eventually(lambda: len(waiting) == 5, "all of them wait")
    assert not any(one.ready() for one in (*answers.values(), muted))
    look.set()
    muted.get(timeout=20)
    after = {command: answer.get(timeout=20) for command, answer in answers.items()}
    for one in (after["get_leg"], *after["list_legs"], *after["get_room"]["participants"]):
        one["muted"] = False  # the fifth may have come first
    for room in after["list_rooms"]:
        for one in room["participants"]:
            one["muted"] = False
    assert after == before


def test_what_is_on_a_switch_that_is_away_is_not_said_to_be_nowhere(switch, start, connect, monkeypatch):
    service = start(access={"tokens": LINES})
    client = connect(service, f"?token={TOKENS['all']}")
    leg = a_call_in_a_room(switch, client)
    client.ok("create_room", id="empty", app_id="acme")
    _, other = answered(switch, client, headers={"X-App-ID": "other"})
    crash(service)

    def away(*_):
        raise SwitchUnavailable("it is away")

    monkeypatch.setattr(adoption, "resync", away)
    service = start(access={"tokens": LINES}, wait=False)
    client = connect(service, f"?token={TOKENS['all']}")
    behind = "on switch default, whose calls are not known yet"
    for command in ("get_leg", "mute_leg", "delete_leg", "leg_play_stop"):
        more = {"playback_id": "p"} if command == "leg_play_stop" else {}
        assert client.error(command, id=leg, **more) == (503, f"leg {leg} is {behind}")
    assert client.error("get_room", id="r") == (503, f"room r is {behind}")
    assert client.error("list_legs") == (503, f"there are legs {behind}")
    assert client.error("list_rooms") == (503, f"there are legs {behind}")
    assert client.error("add_leg_to_room", room_id="new", leg_id=other) == (503, f"leg {other} is {behind}")
    # of what it does not have it says so, as ever
    assert client.error("get_leg", id="nobody") == (404, "leg not found")
    assert client.error("get_room", id="nowhere") == (404, "room not found")
    assert client.ok("get_room", id="empty")["participants"] == []
    # one switch alone is waited for as long as it takes: there is nothing else to list
    monkeypatch.setattr(unknown, "LEFT_OUT_S", 0.0)
    assert client.error("list_legs") == (503, f"there are legs {behind}")
    # and nobody learns of others' legs
    acme = connect(service, f"?token={TOKENS['acme']}")
    assert acme.error("get_leg", id=leg) == (503, f"leg {leg} is {behind}")
    assert acme.error("get_leg", id=other) == (404, "leg not found")


def test_what_is_given_up_is_on_no_list(switch, start, connect, monkeypatch):
    service = start()
    leg = a_call_in_a_room(switch, client := connect(service))
    last = client.events[-1]["event_id"]
    service.ctx.history.flush()
    crash(service)

    def away(*_):
        raise SwitchUnavailable("it is away")

    monkeypatch.setattr(adoption, "resync", away)
    client = connect(start(wait=False, switch={"lost_after": 1.0}), f"?since={last}")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "switch_lost"
    assert client.error("get_leg", id=leg) == (404, "leg not found")
    assert client.ok("list_legs") == []
    assert client.ok("get_room", id="r")["participants"] == []
