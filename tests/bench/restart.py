"""A thousand calls in two hundred rooms, taken over by a new process."""

from __future__ import annotations

import signal
from statistics import median

from tests.support.vsi import VsiClient

from .processes import Sandbox, Service

LEGS = 1000
ROOMS = 200
TURNS = 5
MANY_LEGS = 9900
"""The sandbox has 10,000 channels, and one of them is the bond."""
CALLS_AT_ONCE = 1100


def readopt_many() -> list[tuple[str, str, str]]:
    """Answered calls in no room, so that it is our own work that is measured and not the sandbox's."""
    sandbox = Sandbox()
    state = sandbox.directory / "state.sqlite3"
    service = Service(sandbox.port, state)
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        call = 'api sandbox {"do":"call","headers":{"X-App-ID":"shop"}}'
        for _ in range(MANY_LEGS // CALLS_AT_ONCE):
            legs = [answer.split()[1] for answer in esl.send_many([call] * CALLS_AT_ONCE, 60)]
            client.event("leg.ringing", leg_id=legs[-1], timeout=60)
            for leg in legs:
                client.send("answer_leg", id=leg)
            client.event("leg.connected", leg_id=legs[-1], timeout=60)
        client.close()
        times = []
        for _ in range(TURNS):
            service.end(signal.SIGKILL)
            service = Service(sandbox.port, state)
            times.append(service.readopted_seconds)
        client = VsiClient(service.address)
        found = client.ok("list_legs")
        assert len(found) == MANY_LEGS, len(found)
        assert {leg["state"] for leg in found} == {"connected"}
        client.close()
        esl.stop()
        return [
            (
                f"{MANY_LEGS:,} legs re-adopted",
                f"{median(times):.2f} s, best {min(times):.2f}",
                f"goal: at most 2 s; median of {TURNS} turns",
            )
        ]
    finally:
        service.end()
        sandbox.end()


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
        sizes = []
        for count in (LEGS // 2, LEGS):
            for number, leg in enumerate(legs[count - LEGS // 2 : count]):
                client.send("add_leg_to_room", room_id=f"room-{number % ROOMS}", leg_id=leg, role="agent")
            while sum(event["type"] == "leg.joined_room" for event in client.events) < count:
                client.event("leg.joined_room", timeout=60)
            sizes.append(service.info.memory_info().rss)
        half, full = sizes
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
                f"{(full - half) / (LEGS // 2) / 1024:.1f} KiB",
                f"of the second half; of all {(full - empty) / LEGS / 1024:.1f}, as the first work with calls"
                f" takes memory once; service without legs: {empty >> 20} MiB",
            ),
        ]
    finally:
        service.end()
        sandbox.end()
