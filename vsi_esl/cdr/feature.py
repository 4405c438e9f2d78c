"""Call detail records as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from ..calls.context import Context
from ..calls.moments import Awaited
from ..calls.nodes import Node
from ..events.base import Event
from ..events.legs import LegDisconnected
from ..model.leg import Leg
from ..model.legtypes import LEG_TYPES
from ..ops import logs, privacy
from ..ops.journal import Journal
from ..ops.series import Spread, gauge, total
from . import doctor
from .accounts import FOLLOWED, Accounts
from .records import INBOUND, OUTBOUND, OUTCOMES, Ended, Record, direction, record_of
from .settings import CdrSettings
from .writer import Writer

__all__ = ["doctor"]

log = structlog.get_logger(__name__)

MOS_BUCKETS = (1.5, 2, 2.5, 3, 3.25, 3.5, 3.75, 4, 4.2, 4.3, 4.4, 5)
LOGGED = {
    "leg_id": "leg_id",
    "leg_type": "type",
    "direction": "direction",
    "app_id": "app_id",
    "trunk": "trunk",
    "call_id": "call_id",
    "outcome": "outcome",
    "reason": "reason",
    "sip_status": "sip_status",
    "cause": "hangup_cause",
    "ring_seconds": "ring_seconds",
    "talk_seconds": "talk_seconds",
    "total_seconds": "total_seconds",
    "rooms": "rooms",
    "recordings": "recordings",
    "codec": "codec",
    "mos": "mos",
}
"""Members of a call's line in the log, and the columns they are; those without a value are left out."""
PERSONAL = ("from", "to")
"""On the line only with `log.numbers`."""


class CallRecords:
    """Follows the calls of one service to their ends."""

    def __init__(self, ctx: Context, journal: Journal) -> None:
        self._ctx, self._journal = ctx, journal
        self.accounts = Accounts(ctx)
        self.writer = Writer(ctx, ctx.config.section(CdrSettings))
        self._ended: dict[str, Ended] = {}
        """Legs whose last event is still to come."""
        # a series that begins with its first event has no rate of that
        self._calls = dict.fromkeys(product(LEG_TYPES, OUTCOMES), 0)
        self._mos = {one: Spread(MOS_BUCKETS) for one in (INBOUND, OUTBOUND)}

    def restore(self, ctx: Context) -> None:
        self.accounts.restore()
        self.writer.restore()

    def ended(self, ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
        """A leg has ended: its last event follows."""
        account = self.accounts.of(leg.id)
        account.learn(leg)  # kept with the leg's end, if that has to wait
        self._ended[leg.id] = Ended(leg.type, leg.app_id, leg.node, leg.created_at, leg.answered_at)
        return ()

    def released(self, ctx: Context, node: Node) -> None:
        """The switch is another service's now, which writes the records of its calls."""
        for leg_id in [leg.id for leg in ctx.legs.everyone() if ctx.node(leg) is node]:
            self.accounts.drop(leg_id)
        for leg_id, ended in list(self._ended.items()):
            if ended.node == node.name:
                del self._ended[leg_id]
                self.accounts.drop(leg_id)

    def heard(self, event: Event, event_id: str, frame: bytes) -> None:
        """A sink of the event bus."""
        if not isinstance(event, LegDisconnected):
            self.accounts.follow(event)
            return
        ended = self._ended.pop(event.leg_id, None)
        account = self.accounts.close(event.leg_id)
        if ended is None:
            return
        cdr, quality = dict(event.cdr), event.quality
        instance = self._ctx.config.instance_id
        found: dict[str, Any] | None = dict(quality) if quality else None
        record = record_of(account, ended, cdr, found, event_id=event_id, instance_id=instance)
        self._count(record)
        self._tell(record)
        self.writer.add(record)

    def _count(self, record: Record) -> None:
        self._calls[record["type"], record["outcome"]] += 1
        if record["mos"] is not None:
            self._mos[record["direction"]].observe(record["mos"])

    def _tell(self, record: Record) -> None:
        if not logs.shows(logging.INFO):
            return
        line = {name: record[column] for name, column in LOGGED.items() if record[column] not in (None, [])}
        if privacy.shows_numbers():
            line |= {name: record[name] for name in PERSONAL if record[name]}
        self._journal.tell(_tell, "call", line)

    def series(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "vsi_esl_calls",
            "Legs that have ended, by what became of them.",
            labels=["type", "direction", "outcome"],
        )
        for (kind, became), count in self._calls.items():
            calls.add_metric([kind, direction(kind), became], count)
        yield calls
        mos = HistogramMetricFamily(
            "vsi_esl_call_mos",
            "Mean opinion score of what ended legs have received, 1 to 5; of those with RTP figures.",
            labels=["direction"],
        )
        for way, spread in self._mos.items():
            spread.add_to(mos, way)
        yield mos
        yield total("vsi_esl_cdr_written", "Call detail records written to the file.", self.writer.written)
        waiting = "Call detail records that wait for the disk."
        yield gauge("vsi_esl_cdr_pending", waiting, len(self.writer))
        failed = "Attempts to write call detail records that failed; tried again."
        yield total("vsi_esl_cdr_write_failures", failed, self.writer.failures)
        dropped = "Call detail records lost: too many waited."
        yield total("vsi_esl_cdr_dropped", dropped, self.writer.dropped)


def _tell(text: str, **line: Any) -> None:
    # what `log.info` is takes as long to find out as ten events to count: that is the journal's to do
    log.info(text, **line)


def register(ctx: Context) -> None:
    """Make call detail records a part of the service."""
    records = CallRecords(ctx, ctx.get(Journal))
    ctx.provide(records)
    ctx.bus.add_sink(records.heard, *FOLLOWED, LegDisconnected)
    ctx.bus.on_withdrawn(records.writer.withdrawn)
    ctx.metrics.show(records.series)
    ctx.moments.restore.subscribe(records.restore)
    ctx.moments.leaving.subscribe(lambda ctx, node: records.writer.leave(node.name))
    ctx.moments.released.subscribe(records.released)
    ctx.moments.ended.subscribe(records.ended)
    ctx.moments.reload.subscribe(lambda ctx: records.writer.retry())
    ctx.moments.stop.subscribe(lambda ctx: records.writer.stop())
