"""What /metrics shows of whose the switches are."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ..ops.series import gauge, gauges, total
from .owning import Ownership


def series(ownership: Ownership) -> Iterator[Metric]:
    """All of it."""
    switches = ownership.switches
    owned = {switch: float(ownership.owned(switch)) for switch in switches}
    yield gauges("vsi_esl_switch_owned", "Whether this service has it.", owned)
    left = "Seconds until its lease runs out unless it is renewed, as it is twice a second; 0 of one not had."
    yield gauges("vsi_esl_switch_lease_seconds", left, {one: ownership.lease_left(one) for one in switches})
    late = "Renewals of leases that came when less than half of it was left."
    yield total("vsi_esl_leases_renewed_late", late, ownership.renewed_late)
    yield gauge("vsi_esl_services", "Services that are there, this one included.", len(ownership.peers))
    yield total("vsi_esl_switches_taken", "Switches that this service has taken.", ownership.taken)
    handed = "Switches that it has handed over."
    yield total("vsi_esl_switches_handed_over", handed, ownership.handed_over)
    groups = ownership.groups
    grown = "Groups of switches that are more than one of the settings for now."
    yield gauge("vsi_esl_groups_grown", grown, len(groups.grown))
    united = "Times that this service has had two groups become one."
    yield total("vsi_esl_groups_united", united, groups.united)
    parted = "Times that it has had them be two again."
    yield total("vsi_esl_groups_parted", parted, groups.parted)
    yield total("vsi_esl_switches_lost", "Switches that another service had, unasked.", ownership.lost)
