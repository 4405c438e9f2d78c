"""A call through the published client (`voiceblender` on PyPI), as an application would make it, over VSI.

Run as a program of its own, since asyncio and a patched standard library do not go together:
`python -m tests.contract.published_client address sandbox-port async|sync`. Prints the types of the events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from voiceblender._errors import VSIError
from voiceblender._requests import (
    CreateLegRequest,
    CreateRoomRequest,
    ICECandidateInit,
    RoutingRowUpdate,
    WebRTCOfferRequest,
)
from voiceblender._vsi import (
    AcceptTransferPayload,
    AddLegPayload,
    AgentDeepgramPayload,
    AgentElevenLabsPayload,
    AgentMessagePayload,
    AgentPipecatPayload,
    AgentVAPIPayload,
    AnswerLegPayload,
    BridgeCreatePayload,
    BridgeListPayload,
    BridgeRefPayload,
    BridgeUpdatePayload,
    CompleteTransferPayload,
    DeclineTransferPayload,
    DeleteLegPayload,
    DTMFPayload,
    EarlyMediaPayload,
    IDPayload,
    LegAMDStartPayload,
    PlaybackStartPayload,
    PlaybackTargetPayload,
    PlaybackVolumePayload,
    ProgressTransferPayload,
    RecordStartPayload,
    RoomLegPayload,
    RoomRoutingSetPayload,
    RoomRoutingUpdatePayload,
    RTTPayload,
    SetLegRolePayload,
    STTStartPayload,
    TransferLegPayload,
    TTSStartPayload,
    VSIWebRTCAddCandidatePayload,
)
from websockets.asyncio.server import serve

from .published import (
    BROKEN_URL,
    CANDIDATE,
    MACHINE,
    OFFER,
    STT,
    TARGET,
    Events,
    connected,
    conversations,
    decisions,
    machine,
    main,
    rarer_events,
    sandbox,
    speech,
    transcript,
    transfers,
    until,
)

AGENT_PAYLOADS = {
    "elevenlabs": AgentElevenLabsPayload,
    "vapi": AgentVAPIPayload,
    "deepgram": AgentDeepgramPayload,
    "pipecat": AgentPipecatPayload,
}


async def scenario(address: str, port: int, side: str) -> Events:
    async with connected(address, side) as (_, stream, events):
        await commands(stream, port, events)
        await the_transfers(stream, port, events)
        await whatsapp(stream, port, events)
        await browser(stream, port, events)
        await over_websocket(stream, events)
    return events


async def rarer(stream: Any, leg: str, port: int, events: Events) -> None:
    broken = PlaybackStartPayload(id=leg, url=BROKEN_URL, tone="", mime_type="", repeat=0, volume=0)
    hold, play = stream.hold_leg(IDPayload(id=leg)), stream.leg_play_start(broken)
    await rarer_events(leg, port, events, hold=hold, play=play)
    await decisions(
        leg,
        port,
        events,
        accept=lambda: stream.accept_transfer(AcceptTransferPayload(id=leg)),
        progress=lambda: stream.progress_transfer(ProgressTransferPayload(id=leg, status_code=180)),
        complete=lambda: stream.complete_transfer(CompleteTransferPayload(id=leg, success=True)),
        decline=lambda: stream.decline_transfer(DeclineTransferPayload(id=leg, code=486, reason="Busy Here")),
    )
    await machine(leg, port, events, start=stream.leg_amd_start(LegAMDStartPayload(id=leg, **MACHINE)))


async def commands(stream: Any, port: int, events: Events) -> None:
    def seen(kind: str) -> Callable[[], bool]:
        return lambda: events.seen(kind) is not None

    def count(kind: str) -> int:
        return sum(event.type == kind for event in events.all)

    leg = sandbox(port, {"do": "call", "rtt": True, "headers": {"X-App-ID": "shop"}}).split()[1]
    await until(seen("leg.ringing"))
    steps: list[Awaitable[Any]] = []
    assert (await stream.get_leg(IDPayload(id=leg))).app_id == "shop"
    assert (await stream.leg_ring(IDPayload(id=leg))).status == "ringing"
    assert (await stream.leg_early_media(EarlyMediaPayload(id=leg))).status == "early_media"
    await until(seen("leg.early_media"))
    assert (await stream.answer_leg(AnswerLegPayload(id=leg, speech_detection=True))).status == "answering"
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
    await sound(stream, leg, seen)
    await routing_and_text(stream, leg, port, seen)
    await bridges(stream, leg, events)
    await rarer(stream, leg, port, events)
    out = await stream.create_leg(CreateLegRequest(type="sip", to="sip:early-answer@127.0.0.1", room_id="r"))
    await until(lambda: count("leg.connected") == 2)
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
    removed = await stream.remove_leg_from_room(RoomLegPayload(room_id="r", leg_id=out.id))
    assert removed.status == "removed"
    await until(seen("leg.left_room"))
    await stream.delete_leg(DeleteLegPayload(id=out.id))
    await until(seen("leg.disconnected"))
    assert (await stream.delete_room(IDPayload(id="r"))).status == "deleted"
    await until(lambda: count("leg.disconnected") == 2)


async def the_transfers(stream: Any, port: int, events: Events) -> None:
    def answer(leg: str) -> Awaitable[Any]:
        return stream.answer_leg(AnswerLegPayload(id=leg))

    def transfer(leg: str, other: str | None) -> Awaitable[Any]:
        return stream.leg_transfer(TransferLegPayload(id=leg, target=TARGET, replaces_leg_id=other))

    await transfers(port, events, answer=answer, transfer=transfer)


async def whatsapp(stream: Any, port: int, events: Events) -> None:
    """A user of WhatsApp calls, and is called: the sandbox has no way to Meta."""
    leg = sandbox(port, {"do": "call", "whatsapp": True, "from": "+15559999"}).split()[1]
    ringing = await events.wait("leg.ringing", leg_id=leg)
    assert (ringing.leg_type, ringing.from_) == ("whatsapp_in", "+15559999")
    await stream.answer_leg(AnswerLegPayload(id=leg))
    await events.wait("leg.connected", leg_id=leg, leg_type="whatsapp_in")
    assert (await stream.get_leg(IDPayload(id=leg))).type == "whatsapp_in"
    auth = {"password": "secret"}
    request = CreateLegRequest(type="whatsapp", to="+15550001", from_="+15550100", auth=auth)
    out = await stream.create_leg(request)
    assert (out.type, out.state) == ("whatsapp_out", "ringing")
    await events.wait("leg.disconnected", leg_id=out.id)
    await stream.delete_leg(DeleteLegPayload(id=leg))
    await events.wait("leg.disconnected", leg_id=leg)


async def over_websocket(stream: Any, events: Events) -> None:
    """A leg whose peer waits here for a WebSocket."""
    came: list[str] = []

    async def peer(connection: Any) -> None:
        await connection.send('{"type":"text","text":"hello"}')
        async for message in connection:
            if isinstance(message, str):
                came.append(message)

    async with serve(peer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        given = {"sample_rate": 16000, "wire_format": "binary", "sample_format": "s16le", "rtt": True}
        request = CreateLegRequest(type="websocket", url=f"ws://127.0.0.1:{port}/", room_id="r", **given)
        out = await stream.create_leg(request)
        assert (out.type, out.state) == ("websocket_out", "ringing")
        await events.wait("leg.connected", leg_id=out.id, leg_type="websocket_out")
        assert (await events.wait("rtt.received", leg_id=out.id)).text == "hello"
        assert (await stream.send_leg_rtt(RTTPayload(id=out.id, text="you"))).status == "sent"
        await until(lambda: came == ['{"type":"text","text":"you"}'])
        assert (await stream.get_leg(IDPayload(id=out.id))).type == "websocket_out"
        await stream.delete_leg(DeleteLegPayload(id=out.id))
        await events.wait("leg.disconnected", leg_id=out.id)


async def browser(stream: Any, port: int, events: Events) -> None:
    """An offer, candidates both ways, and media."""
    made = await stream.webrtc_offer(WebRTCOfferRequest(sdp=OFFER))
    assert made.sdp.startswith("v=0")
    candidate = ICECandidateInit(candidate=CANDIDATE, sdp_mid="0", sdp_m_line_index=0)
    payload = VSIWebRTCAddCandidatePayload(id=made.leg_id, candidate=candidate)
    assert (await stream.webrtc_add_candidate(payload)).status == "added"
    told = await stream.webrtc_get_candidates(IDPayload(id=made.leg_id))
    assert told.done and told.candidates[0].sdp_mid == "0"
    sandbox(port, {"do": "connect", "uuid": made.leg_id})
    await events.wait("leg.connected", leg_id=made.leg_id)
    await stream.delete_leg(DeleteLegPayload(id=made.leg_id))
    await events.wait("leg.disconnected", leg_id=made.leg_id)


async def sound(stream: Any, leg: str, seen: Callable[[str], Callable[[], bool]]) -> None:
    """Playing and recording, of the leg and of its room."""
    for kind, owner in (("leg", leg), ("room", "r")):
        start = PlaybackStartPayload(id=owner, url="", tone="dial", mime_type="", repeat=0, volume=0)
        playing = await getattr(stream, f"{kind}_play_start")(start)
        assert playing.status == "playing"
        await until(seen("playback.started"))
        louder = PlaybackVolumePayload(id=owner, playback_id=playing.playback_id, volume=3)
        assert (await getattr(stream, f"{kind}_play_volume")(louder)).status == "ok"
        target = PlaybackTargetPayload(id=owner, playback_id=playing.playback_id)
        assert (await getattr(stream, f"{kind}_play_stop")(target)).status == "stopped"
        await until(seen("playback.finished"))
        fields = {name: "" for name in RecordStartPayload.model_fields if name not in ("id", "multi_channel")}
        record = RecordStartPayload(id=owner, multi_channel=kind == "room", **fields)
        assert (await getattr(stream, f"{kind}_record_start")(record)).status == "recording"
        for action, status in (("pause", "paused"), ("resume", "resumed"), ("stop", "stopped")):
            done = await getattr(stream, f"{kind}_record_{action}")(IDPayload(id=owner))
            assert done.status == status
        if kind == "room":
            assert done.channels[leg].channel == 0 and done.multi_channel_file
    await until(seen("recording.finished"))


async def agents(stream: Any, leg: str, events: Events) -> None:
    for kind, owner in (("leg", leg), ("room", "r")):
        await conversations(
            events,
            {f"{kind}_id": owner},
            start=partial(start_agent, stream, kind, owner),
            message=partial(agent_message, stream, kind, owner),
            stop=partial(getattr(stream, f"{kind}_agent_stop"), IDPayload(id=owner)),
        )


async def transcripts(stream: Any, leg: str, events: Events) -> None:
    for kind, owner in (("leg", leg), ("room", "r")):
        started = await transcript(
            events,
            getattr(stream, f"{kind}_stt_start")(STTStartPayload(id=owner, **STT)),
            partial(getattr(stream, f"{kind}_stt_stop"), IDPayload(id=owner)),
            leg_id=leg,
        )
    assert (started.room_id, started.leg_ids) == ("r", [leg])


async def speeches(stream: Any, leg: str, events: Events) -> None:
    for kind, owner in (("leg", leg), ("room", "r")):
        await speech(events, {f"{kind}_id": owner}, partial(say, stream, kind, owner))


async def say(stream: Any, kind: str, owner: str, given: dict[str, Any]) -> Any:
    return await getattr(stream, f"{kind}_tts")(TTSStartPayload(id=owner, **given))


async def start_agent(stream: Any, kind: str, owner: str, provider: str, given: dict[str, Any]) -> Any:
    return await getattr(stream, f"{kind}_agent_{provider}")(AGENT_PAYLOADS[provider](id=owner, **given))


async def agent_message(stream: Any, kind: str, owner: str, text: str) -> Any:
    return await getattr(stream, f"{kind}_agent_message")(AgentMessagePayload(id=owner, message=text))


async def routing_and_text(
    stream: Any, leg: str, port: int, seen: Callable[[str], Callable[[], bool]]
) -> None:
    await stream.room_routing_set(RoomRoutingSetPayload(room_id="r", matrix={"agent": ["agent"]}))
    row = RoutingRowUpdate(listener_role="agent", sources=[])
    changed = await stream.room_routing_update(RoomRoutingUpdatePayload(room_id="r", updates=[row]))
    assert changed.matrix == (await stream.room_routing_get(IDPayload(id="r"))).matrix == {"agent": []}
    await stream.room_routing_set(RoomRoutingSetPayload(room_id="r", matrix={}))
    await stream.reject_leg_rtt(IDPayload(id=leg))
    await stream.accept_leg_rtt(IDPayload(id=leg))
    assert (await stream.send_leg_rtt(RTTPayload(id=leg, text="hello"))).status == "sent"
    sandbox(port, {"do": "text", "uuid": leg, "text": "hi\r\n"})
    await until(seen("rtt.received"))


async def bridges(stream: Any, leg: str, events: Events) -> None:
    """Between rooms; and agents and transcripts, of the leg and of the room."""
    await stream.create_room(CreateRoomRequest(id="peer", sample_rate=8000))
    pair = BridgeRefPayload(room_id="r", bridge_id="b")
    made = await stream.bridge_create(BridgeCreatePayload(**pair.model_dump(), peer_room_id="peer"))
    assert (made.id, made.room_id, made.direction) == ("b", "peer", "bidirectional")
    assert (await stream.bridge_get(pair)).id == "b"
    # thrown away by the client, as the other lists
    assert await stream.bridge_list(BridgeListPayload(room_id="r")) is None
    update = BridgeUpdatePayload(**pair.model_dump(), direction="receive")
    assert (await stream.bridge_update(update)).direction == "receive"
    assert (await stream.bridge_delete(pair)).status == "deleted"
    await events.wait("room.unbridged")
    await agents(stream, leg, events)
    await transcripts(stream, leg, events)
    await speeches(stream, leg, events)


if __name__ == "__main__":
    main(scenario)
