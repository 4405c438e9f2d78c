"""A call through the published client (`voiceblender` on PyPI), as an application would make it.

Run as a program of its own, since asyncio and a patched standard library do not go together:
`python -m tests.contract.published_client ws-address sandbox-port`. Prints the types of the events it parsed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from voiceblender import Client
from voiceblender._errors import VSIError
from voiceblender._requests import CreateLegRequest, CreateRoomRequest
from voiceblender._vsi import (
    AddLegPayload,
    AnswerLegPayload,
    DeleteLegPayload,
    DTMFPayload,
    IDPayload,
    SetLegRolePayload,
)


def sandbox(port: int, request: dict[str, Any]) -> str:
    """Have the sandbox's people do something; its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        stream = sock.makefile("rwb")
        stream.write(f"auth ClueCon\n\napi sandbox {json.dumps(request)}\n\n".encode())
        stream.flush()
        while not (line := stream.readline()).startswith(b"Content-Length: "):
            assert line, "the sandbox hung up"
        stream.readline()
        return stream.read(int(line.split()[1])).decode().strip()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


async def scenario(address: str, port: int) -> list[str]:
    events: list[Any] = []
    async with Client(f"http://{address}/v1") as client, await client.events_stream() as stream:
        pull = stream.__aiter__()
        collector = asyncio.create_task(_collect(pull, events))
        await commands(stream, port, events)
        collector.cancel()
    return [event.type for event in events]


async def _collect(pull: Any, events: list[Any]) -> None:
    async for event in pull:
        events.append(event)


async def commands(stream: Any, port: int, events: list[Any]) -> None:
    def seen(kind: str) -> Callable[[], bool]:
        return lambda: any(event.type == kind for event in events)

    leg = sandbox(port, {"do": "call", "headers": {"X-App-ID": "shop"}}).split()[1]
    await until(seen("leg.ringing"))
    steps: list[Awaitable[Any]] = []
    assert (await stream.get_leg(IDPayload(id=leg))).app_id == "shop"
    assert (await stream.leg_ring(IDPayload(id=leg))).status == "ringing"
    assert (await stream.answer_leg(AnswerLegPayload(id=leg, codec="PCMU"))).status == "answering"
    await until(seen("leg.connected"))
    room = await stream.create_room(CreateRoomRequest(id="r", sample_rate=8000))
    assert (room.id, room.sample_rate) == ("r", 8000)
    added = await stream.add_leg_to_room(AddLegPayload(room_id="r", leg_id=leg))
    assert added.status == "added"
    for name in ("mute_leg", "unmute_leg", "deaf_leg", "undeaf_leg", "accept_leg_dtmf", "reject_leg_dtmf"):
        steps.append(getattr(stream, name)(IDPayload(id=leg)))
    for step in steps:
        await step
    await stream.hold_leg(IDPayload(id=leg))
    await until(seen("leg.hold"))
    await stream.unhold_leg(IDPayload(id=leg))
    await until(seen("leg.unhold"))
    assert (await stream.send_leg_dtmf(DTMFPayload(id=leg, digits="12#"))).status == "sent"
    sandbox(port, {"do": "dtmf", "uuid": leg, "digits": "5"})
    await until(seen("dtmf.received"))
    assert (await stream.set_leg_role(SetLegRolePayload(leg_id=leg, role="agent"))).role == "agent"
    out = await stream.create_leg(CreateLegRequest(type="sip", to="sip:early-answer@127.0.0.1", room_id="r"))
    await until(lambda: sum(event.type == "leg.connected" for event in events) == 2)
    room = await stream.get_room(IDPayload(id="r"))
    assert {one.id for one in room.participants} == {leg, out.id}
    # this release of the client throws the data of both lists away, whatever the server sends
    assert await stream.list_rooms() is None
    assert await stream.list_legs() is None
    try:
        await stream.get_leg(IDPayload(id="nobody"))
        raise AssertionError("no error")
    except VSIError as error:
        assert "leg not found" in str(error)
    await stream.delete_leg(DeleteLegPayload(id=out.id))
    await until(seen("leg.disconnected"))
    assert (await stream.delete_room(IDPayload(id="r"))).status == "deleted"
    await until(lambda: sum(event.type == "leg.disconnected" for event in events) == 2)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(scenario(sys.argv[1], int(sys.argv[2])))))
