"""What is counted of companions, for /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ...calls.nodes import Node
from ...ops.series import Spread

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Figures:
    """Questions by switch, what was asked, and outcome."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str, str]] = Counter()
        self._took: dict[tuple[str, str], Spread] = {}

    def counting(self, switch: str) -> Callable[[str, str, float], None]:
        """Counts the questions to the companion of one switch."""

        def count(op: str, outcome: str, seconds: float) -> None:
            self._asked[switch, op, outcome] += 1
            if seconds:
                self._took.setdefault((switch, op), Spread(BUCKETS)).observe(seconds)

        return count

    def series(self, nodes: Iterable[Node]) -> Iterator[Metric]:
        """All of them; without companions they have no values."""
        connected = GaugeMetricFamily(
            "vsi_esl_companion_connected",
            "Whether the companion of a switch is connected.",
            labels=["switch"],
        )
        connects = CounterMetricFamily(
            "vsi_esl_companion_connects", "Connections made to the companion of a switch.", labels=["switch"]
        )
        for node in nodes:
            if (line := node.host.companion) is not None and line.wanted:
                connected.add_metric([node.name], line.connected)
                connects.add_metric([node.name], line.connects)
        asked = CounterMetricFamily(
            "vsi_esl_companion_requests",
            "Requests to companions: answered, failed, late, away (no companion) or full (too many).",
            labels=["switch", "request", "outcome"],
        )
        for labels, count in self._asked.items():
            asked.add_metric(labels, count)
        took = HistogramMetricFamily(
            "vsi_esl_companion_request_seconds",
            "Time until a companion answered, or nobody waited any more.",
            labels=["switch", "request"],
        )
        for of, spread in self._took.items():
            spread.add_to(took, *of)
        yield from (connected, connects, asked, took)
