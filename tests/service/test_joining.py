"""How a leg comes into its room, and where it is without one: on no way does it pass a conference that it
leaves at once, and it comes with the state that it has by then."""

from __future__ import annotations

import json

import pytest

from tests.support.calls import answered, dial, play
from tests.support.drivers import eventually
from tests.support.service import crash, exists
from vsi_esl.calls import alone

SPEAKS_AND_HEARS, SILENT = (True, True), (False, False)


class Way:
    """Where the switch had a leg, in order: `park`, or the name of a conference; and how it came there."""

    def __init__(self, service):
        self._node = service.ctx.nodes.default
        self._handler = self._node._on_event
        self._node._on_event = self._see
        self._seen = []

    def _see(self, event):
        leg = event.get("Unique-ID")
        if event.get("Event-Name") == "CHANNEL_PARK":
            self._seen.append((leg, "park", None))
        elif event.get("Action") == "add-member":
            how = (event["Speak"] == "true", event["Hear"] == "true")
            self._seen.append((leg, event["Conference-Name"], how))
        self._handler(event)

    def of(self, leg):
        return [place for one, place, _ in self._seen if one == leg]

    def first_state(self, leg):
        """Whether it spoke and heard when it came into its first conference."""
        return next(how for one, _, how in self._seen if one == leg and how)


@pytest.fixture
def way(service):
    return Way(service)


def conference(service, room="r"):
    return service.ctx.rooms.get(room).conference


def ringing(switch, client, **request):
    leg = dial(switch, client, "ring", **request)
    client.event("leg.ringing", leg_id=leg)
    eventually(lambda: exists(switch, leg), "it rings")
    return leg


def joined(switch, client, leg):
    switch.callee().answer()
    client.event("leg.joined_room", leg_id=leg)


def shown(switch, name, leg):
    """Whether the leg speaks and hears in this conference, as the switch shows it."""
    [found] = json.loads(switch.esl(f"conference {name} json_list"))
    flags = next(member["flags"] for member in found["members"] if member["uuid"] == leg)
    return flags["can_speak"], flags["can_hear"]


# -- dialled into a room ---------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["instant", "answer", "early"])
def test_a_leg_dialled_into_a_room_comes_into_it_and_nowhere_else(switch, service, client, way, behaviour):
    client.ok("create_room", id="r")
    leg = dial(switch, client, behaviour, room_id="r")
    client.event("leg.joined_room", leg_id=leg)
    assert way.of(leg) == [conference(service)]
    assert way.first_state(leg) == SPEAKS_AND_HEARS


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        (["mute_leg"], (False, True)),
        (["deaf_leg"], (True, False)),
        (["mute_leg", "deaf_leg"], SILENT),
        (["mute_leg", "deaf_leg", "unmute_leg", "undeaf_leg"], SPEAKS_AND_HEARS),
    ],
)
def test_what_is_set_while_it_rings_holds_from_the_first_frame(switch, service, client, way, commands, state):
    leg = ringing(switch, client, room_id="r")
    for name in commands:
        client.ok(name, id=leg)
    joined(switch, client, leg)
    assert way.first_state(leg) == state
    assert way.of(leg) == [conference(service)]


@pytest.mark.parametrize("when", ["before it is dialled", "while it rings"])
def test_a_room_with_routing_opens_when_the_relations_are_set(switch, service, client, way, when):
    client.ok("create_room", id="r")
    listener = dial(switch, client, room_id="r")
    client.event("leg.joined_room", leg_id=listener)
    client.ok("set_leg_role", leg_id=listener, role="deaf to all")
    if when == "before it is dialled":
        client.ok("room_routing_set", room_id="r", matrix={"deaf to all": []})
    leg = ringing(switch, client, room_id="r")
    client.ok("room_routing_set", room_id="r", matrix={"deaf to all": []})
    client.ok("set_leg_role", leg_id=leg, role="other")
    joined(switch, client, leg)
    assert way.first_state(leg) == SILENT
    eventually(lambda: shown(switch, conference(service), leg) == SPEAKS_AND_HEARS, "it is opened")
    listener, leg = (service.ctx.legs.get(one).channel.member_id for one in (listener, leg))
    eventually(lambda: service.ctx.rooms.get("r").relations == {(listener, leg)}, "the relations are known")


def test_a_room_that_has_no_routing_any_more_is_open(switch, service, client, way):
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"a": []})
    leg = ringing(switch, client, room_id="r")
    client.ok("room_routing_set", room_id="r", matrix={})
    joined(switch, client, leg)
    eventually(lambda: shown(switch, conference(service), leg) == SPEAKS_AND_HEARS, "it is opened")


def test_a_leg_is_silent_in_a_room_with_routing_also_after_a_restart(switch, start, connect):
    service = start()
    client = connect(service)
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"a": []})
    leg = ringing(switch, client, room_id="r")
    crash(service)
    service = start()
    way, client = Way(service), connect(service)
    joined(switch, client, leg)
    assert way.first_state(leg) == SILENT
    eventually(lambda: shown(switch, conference(service), leg) == SPEAKS_AND_HEARS, "it is opened")


def test_a_leg_whose_room_is_deleted_while_it_rings_is_in_none(switch, service, client, way):
    leg = ringing(switch, client, room_id="r")
    gone = conference(service)
    client.ok("delete_room", id="r")
    switch.callee().answer()
    client.event("leg.connected", leg_id=leg)
    eventually(lambda: way.of(leg) == [gone, "park"], "it is out of there")
    assert way.first_state(leg) == SILENT
    assert "room_id" not in client.ok("get_leg", id=leg)
    assert "leg.joined_room" not in client.types(leg_id=leg)
    client.ok("add_leg_to_room", room_id="s", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id="s")
    eventually(
        lambda: shown(switch, conference(service, "s"), leg) == SPEAKS_AND_HEARS, "it speaks and hears"
    )


def test_a_leg_whose_room_is_made_anew_while_it_rings_is_in_the_new_one(switch, service, client, way):
    leg = ringing(switch, client, room_id="r")
    client.ok("delete_room", id="r")
    client.ok("create_room", id="r", sample_rate=8000)
    joined(switch, client, leg)
    eventually(lambda: shown(switch, conference(service), leg) == SPEAKS_AND_HEARS, "it is there")
    assert client.ok("get_leg", id=leg)["room_id"] == "r"


def test_a_refer_of_a_leg_that_was_dialled_into_a_room_is_declined(switch, client):
    """What ties a leg to the service is taken from it on its way there, and given back."""
    leg = dial(switch, client, room_id="r")
    client.event("leg.joined_room", leg_id=leg)
    peer = switch.callee()
    peer.refer("sip:bob@example.com")
    client.event("leg.transfer_requested", leg_id=leg, declined=False)
    client.ok("decline_transfer", id=leg)
    peer.wait("603")


# -- in no room --------------------------------------------------------------------------------------------


def test_a_leg_added_when_it_has_answered_passes_no_other_conference(switch, start, connect):
    service = start(speech={"detection_enabled": True})
    client, way = connect(service), Way(service)
    leg = dial(switch, client)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    assert way.of(leg) in (["park", conference(service)], [conference(service)])
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    assert way.of(leg) == ["park", conference(service)]


def test_a_leg_in_no_room_waits_parked_until_something_is_played_to_it(switch, service, client, way):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    eventually(lambda: way.of(leg) == ["park", conference(service), "park"], "it is parked again")
    play(client, leg)
    own = service.ctx.legs.get(leg).solo_conference
    assert way.of(leg) == ["park", conference(service), "park", own]
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    eventually(lambda: way.of(leg)[-2:] == [conference(service), own], "it is back in its own")


def test_a_leg_that_is_listened_to_has_a_conference_of_its_own(switch, start, connect):
    service = start(speech={"detection_enabled": True})
    client, way = connect(service), Way(service)
    peer, leg = answered(switch, client)
    own = service.ctx.legs.get(leg).solo_conference
    eventually(lambda: way.of(leg) == ["park", own], "it is in its own")
    peer.talk(True)
    client.event("speaking.started", leg_id=leg)


def test_a_leg_is_not_moved_while_its_peer_has_it_on_hold(switch, start, connect, monkeypatch):
    monkeypatch.setattr(alone, "PATIENCE_S", 2.0)
    service = start(speech={"detection_enabled": True})
    client, way = connect(service), Way(service)
    peer, leg = answered(switch, client)
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    eventually(lambda: not service.ctx.timers.pending(leg, "alone"), "its time is up")
    play(client, leg)
    assert way.of(leg) == ["park"]
    assert not any(one.startswith("INVITE") for one in peer.seen)
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    eventually(lambda: way.of(leg) == ["park", service.ctx.legs.get(leg).solo_conference], "it is moved")


def test_a_leg_that_is_put_on_hold_stays_there_when_something_is_played_to_it(switch, service, client, way):
    peer, leg = answered(switch, client)
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    play(client, leg)
    assert way.of(leg) == ["park", service.ctx.legs.get(leg).solo_conference]
    assert sum(one.startswith("INVITE") for one in peer.seen) == 1
