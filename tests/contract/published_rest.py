"""Every implemented command through the REST methods of the published client, as an application would call
them. Run as a program: `python -m tests.contract.published_rest http-address sandbox-port`. Prints the types
of the events it parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from voiceblender import (
    AddLegRequest,
    AnswerLegRequest,
    APIError,
    Client,
    CreateLegRequest,
    CreateRoomBridgeRequest,
    CreateRoomRequest,
    DeleteLegRequest,
    DTMFRequest,
    EarlyMediaLegRequest,
    Event,
    RecordingRequest,
    RingLegRequest,
    RoomRoutingRequest,
    RoomRoutingUpdateRequest,
    RoutingRowUpdate,
    RTTRequest,
    SetLegRoleRequest,
    UpdateRoomBridgeRequest,
    VolumeRequest,
    is_conflict,
    is_not_found,
    play_tone,
)

from .published_client import sandbox, until


class Events:
    """What came over the client's event stream, typed."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    async def collect(self, subscription: Any) -> None:
        async for event in subscription.events():
            self.all.append(event)

    async def wait(self, kind: str, **members: Any) -> Event:
        """The first event of a type with these members."""

        def find() -> Event | None:
            for event in self.all:
                if event.type == kind and all(getattr(event, k, None) == v for k, v in members.items()):
                    return event
            return None

        await until(lambda: find() is not None)
        found = find()
        assert found is not None
        return found


async def scenario(address: str, port: int) -> list[str]:
    events = Events()
    async with Client(f"http://{address}/v1") as client:
        subscription = client.subscribe()
        background = [
            asyncio.create_task(client.run_event_stream()),
            asyncio.create_task(events.collect(subscription)),
        ]
        # the stream is open when an event of ours comes through
        await until_open(client, events)
        leg = await the_call(client, port, events)
        await the_room(client, leg, port, events)
        await the_sound(client, leg, events)
        await the_bridge(client, events)
        await the_end(client, leg, events)
        for task in background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert not [event.type for event in events.all if type(event) is Event], "events that are not typed"
    return sorted({event.type for event in events.all})


async def until_open(client: Client, events: Events) -> None:
    async with asyncio.timeout(8):
        while not events.all:
            await (await client.create_room(CreateRoomRequest(id="open"))).delete()
            await asyncio.sleep(0.01)


async def the_call(client: Client, port: int, events: Events) -> Any:
    uuid = sandbox(port, {"do": "call", "rtt": True, "headers": {"X-App-ID": "shop"}}).split()[1]
    await events.wait("leg.ringing", leg_id=uuid)
    leg = await client.get_leg(uuid)
    assert (leg.app_id, leg.state, leg.type) == ("shop", "ringing", "sip_inbound")
    assert [one.id for one in await client.list_legs()] == [uuid]
    assert (await leg.ring(RingLegRequest())).status == "ringing"
    assert (await leg.early_media(EarlyMediaLegRequest(codec="PCMU"))).status == "early_media"
    await events.wait("leg.early_media", leg_id=uuid)
    assert (await leg.answer(AnswerLegRequest())).status == "answering"
    await events.wait("leg.connected", leg_id=uuid)
    for method, status in (
        ("mute", "muted"),
        ("unmute", "unmuted"),
        ("deaf_leg", "deaf"),
        ("undeaf_leg", "undeaf"),
    ):
        assert (await getattr(leg, method)()).status == status
    assert (await leg.hold()).status == "holding"
    await events.wait("leg.hold")
    assert (await leg.unhold()).status == "unholding"
    await events.wait("leg.unhold")
    return leg


async def the_room(client: Client, leg: Any, port: int, events: Events) -> None:
    room = await client.create_room(CreateRoomRequest(id="r", app_id="shop"))
    assert (room.id, room.app_id, room.participants) == ("r", "shop", [])
    assert (await room.add_leg(AddLegRequest(leg_id=leg.id, role="agent"))).status == "added"
    await events.wait("leg.joined_room", leg_id=leg.id, room_id="r")
    assert [one.id for one in await client.list_rooms()] == ["r"]
    assert (await client.get_room("r")).participants[0].id == leg.id
    assert (await leg.set_role(SetLegRoleRequest(role="customer"))).role == "customer"
    await events.wait("leg.role_changed")
    routing = await room.set_routing(RoomRoutingRequest(matrix={"customer": ["agent"]}))
    assert routing.matrix == {"customer": ["agent"]}
    update = RoutingRowUpdate(listener_role="agent", sources=["customer"])
    routing = await room.update_routing(RoomRoutingUpdateRequest(updates=[update]))
    assert (await room.get_routing()).matrix == routing.matrix
    await events.wait("room.routing_changed")
    assert (await leg.send_dtmf(DTMFRequest(digits="1"))).status == "sent"
    assert (await leg.disable_dtmf()).status == "dtmf_rejecting"
    assert (await leg.enable_dtmf()).status == "dtmf_accepting"
    sandbox(port, {"do": "dtmf", "uuid": leg.id, "digits": "5"})
    await events.wait("dtmf.received", digit="5")
    assert (await leg.send_rtt(RTTRequest(text="hello"))).status == "sent"
    assert (await leg.reject_rtt_leg()).status == "rtt_rejecting"
    assert (await leg.accept_rtt_leg()).status == "rtt_accepting"
    sandbox(port, {"do": "text", "uuid": leg.id, "text": "hi\r\n"})
    await events.wait("rtt.received")


def everything_here() -> RecordingRequest:
    """The client's model wants every member."""
    nothing = {name: "" for name in RecordingRequest.model_fields if name != "multi_channel"}
    return RecordingRequest(**nothing, multi_channel=True)


async def the_sound(client: Client, leg: Any, events: Events) -> None:
    room = client.room("r")
    for owner in (leg, room):
        playback = await owner.play(play_tone("us_ringback", volume=-1))
        await events.wait("playback.started", playback_id=playback.playback_id)
        assert (await owner.volume_play(playback.playback_id, VolumeRequest(volume=2))).status == "ok"
        assert (await owner.stop_play(playback.playback_id)).status == "stopped"
        await events.wait("playback.finished", playback_id=playback.playback_id, reason="stopped")
        finished = asyncio.create_task(owner.record_sync(everything_here()))
        await until(lambda: any(event.type == "recording.started" for event in events.all))
        assert (await owner.pause_record()).status == "paused"
        assert (await owner.resume_record()).status == "resumed"
        stopped = await owner.stop_record()
        assert (stopped.status, stopped.file[-4:]) == ("stopped", ".wav")
        assert (await finished).status == "recording"
        events.all = [event for event in events.all if event.type != "recording.started"] + [
            event for event in events.all if event.type == "recording.started" and owner is room
        ]


async def the_bridge(client: Client, events: Events) -> None:
    room = client.room("r")
    await client.create_room(CreateRoomRequest(id="peer"))
    bridge = await room.create_room_bridge(CreateRoomBridgeRequest(room_id="peer", direction="send"))
    assert (bridge.room_id, bridge.direction) == ("peer", "send")
    assert [one.id for one in await room.list_room_bridges()] == [bridge.id]
    assert (await room.get_room_bridge(bridge.id)).id == bridge.id
    changed = await room.update_room_bridge(bridge.id, UpdateRoomBridgeRequest(direction="none"))
    assert changed.direction == "none"
    assert (await room.delete_room_bridge(bridge.id)).status == "deleted"
    for kind in ("room.bridged", "room.bridge_updated", "room.unbridged"):
        await events.wait(kind, bridge_id=bridge.id)


async def the_end(client: Client, leg: Any, events: Events) -> None:
    room = client.room("r")
    out = await client.create_leg(CreateLegRequest(type="sip", to="sip:early-answer@127.0.0.1", room_id="r"))
    await events.wait("leg.connected", leg_id=out.id)
    await events.wait("leg.joined_room", leg_id=out.id)
    assert (await room.remove_leg(out.id)).status == "removed"
    await events.wait("leg.left_room", leg_id=out.id)
    assert (await out.hangup(DeleteLegRequest())).status == "hanging_up"
    await events.wait("leg.disconnected", leg_id=out.id)
    assert (await room.delete()).status == "deleted"
    await events.wait("leg.disconnected", leg_id=leg.id)
    try:
        await client.get_leg(leg.id)
        raise AssertionError("no error")
    except APIError as error:
        assert is_not_found(error) and "leg not found" in str(error)
    try:
        await client.create_room(CreateRoomRequest(id="peer"))
        raise AssertionError("no error")
    except APIError as error:
        assert is_conflict(error)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(scenario(sys.argv[1], int(sys.argv[2])))))
