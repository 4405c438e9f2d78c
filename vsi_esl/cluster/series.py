"""What /metrics shows of Redis."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from ..ops.series import gauge, total
from .connection import KINDS, RedisConnection
from .shipping import Shipping


def of_connection(redis: RedisConnection) -> Iterator[Metric]:
    """The series of a connection."""
    yield gauge("vsi_esl_redis_up", "Whether Redis can be reached.", float(redis.available))
    yield total("vsi_esl_redis_commands", "Commands sent to Redis, each of a batch.", redis.commands)
    failures = CounterMetricFamily(
        "vsi_esl_redis_failures", "Attempts to use Redis that failed, by kind.", labels=["kind"]
    )
    for kind in KINDS:
        failures.add_metric([kind], redis.failures[kind])
    yield failures


def of_shipping(shipping: Shipping) -> Iterator[Metric]:
    """The series of the state on its way to Redis."""
    yield gauge("vsi_esl_state_unshipped", "Rows of the state that are not in Redis yet.", len(shipping))
    yield total("vsi_esl_state_shipped", "Rows of the state that were sent to Redis.", shipping.shipped)
    late = "Batches of the state that Redis turned down: the switch was another service's by then."
    yield total("vsi_esl_state_turned_down", late, shipping.turned_down)
