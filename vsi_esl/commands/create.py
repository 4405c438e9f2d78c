"""create_leg: dialling out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import gevent
import structlog

from ..calls import choosing, creating, dialling, lifecycle, placement, reach, trunks
from ..calls.context import Context
from ..calls.nodes import Node
from ..config import values
from ..delivery.webhooks.targets import MAX_URL, requested
from ..errors import BadArgument, Invalid, NotSupported
from ..model.amd import AmdParameters
from ..model.channel import Channel
from ..model.codecs import SWITCH_NAMES, codec_name
from ..model.leg import Leg, LegView
from ..model.legtypes import SIP_OUTBOUND
from ..model.sipuri import SipUri, parse
from ..protocol.ids import AppId, RoomToJoin
from ..protocol.limits import Range
from ..protocol.registry import Body, Rest, command
from ..protocol.schemas import INT32, Boolean, Integer, Nested, Payload, Text, TextList, TextMap, about
from ..switch.lines import builder, headers, identity, targets
from ..switch.lines.targets import Profiles, Target
from ..switch.trunks import Trunk
from ..work import clock
from .answering import INBAND_DTMF, inband, require_codec, usable_codecs

log = structlog.get_logger(__name__)

LONGEST_S = int(values.LONGEST_S)
"""Longest time in seconds that a request may name, as in the settings. The switch counts in 32 bits."""

MISSING = {
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
    type = Text(
        limit=64, metadata=about("The kind of leg.", needed=True, enum=["sip", "websocket", "whatsapp"])
    )
    to = Text(
        limit=1024,
        metadata=about(
            "SIP URI to dial (sip: or sips:). By a trunk that is named also a number, for its proxy."
            " whatsapp: a phone number (E.164), with or without +."
        ),
    )
    uri = Text(limit=1024, metadata=about("Older name of `to`."))
    from_ = Text(
        data_key="from",
        limit=512,
        metadata=about(
            "Caller: a user part, a SIP URI, or a name with a SIP URI in angle brackets; whatsapp: the"
            " number of the business, E.164."
        ),
    )
    outbound_proxy = Text(
        limit=1024,
        metadata=about(
            "SIP URI of the proxy that the INVITE is sent to, as a loose Route. Without it that of"
            " the server's settings, if there is one."
        ),
    )
    trunk = Text(
        limit=128,
        metadata=about(
            "Name of the trunk to call by: a gateway in FreeSWITCH's SIP profile, with its credentials."
            " Without it that whose address is `from`, if there is one."
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
    headers = TextMap(metadata=about("Headers of the INVITE, or of a WebSocket's upgrade."))
    room_id = RoomToJoin(metadata=about("Room to join when the call has media; made when there is none."))
    auth = Nested(Auth, metadata=about("Credentials for a 401 or 407; whatsapp cannot do without."))
    webhook_url = Text(limit=MAX_URL, metadata=about("Where the events of this leg go."))
    webhook_secret = Text(metadata=about("Signs them."))
    amd = Nested(Amd, metadata=about("Answering machine detection from the answer on."))
    accept_dtmf = Boolean(default=True, metadata=about("Whether it gets digits of others in its room."))
    app_id = AppId(metadata=about("The application it belongs to."))
    speech_detection = Boolean(metadata=about("Whether speaking events are wanted."))
    rtt = Boolean(default=False, metadata=about("Offer real-time text; a WebSocket's texts are it then."))
    url = Text(limit=MAX_URL, metadata=about("Where the WebSocket is: ws or wss."))
    sample_rate = Integer(
        *INT32, metadata=about("Of a WebSocket's audio in Hz: 8000, 16000, 24000 or 48000; 0 for 16000.")
    )
    wire_format = Text(limit=64, metadata=about("Of a WebSocket's audio: binary, or json_base64."))
    sample_format = Text(limit=64, metadata=about("Of a WebSocket's audio: s16le."))
    inband_dtmf = Boolean(metadata=about(INBAND_DTMF))


@command("create_leg", CreateLeg, rest=Rest("POST", "/legs", 201, body=Body.REQUIRED))
def create_leg(ctx: Context, type: str, **request: Any) -> LegView:
    """Make a call. The view comes at once; what becomes of the call comes by events."""
    maker = creating.maker_of(type)
    if maker is not None:
        return maker(ctx, request)
    if type in MISSING:
        raise NotSupported(MISSING[type])
    raise Invalid(f"unsupported leg type: {type}")


@creating.creates("sip")
def _sip(ctx: Context, request: dict[str, Any]) -> LegView:
    return call(ctx, request).view()


def call(
    ctx: Context, request: dict[str, Any], variables: Mapping[str, str] | None = None, failing_as: str = ""
) -> Leg:
    """What `create_leg` does for `sip`, with more channel variables of the service's own, and a reason of its
    own for a call that nobody answers."""
    node = usable_node(ctx, request["room_id"], partial(trunks.there, request["trunk"], request["from_"]))
    trunk = _trunk(node, request)
    leg = _leg(ctx, node, request)
    leg.trunk = trunk.name if trunk else ""
    leg.failing_as = failing_as
    target = _target(ctx, node, leg, trunk, request)
    dial(ctx, leg, {**_dial_variables(ctx, leg, trunk, request), **(variables or {})}, target)
    return leg


def dial(ctx: Context, leg: Leg, variables: dict[str, str], target: Target) -> LegView:
    """Announce an outbound leg and have the switch dial, with these channel variables, not yet quoted. Raises
    BadArgument for what cannot be quoted, and as `placement.keep_new`; then there is no leg."""
    # quoted now, so that what the switch cannot carry is refused before there is a leg
    builder.originate(target, variables)
    room = placement.keep_new(ctx, leg)
    leg.silenced = bool(room and room.matrix)
    lifecycle.appeared(ctx, leg)
    placement.arm_ring_timeout(ctx, leg)
    ctx.moments.dialling(ctx, leg)
    gevent.spawn(dialling.dial, ctx, leg, variables, target)
    return leg.view()


def usable_node(ctx: Context, room_id: str, suits: choosing.Suits | None = None) -> Node:
    """The switch for a new leg, as `choosing.for_leg`."""
    return choosing.for_leg(ctx, ctx.rooms.find(room_id) if room_id else None, suits)


def _leg(ctx: Context, node: Node, request: dict[str, Any]) -> Leg:
    leg = outbound_leg(ctx, node, SIP_OUTBOUND, request["to"] or request["uri"], request)
    leg.headers = request["headers"]
    leg.ring_deadline = leg.created_at + request["ring_timeout"] if request["ring_timeout"] > 0 else 0.0
    leg.amd = None if request["amd"] is None else AmdParameters.of(request["amd"])
    leg.rtt = request["rtt"]
    leg.inband_dtmf = inband(node, request["inband_dtmf"])
    return leg


def outbound_leg(ctx: Context, node: Node, leg_type: str, uri: str, request: dict[str, Any]) -> Leg:
    """A leg that is to be dialled, with what the request says of legs of any type. `uri` is what clients see
    of whom it calls."""
    speech = request["speech_detection"]
    return Leg(
        id=str(uuid.uuid4()),
        type=leg_type,
        created_at=clock.now(),
        uri=uri,
        from_user=request["from_"],
        app_id=request["app_id"],
        accept_dtmf=request["accept_dtmf"],
        target_room=request["room_id"],
        webhook=requested(request["webhook_url"], request["webhook_secret"], ctx.webhooks.guard),
        speech_detection=ctx.config.speech.detection_enabled if speech is None else speech,
        max_duration=float(max(0, request["max_duration"])),
        channel=Channel(node.name),
        dialling=True,
    )


def _trunk(node: Node, request: dict[str, Any]) -> Trunk | None:
    if request["trunk"]:
        return trunks.named(node, request["trunk"])
    return trunks.of_caller(node, request["from_"])


def _target(ctx: Context, node: Node, leg: Leg, trunk: Trunk | None, request: dict[str, Any]) -> Target:
    """Where the call goes. What cannot be reached from the switch as it is is said by name."""
    given = request["outbound_proxy"]
    if trunk is not None:
        proxy = _proxy(given) if given else None  # a trunk has its own in the place of everybody's
        to = leg.uri if request["trunk"] and ":" not in leg.uri else parse(leg.uri)
        return targets.at_gateway(to, trunk.name, trunk.transport, proxy)
    uri = parse(leg.uri)
    given = given or ctx.config.sip.outbound_proxy
    proxy = _proxy(given) if given else None
    profiles = Profiles(node.settings.sofia_profile, node.settings.sofia_profile_ipv6)
    hop = proxy or uri
    if hop.ipv6 or hop.transport == "tls":
        reach.require(node, profiles.towards(hop), hop)
    return targets.at_profile(uri, proxy, profiles)


def _proxy(given: str) -> SipUri:
    try:
        return parse(given.strip())
    except BadArgument as error:
        raise Invalid(f"invalid outbound_proxy: {error.message}") from error


def _dial_variables(ctx: Context, leg: Leg, trunk: Trunk | None, request: dict[str, Any]) -> dict[str, str]:
    """The request as channel variables, not yet quoted."""
    given = [*leg.headers.items(), *([("Privacy", request["privacy"])] if request["privacy"] else [])]
    invite = headers.of_invite(given)
    if invite.dropped:
        log.warning("headers left out: the switch writes its own", leg_id=leg.id, names=invite.dropped)
    variables = invite.variables
    from_, domain = request["from_"], ctx.config.sip.domain
    if trunk is not None:
        from_, domain = from_ or trunk.user, trunk.host or domain
    variables |= identity.variables(from_, invite.privacy, domain)
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
