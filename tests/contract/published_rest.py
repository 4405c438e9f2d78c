"""Every implemented command through the REST methods of the published client, as an application would call
them. Run as a program: `python -m tests.contract.published_rest address sandbox-port async|sync`. Prints the
types of the events it parsed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from voiceblender import (
    AddLegRequest,
    AgentMessageRequest,
    AMDParams,
    AnswerLegRequest,
    APIError,
    CreateLegRequest,
    CreateRoomBridgeRequest,
    CreateRoomRequest,
    DeepgramAgentRequest,
    DeleteLegRequest,
    DTMFRequest,
    EarlyMediaLegRequest,
    ElevenLabsAgentRequest,
    PipecatAgentRequest,
    RecordingRequest,
    RingLegRequest,
    RoomRoutingRequest,
    RoomRoutingUpdateRequest,
    RoutingRowUpdate,
    RTTRequest,
    SetLegRoleRequest,
    STTRequest,
    TransferCompleteRequest,
    TransferDeclineRequest,
    TransferProgressRequest,
    TransferRequest,
    TTSRequest,
    UpdateRoomBridgeRequest,
    VAPIAgentRequest,
    VolumeRequest,
    is_conflict,
    is_not_found,
    play_tone,
    play_url,
)
from voiceblender._requests import ICECandidateInit, WebRTCOfferRequest
from voiceblender._responses_extra import ICECandidatesResponse

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

AGENT_REQUESTS = {
    "elevenlabs": ElevenLabsAgentRequest,
    "vapi": VAPIAgentRequest,
    "deepgram": DeepgramAgentRequest,
    "pipecat": PipecatAgentRequest,
}


async def scenario(address: str, port: int, side: str) -> Events:
    async with connected(address, side) as (client, _, events):
        leg = await the_call(client, port, events)
        await the_room(client, leg, port, events)
        await the_sound(client, leg, events)
        await the_bridge(client, events)
        await the_agents(client, leg, events)
        for owner in (leg, client.room("r")):
            await transcript(events, owner.stt(STTRequest(**STT)), owner.stop_stt, leg_id=leg.id)
        for about, owner in (({"leg_id": leg.id}, leg), ({"room_id": "r"}, client.room("r"))):
            await speech(events, about, partial(say, owner))
        play = leg.play(play_url(BROKEN_URL))
        await rarer_events(leg.id, port, events, hold=leg.hold(), play=play)
        await decisions(
            leg.id,
            port,
            events,
            accept=leg.accept_transfer,
            progress=lambda: leg.transfer_progress(TransferProgressRequest(status_code=180)),
            complete=lambda: leg.complete_transfer(TransferCompleteRequest(success=True)),
            decline=lambda: leg.decline_transfer(TransferDeclineRequest(code=486, reason="Busy Here")),
        )
        await machine(leg.id, port, events, start=leg.start_amd(AMDParams(**MACHINE)))
        await the_transfers(client, port, events)
        await the_end(client, leg, events)
        await the_browser(client, port, events)
    return events


async def the_call(client: Any, port: int, events: Events) -> Any:
    uuid = sandbox(port, {"do": "call", "rtt": True, "headers": {"X-App-ID": "shop"}}).split()[1]
    await events.wait("leg.ringing", leg_id=uuid)
    leg = await client.get_leg(uuid)
    assert (leg.app_id, leg.state, leg.type) == ("shop", "ringing", "sip_inbound")
    assert [one.id for one in await client.list_legs()] == [uuid]
    assert (await leg.ring(RingLegRequest())).status == "ringing"
    assert (await leg.early_media(EarlyMediaLegRequest(codec="PCMU"))).status == "early_media"
    await events.wait("leg.early_media", leg_id=uuid)
    assert (await leg.answer(AnswerLegRequest(speech_detection=True))).status == "answering"
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


async def the_room(client: Any, leg: Any, port: int, events: Events) -> None:
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


async def the_sound(client: Any, leg: Any, events: Events) -> None:
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


async def the_agents(client: Any, leg: Any, events: Events) -> None:
    for about, owner in (({"leg_id": leg.id}, leg), ({"room_id": "r"}, client.room("r"))):
        await conversations(
            events,
            about,
            start=partial(start_agent, owner),
            message=partial(agent_message, owner),
            stop=owner.stop_agent,
        )


async def say(owner: Any, given: dict[str, Any]) -> Any:
    return await owner.play_tts(TTSRequest(**given))


async def start_agent(owner: Any, provider: str, given: dict[str, Any]) -> Any:
    return await getattr(owner, f"{provider}_agent")(AGENT_REQUESTS[provider](**given))


async def agent_message(owner: Any, text: str) -> Any:
    return await owner.agent_message(AgentMessageRequest(message=text))


async def the_bridge(client: Any, events: Events) -> None:
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


async def the_transfers(client: Any, port: int, events: Events) -> None:
    async def answer(leg: str) -> None:
        await (await client.get_leg(leg)).answer(AnswerLegRequest())

    async def transfer(leg: str, other: str | None) -> Any:
        request = TransferRequest(target=TARGET, replaces_leg_id=other)
        return await (await client.get_leg(leg)).transfer(request)

    await transfers(port, events, answer=answer, transfer=transfer)


async def the_browser(client: Any, port: int, events: Events) -> None:
    # this release of the client leaves the model incomplete, and could take no candidates at all
    ICECandidatesResponse.model_rebuild(_types_namespace={"ICECandidateInit": ICECandidateInit})
    made = await client.webrtc_offer(WebRTCOfferRequest(sdp=OFFER))
    assert made.sdp.startswith("v=0")
    leg = await client.get_leg(made.leg_id)
    assert (leg.type, leg.state) == ("webrtc", "connected")
    candidate = ICECandidateInit(candidate=CANDIDATE, sdp_mid="0", sdp_m_line_index=0)
    assert (await leg.add_ice_candidate(candidate)).status == "added"
    told = await leg.get_ice_candidates()
    assert told.done and told.candidates[0].sdp_mid == "0"
    sandbox(port, {"do": "connect", "uuid": leg.id})
    await events.wait("leg.connected", leg_id=leg.id)
    await leg.hangup(DeleteLegRequest())
    await events.wait("leg.disconnected", leg_id=leg.id)


async def the_end(client: Any, leg: Any, events: Events) -> None:
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
    main(scenario)
