"""What Prometheus reads from /metrics.

Counters and histograms are kept here. Everything that is a state is read from the service when it is asked
for: it is right after a restart too, and costs nothing in between. That goes for the reference server's
active_legs and active_rooms as well, which it derives from events.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import prometheus_client
from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from .. import __version__
from ..events.base import Event
from ..events.legs import LegConnected, LegDisconnected, LegRinging
from ..model.leg import CONNECTED, EARLY_MEDIA, HELD, RINGING
from ..model.legtypes import LEG_TYPES
from . import logs
from .series import OTHER, Spread, Spreads, by_state, counted, gauge, gauges, total, totals

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

METRICS_PATH = "/metrics"

UNKNOWN = "unknown"

CALL_BUCKETS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
COMMAND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
LOOP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LAG_BUCKETS = (0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

OBSERVED = (LegRinging, LegConnected, LegDisconnected)
"""The events that are counted."""

OUTCOMES = frozenset("ok 400 401 403 404 409 429 500 501 503".split())
ENDING = "ending"
LEG_STATES = (RINGING, EARLY_MEDIA, CONNECTED, HELD, ENDING)
STRAY_OUTCOMES = ("adopted", "ended", "gone")

REASONS = frozenset(
    """
    api_hangup busy declined rejected unavailable not_found forbidden server_error remote_bye caller_cancel
    ring_timeout max_duration unauthorized timeout cancelled not_acceptable service_unavailable invite_failed
    connect_failed rtp_timeout session_expired ice_failure ice_failed ice_disconnected bad_answer room_deleted
    transfer_completed transfer_originate_failed transfer_connect_failed hangup peer_slow connection_reset
    ws_error ws_dial_failed moq_error challenged mixer_panic siprec_answer_failed
    """.split()
)
"""The protocol's disconnect reasons, but for sip_NNN."""


class Webhooks(Protocol):
    """What the webhook delivery counts since its start, how many wait, and for how long (seconds)."""

    @property
    def enqueued(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def failed_attempts(self) -> int: ...
    @property
    def dead(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def oldest_age(self) -> float: ...
    @property
    def bytes(self) -> int: ...
    @property
    def forgotten(self) -> int: ...


class Metrics:
    """The series of one service. Label values are ours: what clients send never becomes one.

    What is counted with each command and each event is `series.Spread`, or a number: the library's own take a
    lock for every value, and make labels to text.
    """

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)
        self._legs: Tally[tuple[str, str]] = Tally()
        self._reasons: Tally[tuple[str, str]] = Tally()
        self._answered = Spreads(CALL_BUCKETS)
        self._total = Spreads(CALL_BUCKETS)
        self._commands: Tally[tuple[str, str]] = Tally()
        self._seconds = Spreads(COMMAND_BUCKETS)
        self._lag = Spread(LAG_BUCKETS)
        self._loop_lag = self.histogram(
            "vsi_esl_loop_lag_seconds",
            "How late the event loop came to what was due, looked at 40 times a second.",
            LOOP_BUCKETS,
        )
        self.strays = self.counter(
            "vsi_esl_strays",
            "Calls without a leg, adopted or ended, and legs without a call, reported gone.",
            "outcome",
        )
        for outcome in STRAY_OUTCOMES:
            self.strays.labels(outcome)
        self._types: dict[str, str] = {}
        self._more: list[Callable[[], Iterator[Metric]]] = []
        self.registry.register(self)

    def watch(
        self,
        ctx: Context,
        clients: Callable[[], int] = lambda: 0,
        webhooks: Webhooks | None = None,
    ) -> None:
        """Show the state of a service. `clients` counts its open VSI connections."""
        self.registry.register(ServiceCollector(ctx, clients, webhooks, self._types, self._more))

    def show(self, collect: Callable[[], Iterator[Metric]]) -> None:
        """Have these series of a feature shown; they are made at each scrape."""
        self._more.append(collect)

    def observe(self, event: Event, event_id: str, frame: bytes) -> None:
        """A sink of the event bus."""
        if isinstance(event, LegRinging):
            kind = _leg_type(event.leg_type)
            self._types[event.leg_id] = kind
            self._legs[kind, RINGING] += 1
        elif isinstance(event, LegConnected):
            kind = _leg_type(event.leg_type)
            self._types[event.leg_id] = kind
            self._legs[kind, CONNECTED] += 1
        elif isinstance(event, LegDisconnected):
            self._ended(self._types.pop(event.leg_id, UNKNOWN), event.cdr)

    def command(self, name: str, outcome: str, seconds: float) -> None:
        """A command of the protocol, or UNKNOWN, was answered: `outcome` is ok or the error code."""
        self._commands[name, outcome if outcome in OUTCOMES else OTHER] += 1
        self._seconds[name].observe(seconds)

    def switch_event(self, event: dict[str, Any]) -> None:
        """An event of the switch is about to be handled."""
        stamp = event.get("Event-Date-Timestamp")
        if isinstance(stamp, str) and stamp.isascii() and stamp.isdigit():
            self._lag.observe(max(0.0, time.time() - int(stamp) / 1e6))

    def loop_lag(self, seconds: float) -> None:
        """The event loop came so late to what was due."""
        self._loop_lag.observe(seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What is counted with each command and each event."""
        text = "Legs that came into a state."
        yield counted("voiceblender_legs", text, ("type", "state"), self._legs)
        text = "Ended legs by reason."
        yield counted("voiceblender_disconnect_reasons", text, ("type", "reason"), self._reasons)
        yield self._answered.family("voiceblender_call_duration_seconds", "From answer to end.", "type")
        text = "From creation to end."
        yield self._total.family("voiceblender_call_total_duration_seconds", text, "type")
        text = "Commands by outcome: ok or the error's code."
        yield counted("vsi_esl_commands", text, ("command", "outcome"), self._commands)
        yield self._seconds.family("vsi_esl_command_seconds", "Time taken by commands.", "command")
        lag = HistogramMetricFamily(
            "vsi_esl_switch_event_lag_seconds",
            "Age of switch events when they are handled, by both clocks; the switch's steps in 20 ms.",
        )
        self._lag.add_to(lag)
        yield lag

    def render(self) -> tuple[bytes, str]:
        """All series in the Prometheus text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def _ended(self, kind: str, cdr: Mapping[str, Any]) -> None:
        self._legs[kind, "disconnected"] += 1
        self._reasons[kind, known_reason(cdr.get("reason"))] += 1
        for spreads, member in ((self._answered, "duration_answered"), (self._total, "duration_total")):
            if (seconds := cdr.get(member, 0.0)) > 0:
                spreads[kind].observe(seconds)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """A counter of a feature, under this name."""
        return Counter(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """A histogram of a feature, under this name."""
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


def known_reason(reason: Any) -> str:
    """A disconnect reason as a label: the protocol's, sip_400 to sip_699, or other."""
    if reason in REASONS:
        return str(reason)
    code = reason[4:] if isinstance(reason, str) and reason.startswith("sip_") else ""
    if len(code) == 3 and code.isascii() and code.isdigit() and "400" <= code <= "699":
        return f"sip_{code}"
    return OTHER


def _leg_type(kind: str) -> str:
    return kind if kind in LEG_TYPES else OTHER


class ServiceCollector:
    """Reads the state of a service at each scrape. Nothing in here waits, so it is of one moment."""

    def __init__(
        self,
        ctx: Context,
        clients: Callable[[], int],
        webhooks: Webhooks | None,
        leg_types: dict[str, str],
        more: Iterable[Callable[[], Iterator[Metric]]],
    ) -> None:
        self._ctx = ctx
        self._clients = clients
        self._webhooks = webhooks
        self._leg_types = leg_types
        self._more = more

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._calls()
        yield from self._switch()
        yield from self._work()
        yield from self._events()
        yield from self._storage()
        for collect in self._more:
            yield from collect()
        yield _survived()
        yield total("vsi_esl_log_lines_lost", "Log lines that nobody took in time.", logs.lines_lost())
        if self._webhooks is not None:
            yield from _of_webhooks(self._webhooks)
            limits = self._ctx.config.webhooks
            most = "Most events that may wait; more are dropped."
            yield gauge("vsi_esl_webhook_pending_limit", most, limits.max_pending)
            yield gauge("vsi_esl_webhook_bytes_limit", "Most bytes of the outbox.", limits.max_bytes)

    def _calls(self) -> Iterator[Metric]:
        ctx = self._ctx
        live, everyone = list(ctx.legs), ctx.legs.everyone()
        for leg in everyone:
            # legs from before a restart, which no event has announced to us
            self._leg_types.setdefault(leg.id, _leg_type(leg.type))
        yield gauge("voiceblender_active_legs", "Legs that have not ended.", len(everyone))
        yield gauge("voiceblender_active_rooms", "Rooms.", len(ctx.rooms))
        states = Tally(leg.shown_state for leg in live)
        states[ENDING] = len(everyone) - len(live)
        yield by_state("vsi_esl_legs", "Legs by state; ending are those being hung up.", LEG_STATES, states)

    def _switch(self) -> Iterator[Metric]:
        ctx, nodes = self._ctx, self._ctx.nodes
        ready = (
            "Takes commands: a switch is up, here or at a service that shares it, the disk takes state, and"
            " nothing is shutting down."
        )
        yield gauge("vsi_esl_ready", ready, int(ctx.ready))
        build = GaugeMetricFamily("vsi_esl_build_info", "Versions.", labels=["version", "switch_version"])
        for version in dict.fromkeys(node.facts.version for node in nodes):
            build.add_metric([__version__, version], 1)
        yield build

        def each(value: Callable[[Node], float]) -> dict[str, float]:
            return {node.name: value(node) for node in nodes}

        up = "Connected to the switch, its calls re-adopted."
        yield gauges("vsi_esl_switch_up", up, each(lambda node: node.ready))
        legs = "Legs on the switch, those being hung up included."
        yield gauges("vsi_esl_switch_legs", legs, each(lambda node: ctx.legs.on(node.name)))
        most = "Most legs that it is to have; 0 for no limit."
        yield gauges("vsi_esl_switch_capacity", most, each(lambda node: node.share.capacity))
        if any(node.share.tether for node in nodes):
            yield from ctx.tethers.series()
        drained = "No new calls are made on it, but for rooms that it has."
        yield gauges("vsi_esl_switch_draining", drained, each(lambda node: node.draining))
        again = "Attempts to connect again."
        yield totals("vsi_esl_switch_reconnects", again, each(lambda node: node.reconnects))
        stalls = "Times the switch stood still."
        yield totals("vsi_esl_switch_stalls", stalls, each(lambda node: node.stalls))
        refreshed = "Times the calls were looked at anew on a connection that was never lost."
        yield totals("vsi_esl_switch_refreshes", refreshed, each(lambda node: node.refreshes))
        lost = "Commands nobody waits for that could not be sent; what they set is set again."
        yield totals("vsi_esl_switch_commands_lost", lost, each(lambda node: node.posts_lost))
        unanswered = "Commands that the switch has not answered, those not sent yet included."
        yield gauges("vsi_esl_switch_commands_pending", unanswered, each(lambda node: node.traffic.pending))
        too_late = "Commands that were not sent at all: whoever waited had given up before."
        yield totals("vsi_esl_switch_commands_withdrawn", too_late, each(lambda node: node.traffic.withdrawn))
        handled = "Events of the switch handled."
        yield totals("vsi_esl_switch_events", handled, each(lambda node: node.events_handled))
        jobs = "Background jobs under way."
        yield gauges("vsi_esl_switch_jobs", jobs, each(lambda node: len(node.jobs)))
        late = "Background jobs not done in time."
        yield totals("vsi_esl_switch_job_timeouts", late, each(lambda node: node.jobs.timeouts))
        astray = "Internal channels that the switch made and lost; each was tried again."
        yield totals("vsi_esl_internal_channels_astray", astray, each(lambda node: node.sound.gone_astray))

    def _work(self) -> Iterator[Metric]:
        ctx = self._ctx
        yield gauge("vsi_esl_work_queued", "Work that waits for its leg or room.", len(ctx.workers))
        yield total("vsi_esl_work_refused", "Work refused: too much was waiting.", ctx.workers.refused)
        too_late = "Work that was not begun in time, and not done later."
        yield total("vsi_esl_work_withdrawn", too_late, ctx.workers.withdrawn)

    def _events(self) -> Iterator[Metric]:
        bus = self._ctx.bus
        yield gauge("vsi_esl_vsi_clients", "Open VSI connections.", self._clients())
        yield total("vsi_esl_events_published", "VSI events.", bus.published)
        dropped = "Events that VSI clients lost because they did not keep up."
        yield total("voiceblender_vsi_events_dropped", dropped, bus.dropped)
        slowest = "Events queued for the slowest VSI client."
        yield gauge("vsi_esl_vsi_queue_longest", slowest, bus.longest_queue)

    def _storage(self) -> Iterator[Metric]:
        ctx = self._ctx
        failing = "The disk does not take what is to outlive the process; commands are refused."
        yield gauge("vsi_esl_state_failing", failing, int(bool(ctx.state.error)))
        history = ctx.history
        yield gauge("vsi_esl_replay_failing", "The disk takes no events for ?since=.", int(history.failing))
        yield gauge("vsi_esl_replay_waiting", "Events for ?since= not on disk yet.", history.waiting)
        lost = "Events for ?since= that never came to disk: too many waited."
        yield total("vsi_esl_replay_lost", lost, history.lost)


def _survived() -> Metric:
    family = CounterMetricFamily(
        "voiceblender_recovered_panics",
        "Errors that nobody expected, survived and logged with a traceback.",
        labels=["component", "site"],
    )
    for (component, site), count in logs.survived.items():
        family.add_metric([component, site], count)
    return family


def _of_webhooks(webhooks: Webhooks) -> Iterator[Metric]:
    yield total("voiceblender_webhook_enqueued", "Events to be delivered.", webhooks.enqueued)
    yield total("voiceblender_webhook_dropped", "Events not taken: too many waited.", webhooks.dropped)
    outcomes = CounterMetricFamily(
        "voiceblender_webhook_deliveries", "Deliveries that came to an end.", labels=["outcome"]
    )
    outcomes.add_metric(["success"], webhooks.delivered)
    outcomes.add_metric(["exhausted"], webhooks.dead)
    yield outcomes
    yield total("vsi_esl_webhook_failed_attempts", "Attempts that failed.", webhooks.failed_attempts)
    yield total("vsi_esl_webhook_dead_letters", "Events given up.", webhooks.dead)
    yield gauge("vsi_esl_webhook_pending", "Events not yet delivered.", webhooks.pending)
    oldest = "Age of the oldest event not yet delivered."
    yield gauge("vsi_esl_webhook_oldest_seconds", oldest, webhooks.oldest_age)
    yield gauge("vsi_esl_webhook_bytes", "What the outbox holds.", webhooks.bytes)
    forgotten = "Dead letters that had to make room for newer ones."
    yield total("vsi_esl_webhook_dead_letters_forgotten", forgotten, webhooks.forgotten)


def register(
    app: Flask,
    ctx: Context,
    metrics: Metrics,
    clients: Callable[[], int] = lambda: 0,
    webhooks: Webhooks | None = None,
) -> None:
    """Show the service's state with the metrics, and add GET /metrics."""
    metrics.watch(ctx, clients, webhooks)

    @app.get(METRICS_PATH)
    def show_metrics() -> Response:
        body, content_type = metrics.render()
        return Response(body, 200, content_type=content_type)
