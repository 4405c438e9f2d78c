"""Many clients doing many things at once: whatever the order, the rules of the protocol hold."""

from __future__ import annotations

import random

import gevent

from tests.support.drivers import eventually

CLIENTS = 4
CALLS = 12
STEPS = 150


def busy(client, legs: list[str], seed: int) -> None:
    """Random commands on random legs; any of them may be refused, none may break anything."""
    generator = random.Random(seed)
    for _ in range(STEPS):
        leg = generator.choice(legs)
        name, payload = generator.choice(
            [
                ("answer_leg", {"id": leg}),
                ("mute_leg", {"id": leg}),
                ("unmute_leg", {"id": leg}),
                ("deaf_leg", {"id": leg}),
                ("undeaf_leg", {"id": leg}),
                ("hold_leg", {"id": leg}),
                ("unhold_leg", {"id": leg}),
                ("add_leg_to_room", {"leg_id": leg, "room_id": generator.choice("abc"), "mute": None}),
                ("add_leg_to_room", {"leg_id": leg, "room_id": generator.choice("abc"), "deaf": True}),
                ("remove_leg_from_room", {"leg_id": leg, "room_id": generator.choice("abc")}),
                ("set_leg_role", {"leg_id": leg, "role": generator.choice(["", "x", "y"])}),
                ("leg_early_media", {"id": leg}),
                ("list_rooms", {}),
                ("get_leg", {"id": leg}),
            ]
        )
        frame = client.reply(client.send(name, **payload), timeout=60)
        if frame["type"] == "error":
            assert frame["data"]["code"] in (400, 404, 409, 500), frame
            assert frame["data"]["message"] != "internal error", frame


def check_leg(events: list[dict]) -> None:
    """The order rules of one leg's events."""
    kinds = [event["type"] for event in events]
    assert kinds[0] == "leg.ringing"
    assert kinds.count("leg.ringing") == kinds.count("leg.disconnected") == 1
    assert kinds[-1] == "leg.disconnected"
    assert kinds.count("leg.connected") <= 1
    room = None
    for event in events:
        if event["type"] == "leg.joined_room":
            assert room is None, kinds
            room = event["room_id"]
        elif event["type"] == "leg.left_room" and room is not None:
            # a stranger's removal is reported too, for a room the leg is not in
            room = None if event["room_id"] == room else room
    assert room is None


def test_everything_at_once(switch, service, connect, caplog):
    watcher = connect(service)
    for number in range(CALLS):
        switch.call(from_=f"caller{number}")
    eventually(lambda: watcher.types().count("leg.ringing") == CALLS, "all ring")
    legs = [event["leg_id"] for event in watcher.events]
    clients = [connect(service) for _ in range(CLIENTS)]
    work = [gevent.spawn(busy, client, legs, seed) for seed, client in enumerate(clients)]
    gevent.joinall(work, timeout=90, raise_error=True)
    assert all(greenlet.ready() for greenlet in work)

    views = {view["id"]: view for view in watcher.ok("list_legs")}
    rooms = watcher.ok("list_rooms")
    for room in rooms:
        for view in room["participants"]:
            assert views[view["id"]]["room_id"] == room["id"]
    assert sum(len(room["participants"]) for room in rooms) == sum("room_id" in one for one in views.values())

    for leg in views:
        watcher.ok("delete_leg", id=leg)
    eventually(lambda: watcher.types().count("leg.disconnected") == CALLS, "all ended")
    for leg in legs:
        check_leg([event for event in watcher.events if event.get("leg_id") == leg])
    assert watcher.ok("list_legs") == []
    assert all(room["participants"] == [] for room in watcher.ok("list_rooms"))
    eventually(lambda: len(service.ctx.workers) == 0, "no worker is left")
    # those of the switch itself are for when it is lost, or has just been connected
    eventually(lambda: not service.ctx.timers._timers.keys() - {"default"}, "no timer is left")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
