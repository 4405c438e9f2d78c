"""Two services on one Redis are stopped and started anew, one after the other, under 100 calls on two
switches: nothing that happens to the calls is lost, told twice or out of order, and no call notices it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.drivers import SandboxDriver
from tests.support.receiver import Receiver
from tests.support.redisserver import RedisServer
from tests.support.rolling import Dial, Follower, Load, Upgrade, checked

CALLS = 100
PAUSE_S = 2.0


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
        followers = [Follower(there.services), Follower(there.services[::-1])]
        load = Load({name: dial(name) for name in switches}, followers, PAUSE_S)
        try:
            load.begin(CALLS)
            there.replace_each()
            load.end()
            print(checked(load, receiver))
            there.all_recorded(load)
            assert not there.unasked()
            assert followers[0].ask("list_legs")["data"] == []
        finally:
            load.kill()
