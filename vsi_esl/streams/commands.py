"""WebSockets with media: legs that come in by one, legs that open one, and participants of rooms."""

from __future__ import annotations

import re
import uuid
from functools import partial
from typing import Any

import gevent
import structlog

from ..calls import creating, placement
from ..calls.context import Context
from ..calls.nodes import Node
from ..commands.create import usable_node
from ..delivery.webhooks.targets import MAX_URL, requested
from ..errors import Invalid, NotSupported, VsiError
from ..live.session import Session
from ..live.sessions import Sessions
from ..model.channel import Channel
from ..model.leg import Leg, LegView
from ..model.legtypes import WEBSOCKET_IN, WEBSOCKET_OUT
from ..net import NetError
from ..net.url import parsed
from ..protocol.ids import AppId, RoomId, RoomToJoin
from ..protocol.schemas import Payload, Text, about
from ..protocol.streams import Asked, Serve, Socket, stream
from ..work import clock
from . import legs, rooms, upgrade
from .settings import StreamSettings
from .wire import Wire, rate_of, wire_of

log = structlog.get_logger(__name__)

TRY_LATER = 1013
"""RFC 6455, 7.4.1, and the registry it makes."""
YES = ("1", "true", "yes")
HTTP = {"ws": "http", "wss": "https"}
UNFIT = re.compile(r"[\x00-\x20\x7f]")
"""Would end the target in the line of the request."""


class LegQuery(Payload):
    sample_rate = Text(limit=32, metadata=about("8000, 16000, 24000 or 48000 Hz; without it 16000."))
    wire_format = Text(limit=64, metadata=about("binary, or json_base64; without it binary."))
    sample_format = Text(limit=64, metadata=about("s16le."))
    room_id = RoomToJoin(metadata=about("Room to join; made when there is none."))
    app_id = AppId(metadata=about("The application it belongs to."))
    webhook_url = Text(limit=MAX_URL, metadata=about("Where the events of this leg go."))
    webhook_secret = Text(limit=1024, metadata=about("Signs them."))
    rtt = Text(limit=16, metadata=about("1, true or yes: its texts are real-time text."))


@stream("/legs/websocket", query=LegQuery)
def leg_over_websocket(ctx: Context, asked: Asked) -> Serve:
    """A leg whose peer is the client: its audio comes and goes as messages."""
    given = asked.arguments
    wire = wire_of(rate_of(given["sample_rate"]), given["wire_format"], given["sample_format"])
    node = usable_node(ctx, given["room_id"], suits=_is_here)
    _can_be_handed_over(node)
    node.require("mod_loopback")
    ctx.get(Sessions).admit()
    webhook = requested(given["webhook_url"], given["webhook_secret"], ctx.webhooks.guard)
    rtt = given["rtt"].lower() in YES
    # without tokens it is not how the client got in
    headers = upgrade.shown(asked.headers, with_authorization=not ctx.config.access.tokens)

    def serve(socket: Socket) -> None:
        leg = Leg(
            id=str(uuid.uuid4()),
            type=WEBSOCKET_IN,
            created_at=clock.now(),
            app_id=given["app_id"],
            headers=headers,
            target_room=given["room_id"],
            webhook=webhook,
            rtt=rtt,
            rtt_negotiated=rtt,
            accept_rtt=rtt,
            channel=Channel(node.name, rate=wire.channel_rate),
            dialling=True,
        )
        welcome = {
            "type": "connected",
            "leg_id": leg.id,
            "participant_id": leg.id,
            "sample_rate": wire.rate,
            "format": "pcm_s16le",
        }

        def begin() -> Session:
            legs.appear(ctx, leg)
            return legs.begin(ctx, leg, wire, welcome=welcome)

        _serve(socket, begin)

    return serve


@stream("/rooms/{id}/ws", ids={"id": RoomId})
def room_over_websocket(ctx: Context, asked: Asked) -> Serve:
    """A participant of a room that is no leg: what is said in it, and what it says, as messages."""
    room = ctx.rooms.lasting(asked.ids["id"])
    node = usable_node(ctx, room.id, suits=_is_here)
    _can_be_handed_over(node)
    node.require("mod_loopback")
    ctx.get(Sessions).admit()
    return partial(_serve, begin=partial(rooms.begin, ctx, room))


def _is_here(node: Node) -> bool:
    return node.share.companion is None


def _can_be_handed_over(node: Node) -> None:
    """A connection that a client has made here goes to a process of this machine only."""
    if not _is_here(node):
        raise NotSupported(
            f"a WebSocket of a client cannot be a leg of switch {node.name}: it has a companion"
        )


def _serve(socket: Socket, begin: Any) -> None:
    """Hand the connection over to a session, and stay until that is over."""
    try:
        session: Session = begin()
    except VsiError as error:
        # what was there before the upgrade is not there any more
        socket.close(TRY_LATER, error.message[:100])
        return
    try:
        socket.hand_over(session.hand_over, session.close)
    except OSError as error:
        log.warning("a connection was not handed over", error=str(error))
        session.close()
    session.done.wait()


@creating.creates("websocket")
def create_websocket(ctx: Context, request: dict[str, Any]) -> LegView:
    """Open a WebSocket, whose other end is the leg's peer."""
    if not request["url"]:
        raise Invalid("url is required for type=websocket")
    wire = wire_of(request["sample_rate"], request["wire_format"], request["sample_format"])
    settings = ctx.config.section(StreamSettings)
    _check(request["url"], settings)
    headers = upgrade.outgoing(request["headers"])
    if request["amd"] is not None:
        raise Invalid("AMD is only supported on SIP legs")
    node = usable_node(ctx, request["room_id"])
    node.require("mod_loopback")
    ctx.get(Sessions).admit()
    now = clock.now()
    ring_s = float(max(0, request["ring_timeout"]))
    leg = Leg(
        id=str(uuid.uuid4()),
        type=WEBSOCKET_OUT,
        created_at=now,
        uri=request["url"],
        from_user=request["from_"],
        app_id=request["app_id"],
        headers=upgrade.told(headers),
        accept_dtmf=request["accept_dtmf"],
        target_room=request["room_id"],
        webhook=requested(request["webhook_url"], request["webhook_secret"], ctx.webhooks.guard),
        ring_deadline=now + ring_s if ring_s else 0.0,
        max_duration=float(max(0, request["max_duration"])),
        rtt=request["rtt"],
        rtt_negotiated=request["rtt"],
        accept_rtt=request["rtt"],
        channel=Channel(node.name, rate=wire.channel_rate),
        dialling=True,
    )
    legs.appear(ctx, leg)
    view = leg.view()
    placement.arm_ring_timeout(ctx, leg)
    gevent.spawn(_open, ctx, leg, wire, settings, headers=headers, ring_s=ring_s)
    return view


def _check(url: str, settings: StreamSettings) -> None:
    """Invalid for what is no URL of a WebSocket, or of one where none may be opened, as far as that is known
    without asking a name server."""
    scheme, colon, rest = url.strip().partition(":")
    if scheme.lower() not in HTTP:
        raise Invalid("url: only ws and wss URLs are supported")
    if UNFIT.search(url.strip()):
        raise Invalid("url: invalid URL")
    try:
        host = parsed(f"{HTTP[scheme.lower()]}{colon}{rest}", "url").host
        settings.guard.check_name(host, "url")
    except NetError as error:
        raise Invalid(error.message) from None


def _open(
    ctx: Context, leg: Leg, wire: Wire, settings: StreamSettings, *, headers: dict[str, str], ring_s: float
) -> None:
    try:
        legs.begin(
            ctx,
            leg,
            wire,
            url=leg.uri.strip(),
            headers=headers,
            limit_s=max(legs.DIAL_S, ring_s + 1),
            allow_private=settings.allow_private_urls,
            allowed=[str(network) for network in settings.allowed_networks],
        )
    except VsiError as error:
        log.warning("leg not begun", leg_id=leg.id, error=error.message)
    except Exception:  # `begin` has ended the leg
        log.exception("leg not begun", leg_id=leg.id)
