"""Tethers, as the switches tell of them: calls that ask to be let in, legs that are connected, ends; and
which of them there are after a connect.

Each switch is looked at by itself. A tether is known again when both its ends have been found: that on the
leg's switch by the leg, which is connected with it, that on the room's by its place in the conference.
Either may be found first.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..calls import lifecycle, mending, placement, tethering
from ..calls.tethers import Half
from ..model.channel import Tether
from ..model.leg import Leg
from ..model.room import Room
from ..switch import snapshot
from ..switch.lines import tethers as lines
from . import SwitchEvent, on_event, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node
    from ..switch.snapshot import Snapshot

CONNECTED = "CHANNEL_BRIDGE"
"""Asked for only where there are tethers: other applications of the switch may have many."""
PARTNER = "variable_bridge_uuid"
PREFIX = "te-"


class NearEnd(NamedTuple):
    """The end of a tether at its leg."""

    id: str
    node: str
    """The name of the room's switch."""


@on_event(CONNECTED)
def channel_bridge(ctx: Context, node: Node, event: SwitchEvent) -> None:
    leg, tether = text_of(event, "Bridge-A-Unique-ID"), text_of(event, "Bridge-B-Unique-ID")
    tethering.connected(ctx, node, leg, tether)


def asks(ctx: Context, node: Node, event: SwitchEvent) -> bool:
    """Whether a channel that waits parked is a call between switches that asks to be let in: it is dealt with
    then."""
    if text_of(event, f"variable_{lines.OWNER}") != lines.ASKS:
        return False
    token = text_of(event, f"variable_sip_h_{lines.HEADER}")
    source = text_of(event, "variable_sip_network_ip") or text_of(event, "variable_sip_received_ip")
    tethering.asks(ctx, node, event["Unique-ID"], token, source)
    return True


def ended(ctx: Context, channel: str) -> None:
    """A channel that is no leg has ended, or is not in its conference any more."""
    ctx.tethers.between_rooms.pop(channel, None)
    leg = ctx.tethers.legs.get(channel)
    if leg is not None and leg.tether is not None and leg.tether.id == channel:
        mending.ended(ctx, leg, leg.tether, placement.settle_soon)


def parked(ctx: Context, leg: Leg) -> None:
    """A leg waits parked: it is connected with nothing."""
    if leg.tether is not None:
        mending.ended(ctx, leg, leg.tether, placement.settle_soon)


def of_member(ctx: Context, channel: str) -> Leg | None:
    """The leg whose member in a room this channel of a tether is."""
    leg = ctx.tethers.legs.get(channel)
    return leg if leg is not None and leg.tether is not None and leg.tether.id == channel else None


def released(ctx: Context, switches: Container[str]) -> None:
    """These switches are another service's now, and the calls between them: they are forgotten, without a
    word to clients or to the switches. Switches that have tethers with each other change hands together."""
    known = ctx.tethers
    for id, leg in list(known.legs.items()):
        if leg.node in switches:
            leg.tether = None
            del known.legs[id]
    for leg_id in list(known.mending):
        mended = ctx.legs.find(leg_id)
        if mended is None or mended.node in switches:
            del known.mending[leg_id]
    for id, half in list(known.halves.items()):
        if half.node in switches:
            del known.halves[id]
    for id, (here, _) in list(known.between_rooms.items()):
        if here in switches:
            del known.between_rooms[id]


# -- after each connect to a switch ------------------------------------------------------------------------


def near_ends(node: Node, dumps: dict[str, SwitchEvent]) -> dict[str, NearEnd]:
    """The tethers of these channels, by the leg: of those that are connected with one, and it with them."""
    partners = {leg: text_of(dump, PARTNER) for leg, dump in dumps.items()}
    partners = {leg: id for leg, id in partners.items() if id.startswith(PREFIX)}
    calls = snapshot.dumps(node, partners.values()) if partners else {}
    found = {}
    for leg, id in partners.items():
        call = calls.get(id, {})
        owner, there = lines.owned(text_of(call, f"variable_{lines.OWNER}"))
        if owner == leg and call.get("Answer-State") == "answered" and text_of(call, PARTNER) == leg:
            found[leg] = NearEnd(id, there)
    return found


def room_elsewhere(ctx: Context, leg: Leg) -> Room | None:
    """The room that a leg is in, when it is on another switch."""
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    return room if room is not None and tethering.needed(ctx, leg, room) else None


def catch_up(ctx: Context, leg: Leg, near: NearEnd | None) -> None:
    """What a leg is, by its own switch: connected with the near end of a tether, or with none."""
    leg.channel.conference, leg.channel.parked = "", near is None
    if near is None:
        room = room_elsewhere(ctx, leg)
        if leg.tether is not None:
            parked(ctx, leg)
        elif room is not None and leg.id not in ctx.tethers.mending:
            mending.begin(ctx, leg, room, placement.settle_soon)
        return
    if leg.tether is not None and leg.tether.id == near.id:
        return
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    tether = Tether(near.id, near.node, room.conference if room else "")
    half = ctx.tethers.halves.pop(near.id, None)
    if half is not None:
        _match(ctx, leg, tether, half)
        return
    leg.tether = tether
    ctx.tethers.legs[tether.id] = leg
    there = ctx.nodes.find(near.node)
    if there is None or there.ready:  # which has not got the other end
        mending.ended(ctx, leg, tether, placement.settle_soon)


def _match(ctx: Context, leg: Leg, tether: Tether, half: Half) -> None:
    tether.node, tether.conference = half.node, half.conference
    lifecycle.entered(
        ctx, leg, half.conference, half.member_id, speak=half.speak, hear=half.hear, tether=tether
    )
    room = ctx.rooms.of_conference(half.conference)
    leg.target_room = room.id if room else ""
    placement.settle_soon(ctx, leg)


def readopt(ctx: Context, node: Node, seen: Snapshot) -> Iterator[str]:
    """The calls between switches on this one: those that are in use stay. Its legs have been adopted."""
    ends = {id: membership for id, membership in seen.memberships.items() if id.startswith(PREFIX)}
    unknown = [id for id in ends if of_member(ctx, id) is None]
    dumps = snapshot.dumps(node, unknown) if unknown else {}
    for id, at in ends.items():
        half = Half(node.name, at.conference, at.member_id, at.speak, at.hear, at.rate)
        leg = of_member(ctx, id)
        if leg is not None and leg.tether is not None:
            _match(ctx, leg, leg.tether, half)
            yield id
        elif id in ctx.tethers.coming or id in ctx.tethers.between_rooms:
            yield id
        else:
            _, half.of = lines.owned(text_of(dumps.get(id, {}), f"variable_{lines.OWNER}"))
            there = ctx.nodes.find(half.of)
            if there is not None and not there.ready and there is not node:
                ctx.tethers.halves[id] = half
                yield id
    for leg in ctx.legs.everyone():
        tether = leg.tether
        if tether is None:
            continue
        if tether.node == node.name and tether.id not in ends:
            mending.ended(ctx, leg, tether, placement.settle_soon)
        elif leg.node == node.name:
            yield tether.id
    _end_halves(ctx, node)


def _end_halves(ctx: Context, node: Node) -> None:
    """This switch has been looked at: ends elsewhere of calls of its legs that have not been found are
    over."""
    for id, half in list(ctx.tethers.halves.items()):
        if half.of == node.name and id not in ctx.tethers.between_rooms:
            del ctx.tethers.halves[id]
            there = ctx.nodes.find(half.node)
            if there is not None and there.ready:
                there.sound.dismiss(id)
