"""Two services on one Redis: the events of both come to the clients of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import websocket

from tests.support.clustered import Site
from tests.support.redisserver import RedisServer
from tests.support.sharing import eventually
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import digest_of
from vsi_esl.events.legs import LegMuted


@pytest.fixture
def east(site: Callable[..., Site]) -> Site:
    return site("east")


@pytest.fixture
def west(site: Callable[..., Site]) -> Site:
    return site("west")


def whole_call(one: Site, *clients: VsiClient) -> str:
    """A call that comes, is answered and ends, as all these clients see it."""
    peer, leg = one.call(clients[0])
    one.client().ok("answer_leg", id=leg)
    clients[0].event("leg.connected", leg_id=leg)
    peer.hang_up()
    for client in clients:
        client.event("leg.disconnected", leg_id=leg)
    return leg


def told(client: VsiClient, leg: str) -> list[tuple[str, str]]:
    """The events of a leg: type and id."""
    return [(one["type"], one["event_id"]) for one in client.events if one.get("leg_id") == leg]


def test_every_client_sees_the_calls_of_all_services_once_and_in_order(east, west):
    here, there = east.client(), west.client()
    for one, clients in ((east, (there, here)), (west, (here, there))):
        leg = whole_call(one, *clients)
        assert told(here, leg) == told(there, leg)
        assert [kind for kind, _ in told(here, leg)] == ["leg.ringing", "leg.connected", "leg.disconnected"]
    assert here.events == there.events


def test_a_client_goes_on_at_the_other_service_where_it_was(east, west):
    here, stays = east.client(), west.client()
    first = whole_call(east, here, stays)
    last = here.event_id = here.events[-1]["event_id"]
    here.close()
    second, third = whole_call(west, stays), whole_call(east, stays)
    again = west.client(f"?since={last}")
    again.event("leg.disconnected", leg_id=third)
    assert again.events == [one for one in stays.events if one["leg_id"] in (second, third)]
    assert not told(again, first)


def test_without_redis_own_calls_go_on_and_nothing_is_lost_or_told_twice(
    redis_server: RedisServer, east, west
):
    here, there = east.client(), west.client()
    before = whole_call(west, here, there)
    redis_server.stop()
    legs = [whole_call(east, here) for _ in range(3)]
    others = [whole_call(west, there) for _ in range(2)]
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        west.client(f"?since={told(here, legs[0])[0][1]}")
    last = told(here, legs[-1])[0][1]
    redis_server.start()
    for client, missed in ((here, others), (there, legs)):
        client.rewind()
        for leg in missed:
            client.event("leg.disconnected", leg_id=leg)
    for leg in (before, *legs, *others):
        assert told(here, leg) == told(there, leg)
        assert [kind for kind, _ in told(here, leg)] == ["leg.ringing", "leg.connected", "leg.disconnected"]
    assert len(here.events) == len(there.events) == 3 * 6
    # one that was at east until just before the end of its last call has had nothing of the others
    again = west.client(f"?since={last}")
    for leg in (legs[-1], *others):
        again.rewind()
        again.event("leg.disconnected", leg_id=leg)
    assert {one["leg_id"] for one in again.events} == {legs[-1], *others}


def test_a_tenant_sees_its_own_calls_of_all_services(site: Callable[..., Site]):
    tokens = {
        "tokens": (f"x:control:{digest_of('tenant').decode()}:x", f"all:admin:{digest_of('all').decode()}")
    }
    one, other = site("east", access=tokens), site("west", access=tokens)
    tenant, everyone = other.client("?token=tenant"), other.client("?token=all")
    operator = one.client("?token=all")
    for app in ("x", "y"):
        leg = operator.ok("create_leg", type="sip", to=one.switch.uri("instant"), app_id=app)["id"]
        everyone.event("leg.connected", leg_id=leg)
    operator.ok("create_room", id="last", app_id="x")
    tenant.event("room.created", room_id="last")
    assert {event["app_id"] for event in tenant.events} == {"x"}
    assert {event["app_id"] for event in everyone.events} == {"x", "y"}


def test_what_is_told_of_a_leg_just_after_its_switch_was_lost_is_the_next_ones_to_tell(east, west):
    """Between the loss and the moment in which the legs are forgotten a second look at the calls may tell."""
    client, other = east.client(), west.client()
    _, leg = east.call(client)
    other.event("leg.ringing", leg_id=leg)
    deployment, redis = east.deployment, east.deployment.redis
    fence = deployment.fence_of("east")
    assert fence is not None
    deployment.fence_of = lambda switch: None
    redis.command("SET", redis.key("fence", "east"), fence + 1)
    east.service.ctx.emit(LegMuted.of(east.service.ctx.legs.get(leg)))
    eventually(lambda: deployment.events.refused == 1)
    assert not other.seen("leg.muted")


def test_its_series_say_how_far_it_is(east, west):
    client = west.client()
    whole_call(east, client)

    def shown(one: Site) -> dict[str, Any]:
        return {metric.name: metric.samples[0].value for metric in one.deployment.series()}

    eventually(lambda: shown(west)["vsi_esl_stream_received"] == 3, "all read")
    # Redis' answer is counted, which a reader may be told before
    eventually(lambda: shown(east)["vsi_esl_stream_handed_on"] == 3, "all handed on")
    eventually(lambda: shown(east)["vsi_esl_stream_waiting"] == 0, "nothing waits")
    assert shown(west)["vsi_esl_stream_lag"] == 0
