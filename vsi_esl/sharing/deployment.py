"""This service as one of several on one Redis: built by `app.py` when the settings name a server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from ..access.tokens import Access
from ..calls import choosing
from ..calls.context import Context
from ..calls.nodes import Node
from ..cluster import series
from ..cluster.connection import RedisConnection
from ..config import Config
from ..delivery.history import Past
from ..delivery.webhooks.durable import Durable
from ..events.base import Event
from ..ops.series import gauge, total
from ..protocol.registry import Command
from . import past, showing
from .commands import Commands
from .events import SharedEvents
from .outboxes import Outboxes
from .peers import Load, Peer, Peers
from .told import Told

MIN_EVENTS = 1000
MAX_PLACES = 20_000
"""Legs and rooms of which it is remembered where they were."""


COMMANDS_STOP_S = 2.0


def problems(config: Config) -> list[str]:
    """What is wrong with the settings, by which services share what they have to."""
    if config.replay.max_events < MIN_EVENTS:
        return [f"replay.max_events: must be {MIN_EVENTS} or more with a Redis"]
    return []


class Deployment:
    """What this service has of the others: `start`, then `stop`. `redis` is somebody else's to stop."""

    def __init__(self, ctx: Context, redis: RedisConnection, name: str) -> None:
        self.name = name
        self.redis = redis
        self.fence_of: Callable[[str], int | None] = lambda switch: None
        """The fence with which this service has a switch; None where there are none."""
        self.has: Callable[[str], bool] = lambda switch: True
        """Whether this service has a switch of its settings."""
        self._ctx = ctx
        self._fences: dict[str, int] = {}
        """Of each switch that with which this service had it last."""
        self._places: OrderedDict[str, str] = OrderedDict()
        self.events = SharedEvents(
            redis,
            ctx.history,
            ctx.bus,
            ctx.config.replay,
            service=self.name,
            marked=self._mark,
            facts=ctx.state,
        )
        self.peers = Peers(redis, self._look)
        self.commands = Commands(ctx, redis, self.name, self.peers)
        told = Told(self.events)
        ctx.moments.taken.subscribe(lambda _, node: told.learn())
        self.outboxes: Outboxes | None = None
        if ctx.webhooks.durable is not None:
            self._share_webhooks(ctx.webhooks.durable)
        ctx.metrics.show(self.series)

    def _share_webhooks(self, durable: Durable) -> None:
        def there(service: str) -> bool:
            return not self.peers.fresh or self.peers.find(service) is not None

        durable.settled = self._ctx.bus.settled
        boxes = self.outboxes = Outboxes(self.redis, self.name, durable, self.events, there=there)
        self._ctx.bus.on_withdrawn(boxes.withdrawn)
        self._ctx.moments.taken.subscribe(lambda _, node: boxes.take(node.name))
        self._ctx.moments.released.subscribe(lambda _, node: boxes.release(node.name))

    def deliver(self) -> None:
        """Begin to deliver webhooks, once it is known which are ours."""
        if self.outboxes is None:
            self._ctx.webhooks.start()
        else:
            self.outboxes.start(self._ctx.webhooks.start)

    def start(self) -> None:
        self.redis.start()
        self.events.start()
        self.commands.asking.start()
        self.peers.start()

    def leave(self) -> None:
        """Do nothing more for the others, and tell them so; what was begun is finished."""
        self.peers.leave()
        self.commands.asking.leave()

    def stop(self) -> None:
        """No events come any more."""
        self.peers.stop()
        if self.outboxes is not None:
            self.outboxes.stop()
        self.commands.asking.stop(COMMANDS_STOP_S)
        self.events.stop()

    def run(
        self,
        command: Command,
        payload: Any,
        arguments: Mapping[str, Any],
        access: Access,
        here: Callable[[], Any],
    ) -> Any:
        """See `calls.elsewhere.Elsewhere`."""
        return self.commands.run(command, payload, arguments, access, here)

    def past(self, event_id: str) -> Past:
        """What came after this event, at all services. RedisUnavailable when that cannot be had now."""
        return past.since(self.events, event_id)

    def series(self) -> Iterator[Metric]:
        """What /metrics shows of it."""
        yield from series.of_connection(self.redis)
        yield from showing.series(self.events)
        yield from self._of_commands()
        if self.outboxes is not None:
            yield from self.outboxes.series()

    def _of_commands(self) -> Iterator[Metric]:
        commands, asking = self.commands, self.commands.asking
        yield total(
            "vsi_esl_commands_forwarded",
            "Commands that another service did for a client here.",
            commands.forwarded,
        )
        yield total(
            "vsi_esl_commands_for_others",
            "Commands that were done here for clients elsewhere.",
            commands.done_for_others,
        )
        yield gauge(
            "vsi_esl_requests_under_way", "Requests of other services that are worked on.", asking.under_way
        )
        yield total(
            "vsi_esl_requests_unanswered",
            "Requests to other services without an answer in time.",
            asking.timeouts,
        )
        yield total(
            "vsi_esl_requests_over",
            "Requests of other services that were over when they were read.",
            asking.over,
        )

    def _look(self) -> Peer:
        """What this service has, for the others."""
        ctx = self._ctx
        loads = [
            Load(
                node.name,
                ctx.legs.on(node.name),
                node.share.weight,
                choosing.why_not(ctx, node),
                _trunks(node),
            )
            for node in ctx.nodes
            if self.has(node.name)
        ]
        return Peer(self.name, ctx.history.epoch, loads)

    def _mark(self, event: Event) -> str:
        """The switch that an event is about, and the fence with which it is ours; of a leg that with which it
        was, until the leg is forgotten."""
        switch = self._switch_of(event)
        fence = self.fence_of(switch) if switch else None
        if fence is not None:
            self._fences[switch] = fence
        elif getattr(event, "leg_id", None):  # a room that is nowhere by now is nobody else's
            fence = self._fences.get(switch)
        return "" if fence is None else f"{switch} {fence}"

    def _switch_of(self, event: Event) -> str:
        """Also of a leg or room that is gone by now: its last events are about it as well."""
        leg_id = getattr(event, "leg_id", None)
        room_id = getattr(event, "room_id", None) or getattr(event, "room_a_id", None)
        known = self._places
        one = self._ctx.legs.find(leg_id) if leg_id else self._ctx.rooms.find(room_id) if room_id else None
        name = f"leg {leg_id}" if leg_id else f"room {room_id}"
        if one is None or not one.node:
            return known.get(name, "")
        if known.get(name) != one.node:
            known[name] = one.node
            if len(known) > MAX_PLACES:
                known.popitem(last=False)
        return one.node


def _trunks(node: Node) -> list[str]:
    return [trunk.name for trunk in node.trunks.known]
