"""How many playbacks failed, and where."""

from __future__ import annotations

from ...ops.metrics import Metrics

STAGES = ("fetch", "play")
"""Where the audio was not to be had, or the switch did not play it."""


class Failures:
    """Counts for /metrics."""

    def __init__(self, metrics: Metrics) -> None:
        text = "Playbacks that ended in playback.error."
        self._counter = metrics.counter("vsi_esl_playback_failures", text, "stage")
        for stage in STAGES:
            self._counter.labels(stage)

    def count(self, stage: str) -> None:
        """`stage` is one of STAGES."""
        self._counter.labels(stage).inc()
