"""Channel events up to the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..calls import dialling, endings, lifecycle, placement
from ..delivery.webhooks.targets import of_call
from ..model import codecs
from ..model.channel import Channel
from ..model.leg import CONNECTED, EARLY_MEDIA, RINGING, SIP_INBOUND, SIP_OUTBOUND, Leg
from ..switch import memory
from ..work import clock
from . import SwitchEvent, on_event, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

MAX_HEADERS = 64
HEADER = "variable_sip_h_"
X_PREFIXES = ("X-", "x-")
APP_ID = "x-app-id"
NEVER_SHOWN = re.compile(r"(?i)x-webhook-secret(?:-[0-9]+)?\Z")
"""Also when it is there several times."""


def x_headers(event: SwitchEvent) -> dict[str, str]:
    """The caller's headers whose name starts with `X-` in any case (RFC 3261, 7.3.1), names as received.

    A folded header still has its line end in it. Of repeated ones the last counts; the switch numbers
    them `X-Name-1`, which also is a legal name, so those stay as they are.
    """
    found: dict[str, str] = {}
    for key in event:
        if key.startswith(HEADER) and key[15:17] in X_PREFIXES and len(found) < MAX_HEADERS:
            found[key[15:]] = " ".join(text_of(event, key).split("\r\n"))
    return found


def leg_from(ctx: Context, node: Node, event: SwitchEvent, *, offer: bool = True) -> Leg:
    """A leg built from a channel's event or dump; without the codecs of its `offer`, which takes the longest,
    when nobody will be told of them or choose one."""
    inbound = event.get(f"variable_{memory.LEG}") == "inbound"
    headers = {}
    if inbound:
        headers = {name: value for name, value in x_headers(event).items() if not NEVER_SHOWN.match(name)}
    leg = Leg(
        id=event["Unique-ID"],
        type=SIP_INBOUND if inbound else SIP_OUTBOUND,
        created_at=node.clock.time_of(event, "Caller-Channel-Created-Time") or clock.now(),
        headers=headers,
        channel=Channel(node.name, parked=True),
    )
    if inbound:
        leg.app_id = next((value for name, value in headers.items() if name.lower() == APP_ID), "")[:256]
        leg.from_user = text_of(event, "variable_sip_from_user")
        leg.to_user = text_of(event, "variable_sip_to_user")
        if offer:
            leg.offered_codecs = codecs.offered_codecs(text_of(event, "variable_switch_r_sdp"))
    memory.recall(leg, event)
    learn_codec(leg, event)
    return leg


def learn_codec(leg: Leg, event: SwitchEvent) -> None:
    """Take the negotiated codec and its sample rate from an event that has them."""
    name = text_of(event, "variable_rtp_use_codec_name") or text_of(event, "variable_read_codec")
    if name:
        leg.channel.codec = name
        leg.channel.rate = codecs.sample_rate(name, text_of(event, "variable_read_rate"))


def learn_text(ctx: Context, leg: Leg, event: SwitchEvent) -> None:
    """Whether both sides agreed on real-time text."""
    if text_of(event, "variable_text_possible") == "true" and not leg.rtt_negotiated:
        leg.rtt_negotiated = True
        ctx.switch(leg).remember(leg, "rtt_negotiated")


def is_ours(event: SwitchEvent) -> bool:
    """Whether the channel is a leg: marked by our dialplan or our originate."""
    marked = event.get(f"variable_{memory.LEG}") in ("inbound", "outbound")
    return marked and event.get(f"variable_{memory.INTERNAL}") != "true"


@on_event("CHANNEL_PARK")
def channel_park(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """An inbound call arrived; or an outbound one has media; or a leg fell out of its conference."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None:
        if node.waits.fulfil("arrived", event.get("Unique-ID", ""), value=""):
            return  # an internal channel
        if not is_ours(event) or endings.refuse(ctx, node, event["Unique-ID"]):
            return
        if event.get("Answer-State") == "ringing" and not ctx.draining:
            arrived(ctx, leg_from(ctx, node, event), event)
        return
    leg.channel.parked = True
    ctx.legs.seen(leg)
    dialling.parked(ctx, leg)
    ctx.node(leg).waits.fulfil("parked", leg.id)
    if leg.state == CONNECTED or leg.target_room:
        placement.settle_soon(ctx, leg)


def arrived(ctx: Context, leg: Leg, event: SwitchEvent) -> None:
    """Take an inbound call over from the dialplan and announce it."""
    if leg.inbound and ctx.config.webhooks.from_sip_networks:
        source = text_of(event, "variable_sip_network_ip") or text_of(event, "variable_sip_received_ip")
        leg.webhook = of_call(x_headers(event), source, ctx.config.webhooks, ctx.webhooks.guard)
    leg.speech_detection = ctx.config.speech.detection_enabled
    ctx.switch(leg).adopt(leg)
    ctx.switch(leg).remember(leg, "speech_detection", "app_id")
    lifecycle.appeared(ctx, leg)
    if ctx.config.sip.auto_ringing and leg.inbound:
        ctx.workers.submit(leg.id, ctx.switch(leg).ring, leg)


@on_event("CHANNEL_PROGRESS_MEDIA")
def channel_progress_media(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Early media. It also fires on a plain answer of an inbound call, where it means nothing."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None or leg.state != RINGING:
        return
    ctx.legs.seen(leg)
    if leg.inbound and (leg.answer_asked or not leg.early_media_asked):
        return
    learn_codec(leg, event)
    lifecycle.early_media(ctx, leg)
    placement.settle_soon(ctx, leg)


@on_event("CHANNEL_ANSWER")
def channel_answer(ctx: Context, node: Node, event: SwitchEvent) -> None:
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None:
        endings.refuse(ctx, node, event.get("Unique-ID", ""))
        return
    ctx.legs.seen(leg)
    if leg.state not in (RINGING, EARLY_MEDIA) or leg.ending:
        return
    learn_codec(leg, event)
    answered = node.clock.time_of(event, "Caller-Channel-Answered-Time") or clock.now()
    learn_text(ctx, leg, event)
    lifecycle.connected(ctx, leg, answered)
    placement.media_up(ctx, leg)
