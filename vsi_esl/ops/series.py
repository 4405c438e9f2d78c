"""Series made when /metrics is read."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

OTHER = "other"


def gauge(name: str, text: str, value: float) -> Metric:
    """A value that goes up and down."""
    return GaugeMetricFamily(name, text, value=value)


def total(name: str, text: str, value: float) -> Metric:
    """A count since the service was started."""
    return CounterMetricFamily(name, text, value=value)


def by_state(name: str, text: str, states: tuple[str, ...], counts: Mapping[str, int]) -> Metric:
    """One series per state, at 0 too; what has none of these states counts as other."""
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts.get(state, 0))
    rest = sum(counts.values()) - sum(counts.get(state, 0) for state in states)
    if rest:
        family.add_metric([OTHER], rest)
    return family
