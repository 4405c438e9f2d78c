"""What /metrics shows of whose the switches are."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from ..ops.series import gauge, total
from .owning import Ownership


def series(ownership: Ownership) -> Iterator[Metric]:
    """All of it."""
    owned = GaugeMetricFamily("vsi_esl_switch_owned", "Whether this service has it.", labels=["switch"])
    for switch in ownership.switches:
        owned.add_metric([switch], float(ownership.owned(switch)))
    yield owned
    yield gauge("vsi_esl_services", "Services that are there, this one included.", ownership.services)
    yield total("vsi_esl_switches_taken", "Switches that this service has taken.", ownership.taken)
    handed = "Switches that it has handed over."
    yield total("vsi_esl_switches_handed_over", handed, ownership.handed_over)
    yield total("vsi_esl_switches_lost", "Switches that another service had, unasked.", ownership.lost)
