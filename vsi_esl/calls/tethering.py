"""Making tethers: calls from the switch of a leg to that of its room, and between the switches of two rooms.

The leg's switch calls the other one, which parks the call, unanswered; the service lets it into the room's
conference by the token that it brings, and refuses everything else. Only when the call is there, as a
member of the room, is the leg connected with it: until then nothing has happened to the leg, and a failure
leaves it where it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog
from gevent.event import AsyncResult

from ..errors import LegGone, NotSupported, SwitchUnavailable, VsiError
from ..later import Within, heard
from ..model.bridge import Bridge
from ..model.channel import Tether
from ..model.leg import CONNECTED, Leg
from ..model.room import Room
from ..switch.lines import tethers as lines
from ..work import clock
from . import choosing, lifecycle, seats
from .context import Context
from .nodes import Node
from .tethers import Coming, Expected, address_of, new_id

log = structlog.get_logger(__name__)

TOKEN_LIFE_S = 6.0
"""From the beginning of the call until it has to have asked to be let in."""
ARRIVAL_TIMEOUT_S = 2.0
"""From the answer of a call to the report that it is in the conference, which is mostly there before."""
CONNECT_TIMEOUT_S = 3.0
"""For a leg to be connected with the call; it takes 60 ms."""
OFF_HOLD_TIMEOUT_S = 2.0
"""As in `switch.actions.calls`: connecting a leg takes its peer off hold, too."""


def needed(ctx: Context, leg: Leg, room: Room) -> bool:
    """Whether a leg can be in a room by a tether only."""
    return bool(room.node) and ctx.node(room) is not ctx.node(leg)


def require(ctx: Context, leg: Leg, room: Room) -> None:
    """NotSupported, or SwitchUnavailable, when there can be no tether of this leg into this room. May wait,
    as `require_between`."""
    here, there = ctx.node(leg), ctx.node(room)
    require_between(ctx, here, there, f"leg {leg.id} is on another switch than room {room.id}")
    if leg.has_media and leg.state != CONNECTED and not leg.inbound:
        raise NotSupported(f"leg {leg.id} is on another switch than room {room.id}, and not answered yet")
    if why := choosing.why_not(ctx, there, there_already=True):
        raise SwitchUnavailable(f"room {room.id} is on {there.name}, {why}")


def require_between(ctx: Context, here: Node, there: Node, what: str) -> None:
    """NotSupported, beginning with `what`, when one of the two has no tether in the settings. Among several
    services they are of one group from now on, so that both have one owner: Unavailable, or NotSupported,
    when that cannot be."""
    require_addresses((here, there), what)
    if ctx.cluster is not None:
        ctx.cluster.growing.unite(here.name, there.name, what)


def require_addresses(nodes: Iterable[Node], what: str) -> None:
    """NotSupported, beginning with `what`, when one of these has no tether in the settings."""
    if lacking := [node.name for node in nodes if not node.share.tether]:
        raise NotSupported(f"{what}, and there is no tether for {' and '.join(lacking)}")


def make(ctx: Context, leg: Leg, room: Room, leaving: Callable[[], None]) -> None:
    """Put a leg into a room of another switch, with its mute and deaf state from the first frame on. To be
    run by the leg's worker; `leaving` is done before it leaves where it is. Returns when it is there.
    Raises as `require`, LegGone, and SwitchUnavailable when it could not be done; the leg is where it was
    then, or parked."""
    require(ctx, leg, room)
    here, there = ctx.node(leg), ctx.node(room)
    tether = Tether(new_id(), there.name, room.conference)
    coming = ctx.tethers.coming[tether.id] = Coming(leg, tether)
    pair = (here.name, there.name)
    began = time.monotonic()
    try:
        with _placing(tether.id, here, there):
            _make(ctx, coming, (here, there), room, leaving)
    except LegGone:
        _undo(ctx, leg, tether)
        raise
    except BaseException as error:
        _undo(ctx, leg, tether)
        if isinstance(error, VsiError):
            ctx.tethers.failed[pair] += 1
        raise
    finally:
        ctx.tethers.coming.pop(tether.id, None)
        ctx.tethers.forget(tether.id)
    ctx.tethers.took(pair, time.monotonic() - began)


@contextmanager
def _placing(id: str, *nodes: Node) -> Iterator[None]:
    """Both ends of a call are of our own making, whatever a look at their switches makes of them."""
    for node in nodes:
        node.placed.add(id)
        node.placing.add(id)
    try:
        yield
    finally:
        for node in nodes:
            node.placing.discard(id)


def _undo(ctx: Context, leg: Leg, tether: Tether) -> None:
    if leg.tether is tether:
        leg.tether = None
        ctx.tethers.legs.pop(tether.id, None)
    seats.end_call(ctx, tether.id, leg.node, tether.node)


def _make(
    ctx: Context, coming: Coming, pair: tuple[Node, Node], room: Room, leaving: Callable[[], None]
) -> None:
    leg, tether, here = coming.leg, coming.tether, pair[0]
    ctx.switch(leg).wait_dialled(leg)
    with ExitStack() as waiting:
        connected = waiting.enter_context(here.waits.expect("connected", leg.id, tether.id))
        off_hold = waiting.enter_context(here.waits.expect("reinvite", leg.id))
        entry = partial(_entry_of_leg, coming, here, room)
        tether.member_id = call(ctx, tether.id, pair, rate=room.sample_rate, owner=leg.id, entry=entry)
        if ctx.legs.find(leg.id) is not leg or leg.ending:
            raise LegGone(f"leg {leg.id} has been hung up")
        leaving()
        if leg.tether is not None:
            leg.tether.leaving = True
        here.switch.remember(leg, "target_room")
        here.tethers.connect(leg, tether.id)
        with Within(CONNECT_TIMEOUT_S, SwitchUnavailable("the switch did not connect the leg with it")):
            connected.get()
        if leg.held_by_us:
            heard(off_hold, OFF_HOLD_TIMEOUT_S)


def _entry_of_leg(coming: Coming, here: Node, room: Room) -> list[str]:
    leg = coming.leg
    coming.speak, coming.hear = not leg.says_nothing, not leg.hears_nothing(room.conference)
    return lines.let_in(
        coming.tether.id,
        room.conference,
        room.sample_rate,
        lines.owner(leg.id, here.name),
        mute=not coming.speak,
        deaf=not coming.hear,
    )


def call(
    ctx: Context,
    id: str,
    pair: tuple[Node, Node],
    *,
    rate: int,
    owner: str,
    entry: Callable[[], Sequence[str]],
    then: str = lines.PARKED,
) -> str:
    """Have the first of the two switches call the second, which does `entry` with the call; the member id
    that the call has in the conference there. `then` is what becomes of it here. Raises SwitchUnavailable."""
    here, there = pair
    what = f"no tether from {here.name} to {there.name}"
    until = clock.now() + TOKEN_LIFE_S
    source = address_of(here.share.tether)
    token = ctx.tethers.expect(Expected(id, there.name, source, until, entry))
    with there.waits.expect("arrived", id) as arrived:
        codec = lines.codec(there.share.tether_codec, rate)
        wanted = lines.Call(
            channel=id,
            profile=here.share.tether_profile,
            address=there.share.tether,
            token=token,
            codec=codec,
            owner=lines.owner(owner, there.name),
            then=then,
        )
        try:
            here.tethers.call(wanted)
        except SwitchUnavailable as error:
            raise SwitchUnavailable(f"{what}: {error.message}") from error
        member_id = _arrived(arrived)
    if not member_id:
        raise SwitchUnavailable(f"{what}: {there.name} did not report it in the room")
    return member_id


def _arrived(arrived: AsyncResult[str | None]) -> str:
    with Within(ARRIVAL_TIMEOUT_S, False):
        return arrived.get() or ""
    return ""


# -- what the switches report ------------------------------------------------------------------------------


def asks(ctx: Context, node: Node, id: str, token: str, source: str) -> None:
    """A call has come to the profile for tethers of a switch: it is let in, or refused."""
    expected = ctx.tethers.take(token, id, node.name, source)
    if expected is None:
        ctx.tethers.refused[node.name] += 1
        log.warning("a call that is no tether is refused", switch=node.name, source=source[:64])
        node.tethers.refuse(id)
        return
    node.tethers.let_in(expected.entry())


def connected(ctx: Context, node: Node, leg_id: str, id: str) -> None:
    """A switch has connected a leg with a call to another: its member there is the leg's now."""
    coming = ctx.tethers.coming.get(id)
    leg = ctx.legs.find(leg_id)
    if coming is None or leg is not coming.leg:
        return
    node.tethers.connected(leg)
    tether = coming.tether
    lifecycle.entered(
        ctx, leg, tether.conference, tether.member_id, speak=coming.speak, hear=coming.hear, tether=tether
    )
    node.waits.fulfil("connected", leg.id, id)


# -- rooms -------------------------------------------------------------------------------------------------


def between_rooms(ctx: Context, bridge: Bridge, room_a: Room, room_b: Room) -> tuple[str, str]:
    """Connect the rooms of two switches by a call: its id, and its member id in room A. Its end in room B
    hears and is heard; what passes is decided in room A. Raises SwitchUnavailable and NotSupported."""
    here, there = ctx.node(room_a), ctx.node(room_b)
    require_between(ctx, here, there, f"rooms {room_a.id} and {room_b.id} are on different switches")
    id, pair = new_id(), (here.name, there.name)
    began = time.monotonic()

    def entry() -> list[str]:
        owner = lines.owner(room_a.conference, here.name)
        return lines.let_in(id, room_b.conference, room_b.sample_rate, owner)

    then = lines.then_into(
        room_a.conference, room_a.sample_rate, mute=not bridge.speaks_in_a, deaf=not bridge.hears_a
    )
    ctx.tethers.between_rooms[id] = pair
    try:
        with _placing(id, here, there), here.waits.expect("arrived", id) as arrived:
            rate = room_a.sample_rate
            call(ctx, id, (here, there), rate=rate, owner=room_b.conference, entry=entry, then=then)
            if not (member_id := _arrived(arrived)):
                raise SwitchUnavailable(f"{here.name} did not report the call to {there.name} in the room")
    except BaseException as error:
        ctx.tethers.between_rooms.pop(id, None)
        seats.end_call(ctx, id, *pair)
        if isinstance(error, VsiError):
            ctx.tethers.failed[pair] += 1
        raise
    finally:
        ctx.tethers.forget(id)
    ctx.tethers.took(pair, time.monotonic() - began)
    return id, member_id


def needed_between(ctx: Context, room_a: Room, room_b: Room) -> bool:
    """Whether two rooms can be connected by a call only."""
    return bool(room_a.node and room_b.node) and ctx.node(room_a) is not ctx.node(room_b)


def know_bridge(ctx: Context, bridge: Bridge) -> None:
    """At start: the call that a bridge of the process before may have is not nobody's."""
    room_a, room_b = ctx.rooms.find(bridge.room_a), ctx.rooms.find(bridge.room_b)
    if room_a is not None and room_b is not None and needed_between(ctx, room_a, room_b):
        ctx.tethers.between_rooms[bridge.channel] = (ctx.node(room_a).name, ctx.node(room_b).name)
