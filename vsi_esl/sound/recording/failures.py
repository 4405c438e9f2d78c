"""How many recordings failed, and where."""

from __future__ import annotations

from ...ops.metrics import Metrics

STAGES = ("start", "publish", "short")


class Failures:
    """Counts for /metrics."""

    def __init__(self, metrics: Metrics) -> None:
        text = "Recordings that failed: to start, to be published (tried again), or short of what there was."
        self._counter = metrics.counter("vsi_esl_recording_failures", text, "stage")
        for stage in STAGES:
            self._counter.labels(stage)

    def count(self, stage: str) -> None:
        """`stage` is one of STAGES."""
        self._counter.labels(stage).inc()
