"""Re-adoption: after each connect to a switch, make the model what it is, and report what was missed.

The switch is right. A leg that we know and it has is kept under its id; one that only it has is new; one
that only we know has ended unseen, unless its hangup is among the events still to be read. Its list of
channels lacks the newest, of which a service that was not there yet had no event: hence a second look, soon
after the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from functools import partial
from typing import NamedTuple

import gevent
import structlog

from ..calls import endings, lifecycle, placement, routing
from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import SwitchUnavailable
from ..later import pause
from ..model.channel import DEFAULT_NODE, Channel
from ..model.leg import CONNECTED, EARLY_MEDIA, RINGING, Leg
from ..model.room import SAMPLE_RATES, Room
from ..storage.state import LegEnd, LegRecord
from ..switch import memory, snapshot
from ..switch.lines import builder
from ..switch.lines.builder import decode_text
from ..switch.snapshot import BEHIND_S, Membership
from ..work import clock, turns
from . import SwitchEvent, tethers, text_of
from . import legs as translate

log = structlog.get_logger(__name__)

UNSEEN_GRACE_S = 1.0
"""How long the events that were held back get to explain why a leg is gone."""

ADOPTED_AT_ONCE = 200
ANYTHING = builder.global_getvar("core_uuid")
"""Asked after so many legs: when it is answered so is what was posted for them. That of thousands at a time
would be more than is sent, and be lost."""

UNOBSERVED = "unobserved"
"""The call ended while nobody watched; who ended it cannot be known."""
SWITCH_RESTARTED = "switch_restarted"
"""The switch itself was restarted, and its calls with it."""


class Place(NamedTuple):
    """Where the switch has a leg."""

    membership: Membership | None
    """In a conference of its own."""
    tether: tethers.NearEnd | None
    """Connected with a call to another switch."""
    known: str = ""
    """The room in which clients know it to be."""


def restore(ctx: Context) -> None:
    """At start: the rooms of the previous process, and which legs it reported as ended unheard."""
    for room in ctx.state.rooms():
        ctx.rooms.add(room)
    endings.restore(ctx)
    ctx.moments.restore(ctx)


def resync(ctx: Context, node: Node) -> Callable[[], None] | None:
    """Run after each connect to a switch, with its events held back. Returns what is left to do when they
    flow again. What is on other switches is left alone."""
    started = time.monotonic()
    records = records_on(ctx, node)
    seen = snapshot.take_snapshot(node, [*records, *(leg.id for leg in legs_on(ctx, node))])
    restarted = _switch_restarted(ctx, node)
    tethered = tethers.near_ends(node, seen.channels)
    lines: list[str] = []
    for count, (leg_id, dump) in enumerate(seen.channels.items(), 1):
        place = Place(seen.memberships.get(leg_id), tethered.get(leg_id))
        lines += adopt(ctx, node, dump, place, records.get(leg_id))
        turns.give_way(count)
        if count % ADOPTED_AT_ONCE == 0:
            node.post(*lines)
            lines.clear()
            node.command(ANYTHING)
    node.post(*lines)
    for room in ctx.rooms:
        if room.matrix and ctx.node(room) is node:
            room.relations = set()  # set again whatever it was; what is there already does no harm
            routing.apply_soon(ctx, room)
            placement.silence_joining(ctx, room, wait=False)
    missing = hide_missing(ctx, node, seen.channels, records)
    answers = ctx.moments.adopt(ctx, node, seen)
    used, all_told = (
        set(tethers.readopt(ctx, node, seen)).union(*answers),
        len(answers) == len(ctx.moments.adopt),
    )
    if all_told:
        # made for something that ended while nobody watched; of those being made who makes them takes care
        node.sound.dismiss(*(seen.internal - used - node.placing))
    look = partial(_look_again, ctx, node, used | seen.shown, node.losses, left_over=all_told)
    ctx.timers.at(node.name, "second look", clock.now() + BEHIND_S, look)
    elapsed = time.monotonic() - started
    legs, rooms = len(legs_on(ctx, node)), len(ctx.rooms)
    log.info("calls re-adopted", switch=node.name, legs=legs, rooms=rooms, seconds=round(elapsed, 3))
    if not missing:
        return None
    ends = {record.id: record.end for record in records.values() if record.end is not None}
    return partial(_report_gone, ctx, missing, SWITCH_RESTARTED if restarted else UNOBSERVED, ends)


def _look_again(ctx: Context, node: Node, known: set[str], losses: int, *, left_over: bool) -> None:
    """Deal with what was there when the calls were adopted, and not in the switch's list yet. Unless internal
    channels are `left_over` that are not known, a feature that could not say so may use them."""
    try:
        shown = snapshot.shown_channels(node)
        if node.losses != losses:
            return  # another connection: it does not know what was in use on that, and has a look of its own
        known |= {node.bond, *node.placed}  # by now: the list may have been waited for
        new = [id for id in shown if id not in known and ctx.legs.find(id) is None]
        if left_over:
            node.sound.dismiss(*(id for id in new if snapshot.is_internal(id)))
        found = snapshot.dumps(node, [id for id in new if not snapshot.is_internal(id)])
        take_in(ctx, node, [id for id, dump in found.items() if _may_be_ours(node, dump)])
    except SwitchUnavailable as error:
        log.debug("no second look at the switch", error=error.message)  # the next connect has its own
    except Exception:
        log.exception("the second look at the switch failed")


def _may_be_ours(node: Node, dump: SwitchEvent) -> bool:
    """Another service on the same switch has a bond of its own; a caller nobody took has none."""
    return snapshot.is_leg(dump) and dump.get("variable_signal_bond", node.bond) == node.bond


def take_in(ctx: Context, node: Node, channels: list[str]) -> None:
    """Make legs of calls that have none; one whose leg was reported as ended is ended."""
    members = snapshot.memberships(node) if channels else {}
    dumps = snapshot.dumps(node, channels)
    tethered = tethers.near_ends(node, dumps)
    for channel, dump in dumps.items():
        if ctx.legs.find(channel) is not None or dump.get("Answer-State") == "hangup":
            continue  # it has been noticed, or is over
        place = Place(members.get(channel), tethered.get(channel))
        node.post(*adopt(ctx, node, dump, place, None))
        if ctx.legs.find(channel) is not None:
            log.warning("a call was up without a leg; it is one now", leg_id=channel)
            ctx.metrics.strays.labels("adopted").inc()


def records_on(ctx: Context, node: Node) -> dict[str, LegRecord]:
    """What the state has of legs on a switch, without those that only their last event is left of."""
    return {
        id: record
        for id, record in ctx.state.legs().items()
        if id not in ctx.legs.departing and ctx.node(record) is node
    }


def legs_on(ctx: Context, node: Node) -> list[Leg]:
    """All legs on a switch, those being hung up included."""
    return [leg for leg in ctx.legs.everyone() if ctx.node(leg) is node]


def _switch_restarted(ctx: Context, node: Node) -> bool:
    # the default's has been remembered since before there were names
    fact = "core_uuid" if node.name == DEFAULT_NODE else f"core_uuid {node.name}"
    now, before = node.facts.core_uuid, ctx.state.fact(fact)
    if now:
        ctx.state.save_fact(fact, now)
    return bool(before) and before != now


def adopt(ctx: Context, node: Node, dump: SwitchEvent, place: Place, record: LegRecord | None) -> list[str]:
    """Make a leg what its channel is; a channel without one gets one, unless its leg has been reported as
    ended: then the channel is ended. Returns the commands that are to be posted for it."""
    leg = ctx.legs.find(dump["Unique-ID"])
    over = dump.get("Answer-State") == "hangup"  # its last event is on the way
    if leg is None:
        if endings.refuse(ctx, node, dump["Unique-ID"]) or (record is None and (over or not _taken(dump))):
            return []  # between the dialplan and its park: CHANNEL_PARK will announce it
        if record is None and not snapshot.explains_itself(dump):
            return []
        answered_before = record is not None and dump.get("Answer-State") == "answered"
        leg = translate.leg_from(ctx, node, dump, offer=not answered_before)
        leg.own_cseq = -1
        if record is None:
            if ctx.draining:
                return []
            translate.arrived(ctx, leg, dump)
        else:
            _recall(ctx, leg, record)
    ctx.legs.seen(leg)
    if over:
        return []
    if leg.ending:
        ctx.legs.retire(leg)
        endings.await_report(ctx, leg)
        gevent.spawn(endings.hang_up_again, ctx, leg)
        return []
    lines = ctx.switch(leg).adopt_again(leg, dump)
    _catch_up(ctx, node, leg, dump, place._replace(known=record.room_id) if record is not None else place)
    return lines


def _recall(ctx: Context, leg: Leg, record: LegRecord) -> None:
    leg.state, leg.webhook, leg.ending = record.state, record.webhook, record.ending
    leg.room_id, leg.answered_at = record.room_id, record.answered_at
    if leg.state == CONNECTED:
        leg.ring_deadline = 0.0  # the channel has it still
    ctx.legs.add(leg)
    if (room := ctx.rooms.find(leg.room_id)) is not None:
        room.legs[leg.id] = leg
    else:
        leg.room_id = ""


def _parked(dump: SwitchEvent) -> bool:
    return dump.get("variable_current_application") == "park" or dump.get("Channel-State") == "CS_PARK"


def _taken(dump: SwitchEvent) -> bool:
    return _parked(dump) or dump.get("Answer-State") != "ringing"


def _catch_up(ctx: Context, node: Node, leg: Leg, dump: SwitchEvent, place: Place) -> None:
    """Report the changes that happened unseen, in the order in which they can have happened."""
    membership, tether = place.membership, place.tether
    translate.learn_codec(leg, dump)
    translate.learn_dialog(leg, dump)
    answer_state = dump.get("Answer-State")
    early = not leg.peer_is_ours and (not leg.inbound or leg.early_media_asked)
    if answer_state == "early" and leg.state == RINGING and early:
        lifecycle.early_media(ctx, leg)
    if answer_state == "answered" and leg.state in (RINGING, EARLY_MEDIA):
        answered = node.clock.time_of(dump, "Caller-Channel-Answered-Time") or clock.now()
        lifecycle.connected(ctx, leg, answered)
    if membership is None and (tether or leg.tether or tethers.room_elsewhere(ctx, leg)):
        tethers.catch_up(ctx, leg, tether)
    else:
        _catch_up_conference(ctx, leg, dump, place)
    _catch_up_hold(ctx, leg, dump)
    placement.arm_ring_timeout(ctx, leg)
    placement.arm_max_duration(ctx, leg)
    # the dialler has one that rings; one whose peer we are waits from the start
    waits = leg.inbound or leg.state != RINGING or (leg.peer_is_ours and _parked(dump))
    leg.channel.parked = membership is None and tether is None and waits
    placement.settle_soon(ctx, leg)


def _catch_up_conference(ctx: Context, leg: Leg, dump: SwitchEvent, place: Place) -> None:
    membership = place.membership
    if membership is not None:
        _recover_room(ctx, leg, dump, membership)
        room = ctx.rooms.of_conference(membership.conference)
        if room is not None and room.id == place.known and not leg.room_id:
            # the room was lost and is there again; clients know that it is in it
            leg.room_id, room.legs[leg.id] = room.id, leg
    conference = membership.conference if membership else ""
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if room is not None and room.conference != conference:
        lifecycle.left(ctx, leg, room.conference)
    if membership is not None:
        joined = ctx.rooms.of_conference(conference)
        leg.target_room = joined.id if joined else ""
        lifecycle.entered(
            ctx, leg, conference, membership.member_id, speak=membership.speak, hear=membership.hear
        )
    else:
        leg.channel.conference = ""


def _recover_room(ctx: Context, leg: Leg, dump: SwitchEvent, membership: Membership) -> None:
    """A conference of ours without a room: the database was lost, the leg still knows the room's id."""
    name = membership.conference
    if not name.startswith("vsi-") or ctx.rooms.of_conference(name):
        return
    room_id = decode_text(text_of(dump, f"variable_{memory.ROOM}")) or name
    if ctx.rooms.find(room_id) is None:
        rate = membership.rate if membership.rate in SAMPLE_RATES else ctx.config.rooms.default_sample_rate
        lifecycle.room_created(ctx, Room(room_id, rate, name, leg.app_id, node=leg.node), needed=False)


def _catch_up_hold(ctx: Context, leg: Leg, dump: SwitchEvent) -> None:
    if leg.state != CONNECTED:
        return
    # by the switch it is held or not, and moving it makes it forget; the peer holds by its media's direction
    on_hold = dump.get("Channel-Call-State") == "HELD"
    flow = text_of(dump, "variable_remote_audio_media_flow")
    by_us = on_hold and (leg.held_by_us or flow not in ("sendonly", "inactive"))
    by_peer = flow == "sendonly" or (flow == "inactive" and not by_us)
    if by_us is not leg.held_by_us:
        lifecycle.held(ctx, leg, by_us=by_us)
    if by_peer is not leg.held_by_peer:
        lifecycle.held(ctx, leg, by_peer=by_peer)
    placement.arm_hold_limit(ctx, leg)


def hide_missing(
    ctx: Context, node: Node, channels: Container[str], records: dict[str, LegRecord]
) -> list[Leg]:
    """The legs on this switch that only we know of, as it has these; hidden from clients from now on."""
    for leg_id, record in records.items():
        if ctx.legs.find(leg_id) is None and leg_id not in channels:
            leg = Leg(leg_id, record.type, record.created_at, record.state, record.app_id)
            leg.room_id, leg.answered_at, leg.webhook = record.room_id, record.answered_at, record.webhook
            leg.ending, leg.channel = record.ending, Channel(node.name)
            ctx.legs.add(leg)
    # of one that is being dialled nothing need be there yet; how that ends is still to be heard
    missing = [leg for leg in legs_on(ctx, node) if leg.id not in channels and not leg.dialling]
    for leg in missing:
        leg.unseen = True
        ctx.legs.retire(leg)
    return missing


def _report_gone(ctx: Context, missing: list[Leg], reason: str, ends: dict[str, LegEnd]) -> None:
    """Give the events that were held back a moment to tell why they ended, then report the rest."""
    pause(UNSEEN_GRACE_S)
    for count, leg in enumerate(missing, 1):
        turns.give_way(count)
        if leg.unseen and ctx.legs.find(leg.id) is leg:
            if (known := ends.get(leg.id)) is not None:
                lifecycle.disconnected(ctx, leg, reason, clock.now(), known=known)
            else:
                endings.unreported(ctx, leg, leg.ending or reason)


def lost(ctx: Context, node: Node) -> None:
    """The connection is gone: whatever waits for the switch fails now. The calls stay up."""
    node.losses += 1
    node.placed.clear()  # those in use are told of by `moments.adopt`
    node.waits.fail_all(SwitchUnavailable(f"the connection to the switch was lost: {node.last_error}"))
    ctx.moments.lost(ctx, node)
