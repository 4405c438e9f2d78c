"""Switches come to this service, with all that was known of them, or go from it: the model follows.

What comes is restored as after a restart, from the rows of those switches alone, and re-adopted at the
connect that follows: by then legs of the one are known to be in rooms of the other. What goes is forgotten
without a word: whoever has the switch now tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gevent
import orjson
import structlog
from greenswitch.esl import NotConnectedError

from ..calls import crossing, draining, endings, lifecycle
from ..calls.context import Context
from ..calls.nodes import Node
from ..cluster.connection import RedisUnavailable
from ..cluster.shipping import Key, Row, Shipping
from ..errors import SwitchUnavailable
from ..model.channel import DEFAULT_NODE
from ..storage.state import NODE
from ..switch.esl.client import AuthenticationFailed, CommandTimeout, EslClient
from ..switch.lines import builder
from ..switch.lines import fence as lines
from ..switch.lines.fence import Fence
from ..translate import adoption, giving_up, tethers
from .hands import Load
from .turn import Turn

log = structlog.get_logger(__name__)

FLUSH_S = 3.0
"""How long a hand-over waits for what is known to be in Redis."""
FLUSHES = 2
FAILING_S = 0.05
"""How long what was under way on the switch has to fail, and to save what becomes of it."""
CORE = "core_uuid"
GROUPS = "groups that are one"
MEMBERS = ("leg_id", "id")
"""Where an item that does not name its switch names a leg."""


class Taking:
    """See `hands.Hands`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.shipping: Shipping
        self.flush_events: Callable[[float], None] = lambda limit: None
        """Waits until what was told is in Redis, for so many seconds at most."""

    # -- rows ----------------------------------------------------------------------------------------------

    def place(self, table: str, key: Row, row: Row) -> str:
        """The switch that a row of the state is about; empty for one that is this service's own."""
        if table in NODE:
            return str(row[NODE[table]])
        if table == "facts":
            name, _, switch = str(row[0]).partition(" ")
            return (switch or DEFAULT_NODE) if name == CORE else ""
        kind, id, text = row
        if kind == draining.KIND:
            return str(id)
        return self._of_item(orjson.loads(text))

    def _of_item(self, body: dict[str, Any]) -> str:
        if switch := body.get("node") or body.get("switch"):  # as a call's record has it
            return str(switch)
        for member in MEMBERS:
            leg_id = body.get(member)
            if isinstance(leg_id, str) and (found := self._of_leg(leg_id)):
                return found
        room = self._ctx.rooms.find(str(body.get("room_id") or ""))
        return room.node if room is not None else ""

    def _of_leg(self, leg_id: str) -> str:
        leg = self._ctx.legs.find(leg_id)
        return leg.node if leg is not None else self._ctx.state.node_of_leg(leg_id)

    def restore_own(self) -> None:
        """At start: what is no switch's."""
        placed = {key for node in self._ctx.nodes for key in self.shipping.keys_of(node.name)}
        own = {(table, key) for table, key, _ in self._ctx.state.everything()} - placed
        self._restore(own)

    # -- it comes ------------------------------------------------------------------------------------------

    def take(self, turns: Sequence[Turn]) -> None:
        ctx = self._ctx
        self._bring(turns)
        keys: set[Key] = set()
        for turn in turns:
            ctx.state.save_fact(_fact(turn.switch), str(turn.fence.number))
            self.shipping.own(turn.switch, turn.fence.number, whole=True)
            self._node(turn.switch).guard = turn
            keys.update(self.shipping.keys_of(turn.switch))
        self._restore(keys)
        for turn in turns:
            ctx.moments.taken(ctx, self._node(turn.switch))
        for turn in turns:
            node = self._node(turn.switch)
            giving_up.await_return(ctx, node)
            node.start(turn.fence.number)

    def _bring(self, turns: Sequence[Turn]) -> None:
        """Have the rows that another service wrote last, where one did."""
        written = {turn.switch: self._written(turn) for turn in turns}
        known = {switch for switch, rows in written.items() if rows is None}
        for switch, rows in written.items():
            if rows is not None:
                self._replace(switch, rows, known)
                known.add(switch)
                log.info("state of a switch taken over", switch=switch, rows=len(rows))

    def _written(self, turn: Turn) -> dict[Key, Row] | None:
        """What another service wrote of it last; None when that was us."""
        ours = self.remembered(turn.switch)
        try:
            writer, rows = self.shipping.read(turn.switch)
        except RedisUnavailable:
            if ours == turn.fence.number:
                return None  # the switch says that nobody had it since
            raise
        return rows if writer > ours else None

    def _replace(self, switch: str, rows: Mapping[Key, Row], known: set[str]) -> None:
        """`known` are switches that come with it, of which we have what was written last."""
        gone = self.shipping.keys_of(switch)
        self.shipping.forgotten(gone)

        def elsewhere(key: Key) -> bool:
            # of a switch that is not ours we may have rows of long ago: a room can have moved since
            place = self.shipping.place_of(key)
            return place not in ("", switch) and (place in known or self.shipping.owns(place))

        come = {key: row for key, row in rows.items() if not elsewhere(key)}
        self._name_once(switch, come)
        self._ctx.state.replace(gone, [(table, row) for (table, _), row in come.items()])
        self.shipping.adopted(switch, come)

    def _name_once(self, switch: str, come: dict[Key, Row]) -> None:
        """Two services may have made rooms of one name while Redis was away, which come together here: the
        one that we have is the room from now on, unless nothing is in it. Who is in the other one leaves it
        when the calls are adopted."""
        for key in [key for key in come if key[0] == "rooms"]:
            room = self._ctx.rooms.find(key[1][0])
            if room is None:
                continue
            if lifecycle.unused(self._ctx, room):
                self._ctx.rooms.remove(room)
                self.shipping.changed(*key, None)
            else:
                log.warning("two rooms had one name; one of them is given up", room_id=room.id, switch=switch)
                del come[key]

    def _restore(self, keys: set[Key]) -> None:
        ctx = self._ctx
        with ctx.state.showing(keys):
            for room in ctx.state.rooms():
                if ctx.rooms.find(room.id) is None:
                    ctx.rooms.add(room)
            endings.restore(ctx)
            ctx.moments.restore(ctx)
            draining.restore(ctx)

    # -- it goes -------------------------------------------------------------------------------------------

    def shipped(self, switches: Sequence[str]) -> bool:
        return self._flush(switches)

    def let_go(self, switches: Sequence[str], *, hand_over: bool) -> None:
        """RedisUnavailable when they could not be handed over: what is known of them is kept here, for us."""
        ctx = self._ctx
        for switch in switches:
            self._node(switch).leave("another service has this switch")
        kept = False
        if hand_over:
            gevent.sleep(FAILING_S)
            for switch in switches:
                ctx.moments.leaving(ctx, self._node(switch))
            kept = not self._flush(switches)
        for switch in switches:
            self.shipping.disown(switch)
            ctx.timers.cancel(switch)
            adoption.lost(ctx, self._node(switch))
        tethers.released(ctx, switches)
        known = [(switch, self._forget(switch)) for switch in switches]
        if kept:
            raise RedisUnavailable("not all that is known of it is in Redis")
        for switch, keys in known:
            # in this order: of what is gone here Redis has the last word, whatever comes between
            ctx.state.save_fact(_fact(switch), "0")
            ctx.state.replace(keys, ())
            self.shipping.forgotten(keys)

    def _forget(self, switch: str) -> list[Key]:
        """What this process has of it, but for the rows: those are the answer."""
        ctx, node = self._ctx, self._node(switch)
        ctx.moments.released(ctx, node)
        keys = self.shipping.keys_of(switch)
        for leg in adoption.legs_on(ctx, node):
            ctx.timers.cancel(leg.id)
            ctx.legs.remove(leg)
        for table, key in keys:
            if table == "legs":
                ctx.legs.departing.discard(key[0])
                ctx.legs.webhooks.pop(key[0], None)
            elif table == "items" and key[0] == endings.PRESUMED:
                ctx.legs.presumed_ended.pop(key[1], None)
        for room in ctx.rooms:
            if room.node == switch:
                ctx.timers.cancel(room.id)
                ctx.rooms.remove(room)
        node.guard, node.drained = None, False
        return keys

    def _flush(self, switches: Sequence[str]) -> bool:
        """Have in Redis what is known and what was told: behind the next turn's fence nothing of this one is
        taken any more. What ends while one of them is waited for changes both."""
        for _ in range(FLUSHES):
            for switch in switches:
                self.shipping.flush_one(switch, FLUSH_S)
            self.flush_events(FLUSH_S)
            if all(map(self.shipping.all_sent, switches)):
                return True
        return False

    # -- questions -----------------------------------------------------------------------------------------

    def probe(self, switch: str) -> Fence | None:
        return lines.read(self._say(switch, lines.SHOWN))

    def doubt(self, switch: str, fence: int) -> None:
        self._say(switch, lines.doubt(fence))

    def _say(self, switch: str, line: str) -> str:
        """Over a connection of its own, for one that is not ours."""
        settings = self._node(switch).settings
        client = EslClient(settings.host, settings.port, settings.password, timeout=settings.connect_timeout)
        try:
            client.connect()
            return client.send(builder.api(line), settings.command_timeout)
        except (NotConnectedError, CommandTimeout, AuthenticationFailed, OSError) as error:
            raise SwitchUnavailable(f"not connected to the switch: {error}") from error
        finally:
            client.close()

    def look(self, switch: str) -> None:
        self._node(switch).confirm(anew=True)

    def ask(self, switch: str, line: str) -> str:
        return self._node(switch).ask(line)

    def remembered(self, switch: str) -> int:
        known = self._ctx.state.fact(_fact(switch)) or ""
        return int(known) if known.isdecimal() else 0

    def load(self, switch: str) -> Load:
        return Load(sum(self._ctx.moments.bound(self._ctx, self._node(switch))), self._ctx.legs.on(switch))

    def between(self) -> Iterable[tuple[str, str]]:
        return crossing.pairs(self._ctx)

    def adopted(self, switch: str) -> bool:
        return self._node(switch).adopted

    def note(self, groups: str) -> None:
        self._ctx.state.save_fact(GROUPS, groups)

    def noted(self) -> str:
        return self._ctx.state.fact(GROUPS) or ""

    def _node(self, switch: str) -> Node:
        node = self._ctx.nodes.find(switch)
        if node is None:
            raise LookupError(f"no switch {switch}")
        return node


def _fact(switch: str) -> str:
    return f"fence {switch}"
