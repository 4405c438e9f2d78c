"""Services that share switches which are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.owners import BOTH, One, Switches
from tests.support.redisserver import RedisServer
from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.ownership import owning
from vsi_esl.ownership.units import Unit


@pytest.fixture
def switches() -> Switches:
    return Switches()


@pytest.fixture
def service(
    redis_server: RedisServer, switches: Switches, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., One]]:
    monkeypatch.setattr(owning, "STEADY_S", 0.0)
    monkeypatch.setattr(owning, "PARTLY_S", 0.0)
    monkeypatch.setattr("vsi_esl.ownership.looking.PROBE_S", 0.2)
    made: list[One] = []

    def make(name: str, *units: Unit) -> One:
        redis = RedisConnection(redis_server.settings)
        redis.start()
        assert redis.wait_available(20)
        made.append(One(name, redis, switches, units or (BOTH,)))
        return made[-1]

    yield make
    for one in made:
        one.redis.stop()
