"""No call without a leg, and no leg without a call: what a reply says is not the end of either."""

from __future__ import annotations

import secrets
import uuid

import pytest

from tests.support.calls import TIMES, dial, play, reasons
from tests.support.drivers import eventually
from tests.support.held import held
from tests.support.service import crash, exists
from vsi_esl.calls import endings
from vsi_esl.translate import sweep
from vsi_esl.translate.adoption import UNOBSERVED


def add(client, leg):
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    assert client.ok("get_leg", id=leg)["room_id"] == "r"


def add_and_remove(client, leg):
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    client.event("leg.left_room", leg_id=leg)
    assert "room_id" not in client.ok("get_leg", id=leg)


@pytest.mark.parametrize("deed", [add, add_and_remove, play])
def test_what_is_done_at_the_answer_costs_no_call(switch, client, deed):
    for _ in range(TIMES):
        leg = dial(switch, client)
        client.event("leg.connected", leg_id=leg)
        deed(client, leg)
        assert exists(switch, leg)
        client.ok("delete_leg", id=leg)
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["api_hangup"]
        eventually(lambda leg=leg: not exists(switch, leg), "the call is over")


def test_a_room_deleted_at_the_answer_ends_its_calls(switch, client):
    for _ in range(TIMES):
        leg = dial(switch, client)
        client.event("leg.connected", leg_id=leg)
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
        client.ok("delete_room", id="r")
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["room_deleted"]
        eventually(lambda leg=leg: not exists(switch, leg), "the call is over")
    assert client.ok("list_legs") == []


def test_a_leg_deleted_before_its_channel_is_there_does_not_ring_on(switch, client):
    for _ in range(TIMES):
        number = client.send("create_leg", type="sip", to=switch.uri("ring"))
        leg = client.reply(number)["data"]["id"]
        client.ok("delete_leg", id=leg)
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["api_hangup"]
        eventually(lambda leg=leg: not exists(switch, leg), "the call is over")


def test_a_leg_deleted_while_its_channel_is_being_made_is_hung_up_when_it_is_there(switch, service, client):
    with held(service.ctx.nodes.default.switch, "originate", before=True) as hold:
        leg = dial(switch, client, "ring")
        hold.entered.wait(20)
        client.ok("delete_leg", id=leg)
        assert client.ok("list_legs") == []
        hold.release()
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["api_hangup"]
    eventually(lambda: not exists(switch, leg), "the call is over")


def test_dialling_that_never_made_a_channel_is_reported(switch, start, connect):
    client = connect(start(switch={"sofia_profile": "nowhere"}))
    leg = dial(switch, client)
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["invite_failed"]


# -- calls without a leg, legs without a call ------------------------------------------------------------


def by_hand(switch, leg, bond="vsi-bond"):
    """A call that is marked as a leg, and that no service has dialled."""
    settings = f"origination_uuid={leg},vsi_leg=outbound,signal_bond={bond},absolute_codec_string=PCMU"
    switch.esl(f"originate {{{settings}}}sofia/vsi/{switch.uri('instant')} &park()")


def strays(service, outcome):
    return service.ctx.metrics.registry.get_sample_value("vsi_esl_strays_total", {"outcome": outcome})


def test_a_call_without_a_leg_becomes_one(switch, start, connect):
    service = start(switch={"sweep_interval": 0.2})
    client = connect(service)
    leg = str(uuid.uuid4())
    by_hand(switch, leg)
    client.event("leg.ringing", leg_id=leg)
    client.event("leg.connected", leg_id=leg)
    assert strays(service, "adopted") == 1
    add(client, leg)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(leg_id=leg).count("leg.ringing") == 1


def test_the_calls_of_others_are_left_alone(switch, start, connect):
    service = start(switch={"sweep_interval": 0.2})
    client = connect(service)
    stranger, ours = str(uuid.uuid4()), str(uuid.uuid4())
    by_hand(switch, stranger, bond="another")
    by_hand(switch, ours)
    client.event("leg.connected", leg_id=ours)
    assert exists(switch, stranger)
    assert client.types(leg_id=stranger) == []
    assert [leg["id"] for leg in client.ok("list_legs")] == [ours]


def ghost(switch, service, client):
    """A leg that was reported as ended, wrongly."""
    leg = dial(switch, client, room_id="r")
    client.event("leg.joined_room", leg_id=leg)
    endings.unreported(service.ctx, service.ctx.legs.get(leg), "invite_failed")
    client.event("leg.disconnected", leg_id=leg)
    return leg


def test_a_call_whose_leg_was_reported_as_ended_is_ended(switch, start, connect):
    service = start(switch={"sweep_interval": 0.2})
    client = connect(service)
    leg = ghost(switch, service, client)
    eventually(lambda: not exists(switch, leg), "the call is ended")
    assert strays(service, "ended") >= 1
    assert client.types(leg_id=leg)[-1] == "leg.disconnected"
    assert reasons(client, leg) == ["invite_failed"]
    eventually(lambda: not service.ctx.legs.presumed_ended, "its end was seen")
    assert service.ctx.state.items(endings.PRESUMED) == []


def test_a_call_whose_leg_was_reported_as_ended_does_not_come_back_with_the_next_process(
    switch, start, connect
):
    service = start(switch={"sweep_interval": 0.0})
    leg = ghost(switch, service, connect(service))
    crash(service)
    assert exists(switch, leg)
    service = start(switch={"sweep_interval": 0.0})
    client = connect(service)
    assert client.ok("list_legs") == []
    eventually(lambda: not exists(switch, leg), "the call is ended")
    assert client.types(leg_id=leg) == []
    assert strays(service, "ended") == 1


def test_an_internal_channel_made_just_before_the_process_died_is_ended(switch, start):
    service = start(switch={"sweep_interval": 0.0})
    bot = f"pb-{secrets.token_hex(4)}"  # one that was used before might not be listed at all
    switch.esl(f"originate {{origination_uuid={bot},vsi_internal=true,signal_bond=vsi-bond}}null/bot &park()")
    crash(service)
    assert exists(switch, bot)
    start(switch={"sweep_interval": 0.0})
    eventually(lambda: not exists(switch, bot), "it is ended")


def test_a_call_that_comes_after_its_leg_was_reported_as_ended_is_ended_at_once(switch, start, connect):
    service = start(switch={"sweep_interval": 0.0})
    client = connect(service)
    leg = ghost(switch, service, client)
    switch.esl(f"uuid_kill {leg}")
    eventually(lambda: not exists(switch, leg), "its first call is over")
    eventually(lambda: not service.ctx.legs.presumed_ended, "its end was seen")
    service.ctx.legs.presumed_ended[leg] = 1.0
    by_hand(switch, leg)
    eventually(lambda: strays(service, "ended") == 1, "it is noticed")
    eventually(lambda: not exists(switch, leg), "its second call is ended")
    assert client.types(leg_id=leg)[-1] == "leg.disconnected"


def test_a_leg_without_a_call_is_reported_gone(switch, start, connect):
    service = start(switch={"sweep_interval": 0.2})
    client = connect(service)
    leg = dial(switch, client)
    client.event("leg.connected", leg_id=leg)
    eventually(lambda: service.ctx.legs.get(leg).channel.parked, "it is settled")
    listening = service.ctx.nodes.default._on_event
    service.ctx.nodes.default._on_event = lambda event: None
    switch.esl(f"uuid_kill {leg}")
    eventually(lambda: not exists(switch, leg), "the call is over")
    client.event("leg.disconnected", leg_id=leg)
    service.ctx.nodes.default._on_event = listening
    assert reasons(client, leg) == [UNOBSERVED]
    assert strays(service, "gone") == 1


def test_a_look_at_the_switch_changes_nothing_that_is_as_it_should_be(switch, start, connect):
    service = start(switch={"sweep_interval": 0.0})
    client = connect(service)
    legs = [dial(switch, client) for _ in range(3)]
    for leg in legs:
        client.event("leg.connected", leg_id=leg)
        client.rewind()
    switch.call()
    client.event("leg.ringing", leg_type="sip_inbound")
    before = client.types()
    node = service.ctx.nodes.default
    sweep.look(service.ctx, node, sweep.look(service.ctx, node))
    assert client.types() == before
    assert [strays(service, outcome) for outcome in ("adopted", "ended", "gone")] == [0, 0, 0]
