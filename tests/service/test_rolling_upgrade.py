"""Two services on one Redis are stopped and started anew, one after the other, under 100 calls on two
switches: nothing that happens to the calls is lost, told twice or out of order, and no call notices it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.drivers import SandboxDriver
from tests.support.receiver import Receiver
from tests.support.redisserver import RedisServer
from tests.support.rolling import Dial, Upgrade, replaced_under_calls

CALLS = 100


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.stop()


@pytest.fixture
def switches() -> Iterator[dict[str, SandboxDriver]]:
    made = {name: SandboxDriver() for name in ("east", "west")}
    yield made
    for one in made.values():
        one.stop()


def test_services_are_replaced_one_after_the_other_under_calls(
    redis_server: RedisServer, switches: dict[str, SandboxDriver], receiver: Receiver, tmp_path: Path
):
    def dial(name: str) -> Dial:
        return lambda number: switches[name].call(from_=number)

    with Upgrade(tmp_path, redis_server, switches, receiver) as there:
        print(replaced_under_calls(there, {name: dial(name) for name in switches}, receiver, CALLS))
