"""Series made when /metrics is read."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

OTHER = "other"


class Spread:
    """How values are spread over buckets, `bounds` being the highest value of each but the last.

    For what is counted with each command and each event of the switch. It is counted by the event loop's
    thread only: the library's own takes a lock for every value, which took longer than counting.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Show it in a family, with these label values."""
        limits = [floatToGoString(bound) for bound in (*self._bounds, math.inf)]  # type: ignore[no-untyped-call]
        buckets = list(zip(limits, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(list(labels), buckets, self._sum)


class Spreads(dict[str, Spread]):
    """Those of one family, by the value of its label; each is there with its first value."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds

    def __missing__(self, value: str) -> Spread:
        spread = self[value] = Spread(self._bounds)
        return spread

    def family(self, name: str, text: str, label: str) -> Metric:
        """Show them."""
        family = HistogramMetricFamily(name, text, labels=[label])
        for value, spread in self.items():
            spread.add_to(family, value)
        return family


def counted(name: str, text: str, labels: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Metric:
    """Counts since the service was started, by the values of their labels."""
    family = CounterMetricFamily(name, text, labels=list(labels))
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


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
