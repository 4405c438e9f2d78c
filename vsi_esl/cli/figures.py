"""What the commands read from /metrics: counters, gauges and one histogram, of one moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from . import http_get

COUNTERS = {
    "events": "vsi_esl_events_published_total",
    "dropped": "voiceblender_vsi_events_dropped_total",
    "cpu_seconds": "process_cpu_seconds_total",
}
GAUGES = {
    "webhooks_waiting": "vsi_esl_webhook_pending",
    "webhook_age": "vsi_esl_webhook_oldest_seconds",
    "clients": "vsi_esl_vsi_clients",
    "up": "vsi_esl_switch_up",
    "memory_bytes": "process_resident_memory_bytes",
    "descriptors": "process_open_fds",
}
LEGS = "voiceblender_legs_total"
COMMANDS = "vsi_esl_commands_total"
LAG = "vsi_esl_loop_lag_seconds_bucket"
WANTED = (*COUNTERS.values(), *GAUGES.values(), LEGS, COMMANDS, LAG)

NOT_ALLOWED = (401, 403)


class NoFigures(Exception):
    """/metrics cannot be had; `lasting` when asking again will not help."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


@dataclass(slots=True, frozen=True)
class Figures:
    """One reading. Counters count from the start of the service; `lag` are the loop's lags, by upper bound in
    seconds."""

    at: float
    counters: Mapping[str, float]
    gauges: Mapping[str, float]
    lag: Mapping[float, float] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Rates:
    """What happened between two readings, per second; `lag_p99` in seconds, or None."""

    seconds: float
    calls: float
    answered: float
    events: float
    commands: float
    dropped: float
    cpu: float
    lag_p99: float | None

    @property
    def answer_ratio(self) -> float | None:
        """Answered of those set up, from 0; None when there were none."""
        return self.answered / self.calls if self.calls else None


def read(url: str, token: str, at: float, timeout: float = 3.0) -> Figures:
    """Ask the service. Raises NoFigures. `at` is the time of the reading, by any clock that goes forward."""
    try:
        status, body = http_get.get(url, "/metrics", token, timeout)
    except http_get.Unanswered as error:
        raise NoFigures(str(error)) from None
    if status != 200:
        reason = "not for this token" if status in NOT_ALLOWED else f"/metrics answers {status}"
        raise NoFigures(reason, lasting=status in NOT_ALLOWED)
    return parse(body.decode("utf-8", "replace"), at)


def parse(text: str, at: float) -> Figures:
    """The figures in the text of /metrics. Raises NoFigures for what is none."""
    # the library's parser is slow, and most lines are not wanted
    lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(WANTED))
    values: dict[str, float] = {}
    lag: dict[float, float] = {}
    try:
        for family in text_string_to_metric_families(lines):
            for sample in family.samples:
                if sample.name == LAG:
                    lag[float(sample.labels["le"])] = sample.value
                    continue
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
                if state := sample.labels.get("state"):
                    key = f"{sample.name}/{state}"
                    values[key] = values.get(key, 0.0) + sample.value
    except (ValueError, KeyError) as error:
        raise NoFigures(f"/metrics cannot be read: {error}") from None
    counters = {name: values.get(series, 0.0) for name, series in COUNTERS.items()}
    counters["commands"] = values.get(COMMANDS, 0.0)
    counters["calls"] = values.get(f"{LEGS}/ringing", 0.0)
    counters["answered"] = values.get(f"{LEGS}/connected", 0.0)
    gauges = {name: values[series] for name, series in GAUGES.items() if series in values}
    return Figures(at, counters, gauges, lag)


def between(first: Figures, last: Figures) -> Rates | None:
    """The rates between two readings; None when they are of different processes, or of one moment."""
    seconds = last.at - first.at
    grown = {name: last.counters[name] - first.counters[name] for name in last.counters}
    if seconds <= 0 or any(value < 0 for value in grown.values()):
        return None
    per_second = {name: value / seconds for name, value in grown.items()}
    return Rates(
        seconds=seconds,
        calls=per_second["calls"],
        answered=per_second["answered"],
        events=per_second["events"],
        commands=per_second["commands"],
        dropped=per_second["dropped"],
        cpu=per_second["cpu_seconds"],
        lag_p99=_quantile(first.lag, last.lag, 0.99),
    )


def _quantile(first: Mapping[float, float], last: Mapping[float, float], share: float) -> float | None:
    """The upper bound of the bucket that the share falls into; the largest finite one above all of them."""
    bounds = sorted(last)
    counts = [last[bound] - first.get(bound, 0.0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None
    found = next(bound for bound, count in zip(bounds, counts, strict=True) if count >= share * counts[-1])
    return found if math.isfinite(found) else max(filter(math.isfinite, bounds), default=None)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of all values does not exceed; None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
