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


def gauges(name: str, text: str, values: Mapping[str, float]) -> Metric:
    """A value of each switch, by its name."""
    return _of_switches(GaugeMetricFamily, name, text, values)


def totals(name: str, text: str, values: Mapping[str, float]) -> Metric:
    """A count of each switch, by its name."""
    return _of_switches(CounterMetricFamily, name, text, values)


def _of_switches(
    kind: type[GaugeMetricFamily | CounterMetricFamily], name: str, text: str, values: Mapping[str, float]
) -> Metric:
    """With one switch the series has no label, as dashboards know it; of several each has its name."""
    family = kind(name, text, labels=["switch"] if len(values) > 1 else [])
    for switch, value in values.items():
        family.add_metric([switch] if len(values) > 1 else [], value)
    return family


def by_state(name: str, text: str, states: tuple[str, ...], counts: Mapping[str, int]) -> Metric:
    """One series per state, at 0 too; what has none of these states counts as other."""
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts.get(state, 0))
    rest = sum(counts.values()) - sum(counts.get(state, 0) for state in states)
    if rest:
        family.add_metric([OTHER], rest)
    return family
