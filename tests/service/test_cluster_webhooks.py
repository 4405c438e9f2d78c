"""Webhooks of a service that is gone are delivered by another: all of them, in order per leg."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.clustered import Site
from tests.support.drivers import SandboxDriver
from tests.support.receiver import Received, Receiver
from tests.support.redisserver import RedisServer
from tests.support.services import OneOfSeveral, owners
from tests.support.sharing import eventually
from vsi_esl.events.rooms import LegLeftRoom

FAST = {"allow_private_urls": True, "backoff_min": 0.05, "backoff_max": 0.2}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.stop()


def whole_calls(one: Site, count: int) -> list[str]:
    """So many calls that were refused, with two events each; their legs."""
    client, legs = one.client(), []
    for _ in range(count):
        _, leg = one.call(client)
        client.ok("delete_leg", id=leg, reason="busy")
        client.event("leg.disconnected", leg_id=leg)
        legs.append(leg)
    return legs


def of_leg(received: list[Received], leg: str) -> list[str]:
    """The types of its events, each once, as they came."""
    seen = dict.fromkeys((one.id, one.event["type"]) for one in received if one.event.get("leg_id") == leg)
    return [kind for _, kind in seen]


def in_redis(one: Site) -> int:
    """How many webhooks Redis has, for all services."""
    redis = one.deployment.redis
    return sum(redis.command("HLEN", key) for key in redis.command("KEYS", redis.key("outbox", "*")))


def test_delivered_webhooks_are_not_in_redis_and_undelivered_ones_are(site: Callable[..., Site], receiver):
    east = site("east", webhooks={**FAST, "url": receiver.url()})
    legs = whole_calls(east, 3)
    receiver.event("leg.disconnected", leg_id=legs[-1])
    eventually(lambda: in_redis(east) == 0, "what is delivered is deleted")
    receiver.behave[""] = "500"
    legs = whole_calls(east, 3)
    eventually(lambda: in_redis(east) == 6, "what is not is there")
    redis = east.deployment.redis
    redis.command("DEL", *redis.command("KEYS", redis.key("outbox", "*")))
    east.deployment.outboxes._compare()
    assert in_redis(east) == 6
    receiver.behave.clear()
    for leg in legs:
        receiver.event("leg.disconnected", leg_id=leg)
    eventually(lambda: in_redis(east) == 0, "what is delivered is deleted")


def test_what_a_service_has_left_is_delivered_by_another_and_not_again_when_it_is_back(
    site: Callable[..., Site], receiver
):
    hooks: dict[str, Any] = {**FAST, "url": receiver.url()}
    east, west = site("east", webhooks=hooks), site("west", webhooks=hooks)
    receiver.behave[""] = "500"
    legs = whole_calls(east, 4)
    east.service.ctx.emit(LegLeftRoom(leg_id="of no", room_id="switch"))
    eventually(lambda: in_redis(east) >= 8, "they are in Redis")
    east.service.stop()
    # its switch is in the settings of nobody else; what is of a switch waits for who takes it
    eventually(lambda: west.deployment.outboxes.claimed >= 1, "what is of no switch is claimed")
    receiver.behave.clear()
    receiver.event("leg.left_room")
    west.service.stop()
    assert not any(of_leg(receiver.taken, leg) for leg in legs)
    east.begin()
    for leg in legs:
        receiver.event("leg.disconnected", leg_id=leg)
        assert of_leg(receiver.taken, leg) == ["leg.ringing", "leg.disconnected"]
    assert max(Counter(one.id for one in receiver.taken).values()) == 1


@pytest.mark.slow
def test_a_killed_service_loses_none_and_each_leg_s_come_in_order(
    redis_server: RedisServer, tmp_path: Path, receiver
):
    switch = SandboxDriver()
    hooks: dict[str, Any] = {"allow_private_urls": True, "backoff_min": "50ms", "url": receiver.url()}
    services = [
        OneOfSeveral(name, tmp_path, redis_server, {"default": switch}, webhooks=hooks) for name in ("a", "b")
    ]
    clients = []
    try:
        for one in services:
            one.listening()
        # the first by name, once both are there
        eventually(lambda: owners(services) == {"default": ["a"]}, "the first has the switch")
        owner = next(one for one in services if one.owned())
        other = next(one for one in services if one is not owner)
        client, watching = owner.connect(), other.connect()
        clients += [client, watching]
        receiver.behave[""] = "500"
        legs = []
        for _ in range(5):
            switch.call()
            legs.append(client.event("leg.ringing")["leg_id"])
            watching.event("leg.ringing", leg_id=legs[-1])
        client.ok("create_room", id="empty", app_id="x")
        with redis.Redis(port=redis_server.port) as found:
            eventually(lambda: found.hexists("vsi:where", "room/empty"), "the room is known to all")
        client.ok("delete_leg", id=legs[0], reason="busy")
        watching.event("leg.disconnected", leg_id=legs[0])
        seen = list(client.events)
        owner.kill()
        eventually(lambda: other.owned() == {"default"}, "the other has it")
        again = other.connect(since=seen[-1]["event_id"])
        clients.append(again)
        receiver.behave.clear()
        assert again.ok("get_room", id="empty")["app_id"] == "x"
        for leg in legs[1:]:
            again.ok("delete_leg", id=leg, reason="busy")
        for leg in legs[1:]:
            again.event("leg.disconnected", leg_id=leg)
        for leg in legs:
            receiver.event("leg.disconnected", leg_id=leg)
            assert of_leg(receiver.taken, leg) == ["leg.ringing", "leg.disconnected"]
        # who goes on elsewhere has each event once, with the ids under which the webhooks came
        ids = [one["event_id"] for one in seen + again.events if one.get("leg_id") in legs]
        assert sorted(ids) == sorted({one.id for one in receiver.taken if one.event.get("leg_id") in legs})
    finally:
        for client in clients:
            client.close()
        for one in services:
            one.close()
        switch.stop()
