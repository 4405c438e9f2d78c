"""What is counted and measured of live sessions."""

from __future__ import annotations

from ..ops.metrics import Metrics
from ..ops.series import OTHER
from .plan import End, Plan

BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
KINDS = frozenset("stt tts agent amd websocket room_websocket test".split())
REASONS = frozenset("done closed no_audio provider error owner worker switch refused".split())
MEASURED = {
    "first_audio_ms": ("vsi_esl_live_first_audio_seconds", "From its begin to the first audio it says."),
    "first_text_ms": ("vsi_esl_live_first_text_seconds", "From its begin to the first transcript."),
    "flush_ms": ("vsi_esl_live_barge_in_seconds", "From an interruption to silence."),
}
COUNTED = {
    "late_frames": ("vsi_esl_live_late_frames", "Frames of speech that went to the switch late."),
    "overruns": ("vsi_esl_live_overruns", "Frames dropped because too much waited."),
    "caught_up_s": (
        "vsi_esl_live_caught_up_seconds",
        "Silence of WebSockets' peers left out, as what they said was late.",
    ),
    "cut_s": ("vsi_esl_live_cut_seconds", "Sound of theirs left out for that, 20 ms a second at most."),
    "reconnects": ("vsi_esl_live_reconnects", "Connections to providers made again."),
    "retries": ("vsi_esl_tts_retries", "Requests for speech made again."),
    "cache_hits": ("vsi_esl_tts_cache_hits", "Texts that had been synthesised before."),
    "cache_misses": ("vsi_esl_tts_cache_misses", "Texts that had not."),
    "cache_failures": ("vsi_esl_tts_cache_failures", "Speech that could not be kept."),
}
"""By the worker's name for it: the series, and what it is."""


class Figures:
    """Kept from the ends of sessions."""

    def __init__(self, metrics: Metrics) -> None:
        self.refused = 0
        """Sessions not begun because there were too many."""
        self._ended = metrics.counter(
            "vsi_esl_live_sessions_ended", "Live sessions by why they ended.", "kind", "reason"
        ).labels
        self._measured = {
            figure: metrics.histogram(name, text, BUCKETS, "kind", "provider").labels
            for figure, (name, text) in MEASURED.items()
        }

    def ended(self, plan: Plan, end: End) -> None:
        """A session is over."""
        kind = plan.kind if plan.kind in KINDS else OTHER
        self._ended(kind, end.reason if end.reason in REASONS else OTHER).inc()
        for figure, labels in self._measured.items():
            if (value := end.figures.get(figure)) is not None:
                labels(kind, plan.provider).observe(value / 1000)
