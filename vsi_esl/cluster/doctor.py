"""What `vsi-esl doctor` looks at of Redis: is it there, does it keep what it is told, may we use it?"""

from __future__ import annotations

import re
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..config.cluster import DEFAULT_PORT, RedisSettings
from ..errors import VsiError
from ..net.addresses import host_port
from ..ops.findings import FAIL, OK, WARN, Check
from .connection import RedisConnection, RedisRefused

LEAST_VERSION = 7
PINGS = 5
SLOW_MS = 100.0
"""A turn is renewed twice a second, and is good for 1.5 s: several answers have to fit into that."""
APART_S = 1.0
LAG_S = 5
NEARLY_FULL = 0.9
SEE = "see docs/services.md"
GONE_S = 30
"""What a look has left behind, should it not come to delete it, goes by itself."""

TRIED: tuple[tuple[str | int, ...], ...] = (
    ("SET", "{string}", "1", "NX", "PX", GONE_S * 1000),
    ("GET", "{string}"),
    ("MGET", "{string}"),
    ("INCRBY", "{string}", 1),
    ("PEXPIRE", "{string}", GONE_S * 1000),
    ("HSET", "{hash}", "a", "1"),
    ("HGET", "{hash}", "a"),
    ("HGETALL", "{hash}"),
    ("HEXISTS", "{hash}", "a"),
    ("HKEYS", "{hash}"),
    ("HVALS", "{hash}"),
    ("HSCAN", "{hash}", 0),
    ("HDEL", "{hash}", "b"),
    ("RPUSH", "{list}", "a", "b", "c"),
    ("LLEN", "{list}"),
    ("BLPOP", "{list}", 1),
    ("LPOP", "{list}", 2),
    ("ZADD", "{set}", 1, "a"),
    ("ZRANGE", "{set}", 0, -1),
    ("ZRANGEBYSCORE", "{set}", 0, 1),
    ("ZREM", "{set}", "b"),
    ("ZREMRANGEBYSCORE", "{set}", "-inf", 0),
    ("XADD", "{stream}", "1-1", "a", "1"),
    ("XLEN", "{stream}"),
    ("XRANGE", "{stream}", "-", "+", "COUNT", 1),
    ("XREVRANGE", "{stream}", "+", "-", "COUNT", 1),
    ("XREAD", "COUNT", 1, "BLOCK", 1, "STREAMS", "{stream}", "0"),
    ("XTRIM", "{stream}", "MINID", "1-0"),
    ("GETDEL", "{string}"),
    ("TIME",),
    ("EVAL", "return redis.call('TIME')", 0),
    ("DEL", "{string}", "{hash}", "{list}", "{set}", "{stream}"),
)
"""Every command that the services send, and that scripts of theirs run, on keys of the look's own. SCRIPT
LOAD, INFO and PING are those of the connection."""


def redis_checks(settings: RedisSettings, redis: RedisConnection) -> Iterator[Check]:
    """Of a connection that was started. The first one says whether it is there; nothing follows if not."""
    where = address(settings)
    # the supervisor's first attempt fails within these, or is made again once
    if not redis.wait_available(settings.connect_timeout + settings.command_timeout + 1.0):
        yield Check("redis", FAIL, f"{where}: {redis.error}", "without it each service goes on alone; " + SEE)
        return
    info = told(redis.command("INFO"))
    yield Check("redis", OK, f"{where}: {name_of(info)}")
    yield from _sentinels(redis)
    yield _version(info)
    role = _role(info)
    yield role
    if role.status == FAIL:
        return
    yield _kept(info)
    yield _memory(info)
    yield from _replicas(info)
    yield _permissions(redis)
    yield _answers(redis)
    yield _clock(redis)


def address(settings: RedisSettings) -> str:
    """Where it is, for people; without what a URL must not have."""
    if settings.sentinels:
        return f"{settings.sentinel_name} of {len(settings.sentinels)} Sentinels"
    if settings.url:
        return settings.url.rpartition("@")[2].partition("://")[2] or settings.url.rpartition("@")[2]
    return host_port(settings.host, settings.port or DEFAULT_PORT)


def told(info: Any) -> dict[str, str]:
    """What INFO has, as words."""
    if isinstance(info, Mapping):
        return {str(name): str(value) for name, value in info.items()}
    text = info.decode(errors="replace") if isinstance(info, bytes) else str(info)
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, colon, value in lines if colon}


def name_of(info: Mapping[str, str]) -> str:
    """Which server it is, and of which version."""
    if version := info.get("valkey_version"):
        return f"Valkey {version}"
    return f"Redis {info.get('redis_version', '?')}"


def _sentinels(redis: RedisConnection) -> Iterator[Check]:
    name, answers = "redis sentinels", redis.sentinels()
    if answers and not all(answers):
        hint = "a majority of them has to agree before a replica takes the primary's place"
        yield Check(name, WARN, f"{sum(answers)} of {len(answers)} answer", hint)
    elif answers:
        yield Check(name, OK, f"all {len(answers)} answer")


def _version(info: Mapping[str, str]) -> Check:
    version = info.get("valkey_version") or info.get("redis_version", "")
    major = re.match(r"\d+", version)
    good = major is not None and int(major[0]) >= LEAST_VERSION
    hint = "" if good else f"Redis or Valkey {LEAST_VERSION} is needed"
    return Check("redis version", OK if good else FAIL, version or "not told", hint)


def _role(info: Mapping[str, str]) -> Check:
    """Whether it is one that can be written to, as a whole."""
    name = "redis role"
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == "1":
        return Check(name, FAIL, "part of a Redis Cluster", "one server, or one with replicas and Sentinels")
    role = info.get("role", "not told")
    if role == "slave":
        at = f"a replica of {info.get('master_host')}:{info.get('master_port')}"
        return Check(name, FAIL, at, "name the primary, or the Sentinels")
    return Check(name, OK, {"master": "primary"}.get(role, role))


def _kept(info: Mapping[str, str]) -> Check:
    name = "redis appendonly"
    if info.get("aof_enabled") != "1":
        hint = (
            "appendonly yes: after its restart clients miss events, and webhooks of a dead service are lost"
        )
        return Check(name, WARN, "no", hint)
    if info.get("aof_last_write_status", "ok") != "ok":
        return Check(name, FAIL, "it cannot write its file", "see its log and its disk")
    return Check(name, OK, "yes")


def _memory(info: Mapping[str, str]) -> Check:
    name = "redis memory"
    policy, most = info.get("maxmemory_policy", "not told"), int(info.get("maxmemory", "0"))
    limit = f"{most >> 20} MB" if most else "all there is"
    found = f"{policy}, {int(info.get('used_memory', '0')) >> 20} MB of {limit}"
    if policy != "noeviction":
        hint = "maxmemory-policy noeviction: else it drops leases, state and events when it is full"
        return Check(name, FAIL if most else WARN, found, hint)
    if most and int(info.get("used_memory", "0")) > NEARLY_FULL * most:
        return Check(
            name, WARN, found, "full, it takes no writes: raise maxmemory, or lower replay.max_bytes"
        )
    return Check(name, OK, found)


def _replicas(info: Mapping[str, str]) -> Iterator[Check]:
    """Of a primary; what they lack is lost when it dies."""
    name = "redis replicas"
    if info.get("role") != "master":
        return
    lines = [value for key, value in info.items() if re.fullmatch(r"slave\d+", key)]
    if not lines:
        yield Check(name, OK, "none: what it has goes with its machine")
        return
    behind = [line for line in lines if "online" not in line or _lag(line) > LAG_S]
    if behind:
        hint = "what they lack is lost when the primary dies"
        yield Check(name, WARN, f"{len(behind)} of {len(lines)} are behind", hint)
        return
    yield Check(name, OK, f"{len(lines)}, all online")


def _lag(line: str) -> int:
    found = re.search(r"lag'?[=:] ?(\d+)", line)
    return int(found[1]) if found else 0


def _permissions(redis: RedisConnection) -> Check:
    name, mark = "redis permissions", secrets.token_hex(6)
    kinds = ("string", "hash", "list", "set", "stream")
    keys = {f"{{{kind}}}": redis.key("doctor", mark, kind) for kind in kinds}
    refused: list[str] = []
    for words in TRIED:
        given = [keys.get(str(word), word) for word in words]
        try:
            redis.command(*given)
        except RedisRefused as error:
            word = str(words[0])
            refused.append(f"{word} ({error.__cause__})" if not refused else word)
        except VsiError as error:
            return Check(name, FAIL, error.message, "the server stopped answering")
    if refused:
        return Check(name, FAIL, f"refused: {', '.join(refused)}"[:300], f"the ACL of our user; {SEE}")
    return Check(name, OK, f"all that is needed, below {redis.key('')}*")


def _answers(redis: RedisConnection) -> Check:
    taken = []
    for _ in range(PINGS):
        began = time.monotonic()
        redis.command("PING")
        taken.append((time.monotonic() - began) * 1000)
    found = statistics.median(taken)
    hint = "leases are renewed over this way twice a second: have it nearer" if found > SLOW_MS else ""
    return Check("redis round trip", WARN if hint else OK, f"{found:.1f} ms", hint)


def _clock(redis: RedisConnection) -> Check:
    began = time.time()
    seconds, micros = redis.command("TIME")
    apart = int(seconds) + int(micros) / 1e6 - (began + time.time()) / 2
    hint = "times of events differ by that: have NTP on both" if abs(apart) > APART_S else ""
    return Check("redis clock", WARN if hint else OK, f"{apart:+.2f} s from ours", hint)
