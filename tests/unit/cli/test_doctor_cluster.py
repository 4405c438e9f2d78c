"""What `vsi-esl doctor` says of whose a switch is, by Redis and by the switch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.redisserver import RedisServer
from vsi_esl.cli import doctor_cluster
from vsi_esl.cli.doctor_cluster import cluster_checks, fence_checks
from vsi_esl.config import Config
from vsi_esl.config.settings import ListedSwitch

LEASE, HIGHEST = "vsi:lease:east", "vsi:fence:east"
ELSE = "and the lease is of service b, fence 18"


@pytest.fixture
def config(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(doctor_cluster, "LOOK_S", 0.01)
    return replace(Config(), redis=redis_server.settings, switches=(ListedSwitch("east"),))


def found(config: Config, *shown: str) -> tuple[str, str]:
    """`shown` by the switch, one look after the other."""
    answers = list(shown)
    (check,) = fence_checks(config, lambda _: answers.pop(0) if len(answers) > 1 else answers[0])
    assert check.name == "owner"
    return check.status, check.detail


@pytest.mark.parametrize(
    ("lease", "highest", "shown", "status", "detail"),
    [
        ("17 a id", "17", "17-a", "ok", "service a, fence 17"),
        ("", "", "", "ok", "no service has it, and it shows none"),
        ("", "17", "17-a", "warning", "it shows service a, fence 17, which has no lease"),
        ("", "", "17-a", "warning", "it shows service a, fence 17, above all of Redis (0)"),
        ("18 b id", "18", "17-a", "warning", f"it shows service a, fence 17, {ELSE}"),
        ("18 b id", "18", "", "warning", f"it shows nothing, {ELSE}"),
    ],
)
def test_whose_it_is(config, redis_server, lease, highest, shown, status, detail):
    for key, value in ((LEASE, lease), (HIGHEST, highest)):
        if value:
            redis_server.command("SET", key, value)
    assert found(config, shown) == (status, detail)


def test_one_that_is_just_taken_is_looked_at_again(config, redis_server):
    redis_server.command("MSET", LEASE, "18 b id", HIGHEST, "18")
    assert found(config, "17-a", "17-a", "18-b") == ("ok", "service b, fence 18")


def test_without_redis(config, redis_server):
    redis_server.stop()
    status, detail = found(config, "17-a")
    assert status == "warning" and detail.startswith("it shows service a, fence 17; Redis is away: ")
    (check,) = cluster_checks(config)
    assert check.status == "failed"
