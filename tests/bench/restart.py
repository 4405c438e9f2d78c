"""A thousand calls in two hundred rooms, taken over by a new process."""

from __future__ import annotations

import signal

from tests.support.vsi import VsiClient

from .processes import Sandbox, Service

LEGS = 1000
ROOMS = 200


def readopt() -> list[tuple[str, str, str]]:
    """Answer them into their rooms, kill -9, start again; memory with and without them."""
    sandbox = Sandbox()
    state = sandbox.directory / "state.sqlite3"
    service = Service(sandbox.port, state)
    try:
        empty = service.info.memory_info().rss
        esl, client = sandbox.client(), VsiClient(service.address)
        legs = [
            answer.split()[1]
            for answer in esl.send_many(['api sandbox {"do":"call","headers":{"X-App-ID":"shop"}}'] * LEGS)
        ]
        client.event("leg.ringing", leg_id=legs[-1], timeout=30)
        for number, leg in enumerate(legs):
            client.send("add_leg_to_room", room_id=f"room-{number % ROOMS}", leg_id=leg, role="agent")
        while sum(event["type"] == "leg.joined_room" for event in client.events) < LEGS:
            client.event("leg.joined_room", timeout=60)
        full = service.info.memory_info().rss
        client.close()
        service.end(signal.SIGKILL)
        service = Service(sandbox.port, state)
        client = VsiClient(service.address)
        found, rooms = client.ok("list_legs"), client.ok("list_rooms")
        assert len(found) == LEGS and len(rooms) == ROOMS, (len(found), len(rooms))
        assert all(leg["role"] == "agent" and leg["room_id"] for leg in found)
        client.close()
        esl.stop()
        return [
            (
                f"{LEGS} legs in {ROOMS} rooms re-adopted",
                f"{service.readopted_seconds:.2f} s",
                "goal: at most 2 s",
            ),
            (
                "memory per leg",
                f"{(full - empty) / LEGS / 1024:.1f} KiB",
                f"service without legs: {empty >> 20} MiB",
            ),
        ]
    finally:
        service.end()
        sandbox.end()
