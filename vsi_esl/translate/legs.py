"""Channel events up to the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from ..calls import arriving, dialling, digits, endings, joining, lifecycle, placement
from ..delivery.webhooks.targets import of_call
from ..model import codecs
from ..model.channel import Channel
from ..model.leg import CONNECTED, EARLY_MEDIA, RINGING, Leg
from ..model.legtypes import SIP_INBOUND, SIP_OUTBOUND, WHATSAPP_IN
from ..switch import memory
from ..work import clock
from . import SwitchEvent, on_event, tethers, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

log = structlog.get_logger(__name__)

MAX_HEADERS = 64
DIALOG_PART = re.compile(r"[!-~]{1,256}\Z")
WHATSAPP_HOST = re.compile(r"(?i)(?:.+\.)?meta\.vc\Z")
"""Of the From of Meta's gateways."""
HEADER = "variable_sip_h_"
X_PREFIXES = ("X-", "x-")
APP_ID = "x-app-id"
NO_OFFER = "RECEIVED_NOSDP"
IDENTITY = "P-Asserted-Identity"
DIVERSION = "diversion"
NEVER_SHOWN = re.compile(r"(?i)x-webhook-secret(?:-[0-9]+)?\Z")
"""Also when it is there several times."""


def sip_headers(event: SwitchEvent) -> list[str]:
    """Names of the caller's headers that the switch shows, as received."""
    return [key[15:] for key in event if key.startswith(HEADER)]


def x_headers(event: SwitchEvent, names: Iterable[str]) -> dict[str, str]:
    """Of these headers those whose name starts with `X-` in any case (RFC 3261, 7.3.1), names as received.

    A folded header still has its line end in it. Of repeated ones the last counts; the switch numbers
    them `X-Name-1`, which also is a legal name, so those stay as they are.
    """
    shown = [name for name in names if name.startswith(X_PREFIXES)][:MAX_HEADERS]
    return {name: _unfolded(event, HEADER + name) for name in shown}


def _unfolded(event: SwitchEvent, key: str) -> str:
    return " ".join(text_of(event, key).split("\r\n"))


def caller_type(event: SwitchEvent) -> str:
    """The type of an inbound leg, by who calls."""
    return WHATSAPP_IN if WHATSAPP_HOST.match(text_of(event, "variable_sip_from_host")) else SIP_INBOUND


def network_headers(event: SwitchEvent, names: Iterable[str]) -> dict[str, str]:
    """What the network says of a caller: P-Asserted-Identity (RFC 3325; its user part only, where the SIP
    profile parses no more) and Diversion (RFC 5806; of several the last)."""
    found = {}
    if identity := _unfolded(event, f"variable_sip_{IDENTITY}"):
        found[IDENTITY] = identity
    for name in names:
        if name.lower() == DIVERSION:
            found["Diversion"] = _unfolded(event, HEADER + name)
    return found


def leg_from(ctx: Context, node: Node, event: SwitchEvent, *, offer: bool = True) -> Leg:
    """A leg built from a channel's event or dump; without the codecs of its `offer`, which takes the longest,
    when nobody will be told of them or choose one."""
    inbound = event.get(f"variable_{memory.LEG}") == "inbound"
    headers = {}
    if inbound:
        names = sip_headers(event)
        theirs = x_headers(event, names)
        headers = {name: value for name, value in theirs.items() if not NEVER_SHOWN.match(name)}
        headers |= network_headers(event, names)
    leg = Leg(
        id=event["Unique-ID"],
        type=memory.type_of(event) or (caller_type(event) if inbound else SIP_OUTBOUND),
        created_at=node.clock.time_of(event, "Caller-Channel-Created-Time") or clock.now(),
        headers=headers,
        channel=Channel(node.name, parked=True),
    )
    if inbound:
        leg.app_id = next((value for name, value in headers.items() if name.lower() == APP_ID), "")[:256]
        leg.from_user = text_of(event, "variable_sip_from_user")
        leg.to_user = text_of(event, "variable_sip_to_user")
        leg.trunk = text_of(event, "variable_sip_gateway")
        leg.offered = text_of(event, "variable_endpoint_disposition") != NO_OFFER
        if offer and leg.kind.plain:
            leg.offered_codecs = codecs.offered_codecs(text_of(event, "variable_switch_r_sdp"))
    memory.recall(leg, event)
    learn_codec(leg, event)
    learn_dialog(leg, event)
    return leg


def learn_dialog(leg: Leg, event: SwitchEvent) -> None:
    """Take what names the SIP dialog, as far as it is not known. The switch's From and To are those of the
    last INVITE, whoever sent it: only before there has been a second one, or when one of the tags is known,
    is it sure which is whose. Of a call that is answered without having rung the switch shows its own tag
    only behind the ACK."""
    leg.call_id = leg.call_id or _dialog_part(event, "variable_sip_call_id")
    of_from, of_to = _dialog_part(event, "variable_sip_from_tag"), _dialog_part(event, "variable_sip_to_tag")
    ours, theirs = (of_to, of_from) if leg.inbound else (of_from, of_to)
    if (leg.local_tag and leg.local_tag == theirs) or (leg.remote_tag and leg.remote_tag == ours):
        ours, theirs = theirs, ours
    leg.local_tag, leg.remote_tag = leg.local_tag or ours, leg.remote_tag or theirs


def _dialog_part(event: SwitchEvent, header: str) -> str:
    """A tag or Call-ID; empty for one that a peer made up, and no channel variable or Replaces can hold."""
    found = text_of(event, header)
    return found if DIALOG_PART.match(found) else ""


def learn_codec(leg: Leg, event: SwitchEvent) -> None:
    """Take the negotiated codec and its sample rate from an event that has them."""
    name = text_of(event, "variable_rtp_use_codec_name") or text_of(event, "variable_read_codec")
    if name:
        leg.channel.codec = name
        leg.channel.rate = codecs.sample_rate(name, text_of(event, "variable_read_rate"))


def learn_ringing(node: Node, leg: Leg, event: SwitchEvent) -> None:
    """When it first rang, or had early media; which of a caller the answer is as well, for the switch."""
    whats = ["Progress", "Progress-Media"]
    if leg.inbound and not leg.early_media_asked:
        del whats[1]
    times = [node.clock.time_of(event, f"Caller-Channel-{what}-Time") for what in whats]
    leg.rang_at = leg.rang_at or min((at for at in times if at), default=0.0)


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
        if tethers.asks(ctx, node, event):
            return
        if node.waits.fulfil("arrived", event.get("Unique-ID", ""), value=""):
            return  # an internal channel
        if pair := text_of(event, "variable_other_loopback_leg_uuid"):
            node.waits.fulfil("other half", pair, value=event["Unique-ID"])
        if not is_ours(event) or endings.refuse(ctx, node, event["Unique-ID"]):
            return
        if event.get("Answer-State") == "ringing" and not ctx.draining:
            arrived(ctx, leg_from(ctx, node, event), event)
        return
    leg.channel.parked = True
    tethers.parked(ctx, leg)
    ctx.legs.seen(leg)
    dialling.parked(ctx, leg)
    ctx.node(leg).waits.fulfil("parked", leg.id)
    if leg.state == CONNECTED or leg.target_room:
        placement.settle_soon(ctx, leg)


def arrived(ctx: Context, leg: Leg, event: SwitchEvent) -> None:
    """Take an inbound call over from the dialplan and announce it, or refuse it."""
    if code := arriving.refusal(leg, event):
        log.info("an inbound call is refused", leg_type=leg.type, code=code)
        ctx.switch(leg).refuse(leg, code)
        return
    if leg.inbound and ctx.config.webhooks.from_sip_networks:
        given = x_headers(event, sip_headers(event))
        source = text_of(event, "variable_sip_network_ip") or text_of(event, "variable_sip_received_ip")
        leg.webhook = of_call(given, source, ctx.config.webhooks, ctx.webhooks.guard)
    leg.speech_detection = ctx.config.speech.detection_enabled
    ctx.switch(leg).adopt(leg)
    ctx.switch(leg).remember(leg, "speech_detection", "app_id", "remote_tag")
    ctx.switch(leg).remember_type(leg)
    lifecycle.appeared(ctx, leg)
    if (ctx.config.sip.auto_ringing or leg.kind.whatsapp) and leg.inbound:
        ctx.workers.submit(leg.id, ctx.switch(leg).ring, leg)


@on_event("CHANNEL_PROGRESS_MEDIA")
def channel_progress_media(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Early media. It also fires on a plain answer of an inbound call, where it means nothing."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None or leg.state != RINGING:
        return
    ctx.legs.seen(leg)
    if leg.peer_is_ours or (leg.inbound and (leg.answer_asked or not leg.early_media_asked)):
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
    if leg.kind.whatsapp and event.get("Answer-State") == "hangup":
        return  # what waited for its media goes on because the call is over, and says that it is answered
    learn_codec(leg, event)
    learn_dialog(leg, event)
    learn_ringing(node, leg, event)
    answered = node.clock.time_of(event, "Caller-Channel-Answered-Time") or clock.now()
    learn_text(ctx, leg, event)
    if leg.kind.whatsapp and leg.joins_by_itself and not leg.room_id:
        # it is connected when it is there, see `calls.joining`
        joining.answered(ctx, leg, answered)
        return
    lifecycle.connected(ctx, leg, answered)
    digits.answered(ctx, leg, agreed=text_of(event, "variable_dtmf_type") == "rfc2833")
    placement.media_up(ctx, leg)
