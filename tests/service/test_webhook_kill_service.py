"""kill -9 of the whole service at random points: what VSI clients saw is delivered, in order, without them.

TEST_KILLS says how many times; a start of the service takes about a second.
"""

from __future__ import annotations

import os
import random

import gevent

from tests.support.calls import answered, ring
from tests.support.process import environ_of
from tests.support.receiver import Receiver
from tests.support.vsi import VsiClient

KILLS = int(os.environ.get("TEST_KILLS", "6"))


def work(client: VsiClient, leg: str, number: int) -> None:
    """Events of rooms and of a leg, without waiting for anything."""
    for each in range(20):
        client.send("create_room", id=f"r{number}-{each}")
        client.send("mute_leg" if each % 2 else "unmute_leg", id=leg)
        client.send("delete_room", id=f"r{number}-{each}")


def test_kill_9_of_the_service_loses_nothing(switch, tmp_path, start_process):
    environ = environ_of(switch, tmp_path)
    chance = random.Random(seed := random.randrange(1 << 30))
    print(f"seed {seed}")
    receiver = Receiver()
    receiver.behave[""] = lambda _: chance.choices(("ok", "500", "reset", "cut"), (91, 3, 3, 3))[0]
    environ["WEBHOOK_URL"] = receiver.url()
    told: dict[str, dict] = {}
    leg = ""
    for number in range(KILLS):
        victim = start_process(environ)
        if not leg:
            _, leg = answered(switch, victim.client)
        work(victim.client, leg, number)
        gevent.sleep(chance.random() / 20)  # where it is hit is the point
        victim.end()
        told |= {event["event_id"]: event for event in victim.client.events}
    receiver.behave[""] = "ok"
    last = start_process(environ)
    ring(switch, last.client)
    told |= {event["event_id"]: event for event in last.client.events}
    missing = "events that a client had seen"
    receiver.wait(lambda: not told.keys() - {one.id for one in receiver.taken}, missing, 20)
    last.end()
    receiver.stop()

    print(f"{len(told)} seen, {len(receiver.received)} requests")
    lanes: dict[str, dict[str, str]] = {}
    for request in receiver.received:
        event = request.event
        lanes.setdefault(event.get("leg_id") or event["room_id"], {}).setdefault(
            request.id, event["timestamp"]
        )
    for owner, times in lanes.items():
        assert list(times.values()) == sorted(times.values()), f"{owner} out of order"
