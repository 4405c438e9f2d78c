"""create_leg: dialling out."""

from __future__ import annotations

import re
import uuid
from typing import Any

import gevent
import structlog

from ..calls import dialling, lifecycle, placement
from ..calls.context import Context
from ..calls.nodes import Node
from ..config import values
from ..delivery.webhooks.targets import MAX_URL, requested
from ..errors import BadArgument, Invalid, NotSupported, SwitchUnavailable, VsiError
from ..model.amd import AmdParameters
from ..model.channel import Channel
from ..model.codecs import SWITCH_NAMES, codec_name
from ..model.leg import SIP_OUTBOUND, Leg, LegView
from ..model.sipuri import sip_uri
from ..protocol.ids import AppId, RoomToJoin
from ..protocol.limits import Range
from ..protocol.registry import Body, Rest, command
from ..protocol.schemas import INT32, Boolean, Integer, Nested, Payload, Text, TextList, TextMap, about
from ..switch.lines import builder, headers, identity
from ..work import clock
from .answering import require_codec, usable_codecs

log = structlog.get_logger(__name__)

LONGEST_S = int(values.LONGEST_S)
"""Longest time in seconds that a request may name, as in the settings. The switch counts in 32 bits."""

MISSING = {
    "websocket": "create_leg type websocket is not implemented by this server yet: it needs live streams",
    "whatsapp": "create_leg type whatsapp is not supported: it needs SIP over TLS with WebRTC media",
    "livekit_room": "create_leg type livekit_room is not supported by this server",
}


class Auth(Payload):
    username = Text(limit=256, metadata=about("User name."))
    password = Text(limit=256, metadata=about("Password; it is in no log, and not kept."))


def _milliseconds(text: str) -> Integer:
    """A threshold, of which the detection's own rules say more."""
    return Integer(*INT32, checked=Range("threshold", 0, INT32[1]), metadata=about(text))


AMD = AmdParameters()


class Amd(Payload):
    initial_silence_timeout = _milliseconds(
        f"Silence in ms that means no_speech; 0 for {AMD.initial_silence_timeout}."
    )
    greeting_duration = _milliseconds(f"Speech in ms that means machine; 0 for {AMD.greeting_duration}.")
    after_greeting_silence = _milliseconds(
        f"Silence in ms behind speech that means human; 0 for {AMD.after_greeting_silence}."
    )
    total_analysis_time = _milliseconds(
        f"Longest analysis in ms, then not_sure; 0 for {AMD.total_analysis_time}."
    )
    minimum_word_length = _milliseconds(f"Bursts of fewer ms are noise; 0 for {AMD.minimum_word_length}.")
    beep_timeout = _milliseconds("How long in ms a machine's beep is waited for; 0 for not at all.")


class CreateLeg(Payload):
    type = Text(limit=64, metadata=about("The kind of leg.", needed=True, enum=["sip"]))
    to = Text(limit=1024, metadata=about("SIP URI to dial."))
    uri = Text(limit=1024, metadata=about("Older name of `to`."))
    from_ = Text(
        data_key="from",
        limit=512,
        metadata=about("Caller: a user part, a SIP URI, or a name with a SIP URI in angle brackets."),
    )
    outbound_proxy = Text(
        limit=1024,
        metadata=about(
            "SIP URI of the proxy that the INVITE is sent to, as a loose Route. Without it that of"
            " the server's settings, if there is one."
        ),
    )
    privacy = Text(limit=128, metadata=about("Value of the Privacy header, such as id."))
    ring_timeout = Integer(
        -LONGEST_S, LONGEST_S, metadata=about("Longest ringing in seconds; 0 or less for no limit.")
    )
    max_duration = Integer(
        -LONGEST_S,
        LONGEST_S,
        metadata=about("Longest call in seconds, from the answer; 0 or less for no limit."),
    )
    codecs = TextList(metadata=about("Codecs to offer, in order of preference."))
    headers = TextMap(metadata=about("SIP headers of the INVITE."))
    room_id = RoomToJoin(metadata=about("Room to join when the call has media; made when there is none."))
    auth = Nested(Auth, metadata=about("Credentials for a 401 or 407."))
    webhook_url = Text(limit=MAX_URL, metadata=about("Where the events of this leg go."))
    webhook_secret = Text(metadata=about("Signs them."))
    amd = Nested(Amd, metadata=about("Answering machine detection from the answer on."))
    accept_dtmf = Boolean(default=True, metadata=about("Whether it gets digits of others in its room."))
    app_id = AppId(metadata=about("The application it belongs to."))
    speech_detection = Boolean(metadata=about("Whether speaking events are wanted."))
    rtt = Boolean(default=False, metadata=about("Offer real-time text."))


@command("create_leg", CreateLeg, rest=Rest("POST", "/legs", 201, body=Body.REQUIRED))
def create_leg(ctx: Context, type: str, **request: Any) -> LegView:
    """Dial a SIP URI. The view comes at once; what becomes of the call comes by events."""
    if type in MISSING:
        raise NotSupported(MISSING[type])
    if type != "sip":
        raise Invalid(f"unsupported leg type: {type}")
    if ctx.draining:
        raise SwitchUnavailable("the service is shutting down")
    node = _node(ctx, request["room_id"])
    if not node.ready:
        raise SwitchUnavailable(f"not connected to the switch: {node.last_error}")
    leg = _leg(ctx, node, request)
    variables = _dial_variables(ctx, leg, request)
    # quoted now, so that what the switch cannot carry is refused before there is a leg
    builder.originate(leg.uri, variables, node.settings.sofia_profile)
    ctx.state.save_legs([leg], needed=True)
    if leg.target_room:
        try:
            room = placement.find_or_create_room(ctx, leg.target_room, leg)
            leg.silenced = bool(room.matrix)
        except VsiError:
            ctx.state.forget_leg(leg.id)
            raise
    lifecycle.appeared(ctx, leg)
    placement.arm_ring_timeout(ctx, leg)
    ctx.moments.dialling(ctx, leg)
    gevent.spawn(dialling.dial, ctx, leg, variables)
    return leg.view()


def _node(ctx: Context, room_id: str) -> Node:
    """The switch that dials: that of the room to join, else one that can."""
    room = ctx.rooms.find(room_id) if room_id else None
    return ctx.node(room) if room is not None and room.node else ctx.nodes.available


def _leg(ctx: Context, node: Node, request: dict[str, Any]) -> Leg:
    target = request["to"] or request["uri"]
    try:
        sip_uri(target)
    except BadArgument as error:
        raise Invalid(error.message) from error
    now = clock.now()
    speech = request["speech_detection"]
    return Leg(
        id=str(uuid.uuid4()),
        type=SIP_OUTBOUND,
        created_at=now,
        uri=target,
        from_user=request["from_"],
        app_id=request["app_id"],
        headers=request["headers"],
        accept_dtmf=request["accept_dtmf"],
        target_room=request["room_id"],
        webhook=requested(request["webhook_url"], request["webhook_secret"], ctx.webhooks.guard),
        speech_detection=ctx.config.speech.detection_enabled if speech is None else speech,
        ring_deadline=now + request["ring_timeout"] if request["ring_timeout"] > 0 else 0.0,
        max_duration=float(max(0, request["max_duration"])),
        amd=None if request["amd"] is None else AmdParameters.of(request["amd"]),
        rtt=request["rtt"],
        channel=Channel(node.name),
        dialling=True,
    )


def _dial_variables(ctx: Context, leg: Leg, request: dict[str, Any]) -> dict[str, str]:
    """The request as channel variables, not yet quoted."""
    given = [*leg.headers.items(), *([("Privacy", request["privacy"])] if request["privacy"] else [])]
    invite = headers.of_invite(given)
    if invite.dropped:
        log.warning("headers left out: the switch writes its own", leg_id=leg.id, names=invite.dropped)
    variables = invite.variables
    variables |= identity.variables(request["from_"], invite.privacy, ctx.config.sip.domain)
    if proxy := request["outbound_proxy"] or ctx.config.sip.outbound_proxy:
        variables["sip_invite_route_uri"] = _route(proxy)
    if request["codecs"]:
        names = []
        for wanted in request["codecs"]:
            known = codec_name(wanted)
            if known is None:
                raise Invalid(f"unknown codec: {wanted}")
            require_codec(ctx, leg, known)
            names.append(SWITCH_NAMES[known])
    else:
        names = [SWITCH_NAMES[name] for name in usable_codecs(ctx, leg)]
    variables["absolute_codec_string"] = ",".join(names)
    if request["rtt"]:
        variables |= {"rtp_enable_text": "true", "fire_text_events": "true"}
    if request["auth"]:
        variables["sip_auth_username"] = request["auth"]["username"]
        variables["sip_auth_password"] = request["auth"]["password"]
    return variables


def _route(proxy: str) -> str:
    """The Route of the INVITE: where it is sent, whatever the host of its Request-URI (RFC 3261, 16.12.1)."""
    try:
        uri = sip_uri(proxy.strip())
    except BadArgument as error:
        raise Invalid(f"invalid outbound_proxy: {error.message}") from error
    host = uri[4:].rpartition("@")[2]  # a hop is a proxy, not a user at it
    loose = "" if re.search(r";lr(?:[;=]|\Z)", host) else ";lr"
    return f"<sip:{host}{loose}>"
