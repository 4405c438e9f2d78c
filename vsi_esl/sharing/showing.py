"""What /metrics shows of the events that services share."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ..ops.series import gauge, total
from .events import SharedEvents


def series(events: SharedEvents) -> Iterator[Metric]:
    """All of it."""
    waiting = "Own events that are not in the stream yet."
    yield gauge("vsi_esl_stream_waiting", waiting, events.waiting)
    yield gauge("vsi_esl_stream_lag", "Events of the stream that are not read yet.", events.unread)
    apart = "Whether clients are told of own events only, as Redis is away."
    yield gauge("vsi_esl_stream_apart", apart, int(events.apart))
    yield total("vsi_esl_stream_handed_on", "Own events handed on to the stream.", events.handed_on)
    yield total("vsi_esl_stream_received", "Events read from the stream.", events.received)
    refused = "Own events not taken: another owned the switch by then."
    yield total("vsi_esl_stream_refused", refused, events.refused)
    back = "Own events taken back before anybody was told: another has the switch, and tells of it."
    yield total("vsi_esl_stream_withdrawn", back, events.withdrawing.count)
    yield total("vsi_esl_stream_lost", "Events that were gone when they were to be told.", events.lost)
