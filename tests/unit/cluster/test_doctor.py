"""What `vsi-esl doctor` finds of a Redis."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vsi_esl
from tests.support.redisserver import RedisServer
from vsi_esl.cluster import doctor
from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.cluster.doctor import redis_checks
from vsi_esl.cluster.scripts import SCRIPTS
from vsi_esl.config.cluster import RedisSettings
from vsi_esl.ops.findings import Check

Look = Callable[..., dict[str, Check]]
ACL = re.search(r"ACL SETUSER vsi (.*)", (Path(vsi_esl.__file__).parents[1] / "docs/services.md").read_text())
OWN = {"SCRIPT", "EVALSHA", "INFO", "PING"}
"""Of the connection, which is not there without them."""


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """How long the way there takes on a busy machine is no finding of these tests."""
    monkeypatch.setattr(doctor, "SLOW_MS", 20_000.0)
    made: list[RedisConnection] = []

    def at(settings: RedisSettings) -> dict[str, Check]:
        one = RedisConnection(settings)
        made.append(one)
        one.start()
        return {check.name: check for check in redis_checks(settings, one)}

    yield at
    for one in made:
        one.stop()


def test_of_a_good_one_all_is_well_and_nothing_is_left_there(redis_server: RedisServer, look: Look):
    found = look(redis_server.settings)
    assert {check.status for check in found.values()} == {"ok"}
    assert found["redis"].detail == f"127.0.0.1:{redis_server.port}: Redis {found['redis version'].detail}"
    words = "version, role, appendonly, memory, replicas, permissions, round trip, clock".split(", ")
    assert list(found) == ["redis", *(f"redis {word}" for word in words)]
    assert redis_server.command("KEYS", "*") == []


@pytest.mark.parametrize(
    ("given", "name", "status", "detail"),
    [
        (("appendonly", "no"), "redis appendonly", "warning", "no"),
        (("maxmemory-policy", "allkeys-lru"), "redis memory", "warning", "allkeys-lru, 1 MB of all there is"),
        (
            ("maxmemory-policy", "allkeys-lru", "maxmemory", "100mb"),
            "redis memory",
            "failed",
            "allkeys-lru, 1 MB of 100 MB",
        ),
        (("maxmemory", "2mb"), "redis memory", "warning", "noeviction, 1 MB of 2 MB"),
    ],
)
def test_what_its_settings_lose_is_named(redis_server, look, monkeypatch, given, name, status, detail):
    monkeypatch.setattr(doctor, "NEARLY_FULL", 0.1)
    redis_server.command("CONFIG", "SET", *given)
    found = look(redis_server.settings)[name]
    assert (found.status, re.sub(r"\d MB of", "1 MB of", found.detail)) == (status, detail)
    assert found.hint


def test_the_permissions_that_the_manual_names_are_enough_and_one_less_is_named(redis_server, look):
    assert ACL is not None
    redis_server.command("ACL", "SETUSER", "vsi", *ACL[1].replace("PASSWORD", "secret").split())
    settings = replace(redis_server.settings, username="vsi", password="secret")
    assert {check.status for check in look(settings).values()} == {"ok"}
    redis_server.command("ACL", "SETUSER", "vsi", "-xadd", "-hset")
    found = look(settings)["redis permissions"]
    assert found.status == "failed" and found.detail.startswith("refused: HSET (")
    assert "'hset'" in found.detail and found.detail.endswith(", XADD")
    other = look(replace(settings, namespace="another"))["redis permissions"]
    assert other.status == "failed" and "keys" in other.detail
    redis_server.command("ACL", "SETUSER", "vsi", "-info")
    gone = look(settings)
    assert list(gone) == ["redis"] and "'info'" in gone["redis"].detail and "secret" not in str(gone)


def test_a_replica_is_not_the_one_to_name(redis_server, tmp_path, look):
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {redis_server.port}")
    try:
        found = look(replica.settings)["redis role"]
        assert (found.status, found.detail) == ("failed", f"a replica of 127.0.0.1:{redis_server.port}")
    finally:
        replica.close()


def test_one_that_is_not_there(redis_server, look):
    redis_server.stop()
    (found,) = look(redis_server.settings).values()
    assert found.status == "failed" and f"127.0.0.1:{redis_server.port}: " in found.detail
    assert "refused" in found.detail


def test_clocks_and_the_way_there(redis_server, look, monkeypatch):
    monkeypatch.setattr(doctor, "SLOW_MS", 0.0)
    monkeypatch.setattr(doctor.time, "time", lambda: 1e9)
    found = look(redis_server.settings)
    assert found["redis round trip"].status == found["redis clock"].status == "warning"


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"redis_version": "6.2.7"}, "failed"),
        ({"redis_version": "7.0.15"}, "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, "ok"),
        ({}, "failed"),
    ],
)
def test_versions(info, status):
    assert doctor._version(info).status == status


@pytest.mark.parametrize(
    ("lines", "status", "detail"),
    [
        ([], "ok", "none: what it has goes with its machine"),
        (["ip=10.0.0.2,port=6379,state=online,offset=1,lag=0"], "ok", "1, all online"),
        (["ip=10.0.0.2,state=online,lag=0", "ip=10.0.0.3,state=wait_bgsave,lag=0"], "warning", "1 of 2"),
        (["ip=10.0.0.2,port=6379,state=online,offset=1,lag=9"], "warning", "1 of 1"),
        (["{'ip': '10.0.0.2', 'state': 'online', 'lag': 9}"], "warning", "1 of 1"),
    ],
)
def test_replicas(lines, status, detail):
    info = {"role": "master", **{f"slave{number}": line for number, line in enumerate(lines)}}
    (found,) = doctor._replicas(info)
    assert found.status == status and found.detail.startswith(detail)


def test_every_command_of_ours_is_tried():
    tried = {str(words[0]) for words in doctor.TRIED} | OWN
    used = set(re.findall(r"redis\.call\('(\w+)'", "\n".join(SCRIPTS.values())))
    for folder in ("cluster", "ownership", "sharing"):
        for path in (Path(vsi_esl.__file__).parent / folder).glob("*.py"):
            text = path.read_text() if path.name != "doctor.py" else ""
            used |= set(re.findall(r"command\(\s*\"([A-Z]+)\"", text))
            used |= set(re.findall(r"\[?\(\"([A-Z]{3,})\", (?:\*?self|key|\*)", text))
    assert {"XREAD", "HSCAN", "ZRANGE", "MGET"} <= used
    assert used <= tried
