"""The connection to Redis: what it does while the server is there, away, or stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
import pytest

from tests.support import certs
from tests.support.drivers import eventually
from tests.support.redisserver import RedisServer
from tests.support.relay import Relay
from vsi_esl.cluster import connection
from vsi_esl.cluster.connection import RedisConnection, RedisRefused, RedisUnavailable
from vsi_esl.cluster.series import of_connection
from vsi_esl.config.cluster import RedisSettings

Connect = Callable[..., RedisConnection]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Connect with these settings; without `there` not waiting for it."""
    monkeypatch.setattr(connection, "LOOK_S", 0.05)
    monkeypatch.setattr(connection, "BACKOFF_MAX_S", 0.1)
    made: list[RedisConnection] = []

    def start(settings: RedisSettings, *, there: bool = True) -> RedisConnection:
        one = RedisConnection(settings)
        made.append(one)
        one.start()
        assert not there or one.wait_available(20), one.error
        return one

    yield start
    for one in made:
        one.stop()


def test_commands_are_answered_and_keys_have_the_namespace(redis_server, connect):
    redis = connect(replace(redis_server.settings, namespace="here"))
    assert redis.command("SET", redis.key("a", "b"), "1") is True
    assert redis.pipeline([("INCR", "here:a:b"), ("GET", "here:a:b")]) == [2, b"2"]
    assert redis.server and redis.health() == {"ready": True, "error": ""}


def test_a_script_is_known_to_a_server_that_has_forgotten_all(redis_server, connect):
    redis = connect(redis_server.settings)
    keys = [redis.key("service", "a"), redis.key("services")]
    args = ["a", "id", '{"id":"id"}', 1000]
    assert redis.run("heartbeat", keys, args) == 1
    redis.command("SCRIPT", "FLUSH")
    assert redis.run("heartbeat", keys, ["a", "another", '{"id":"another"}', 1000]) == 0
    redis.command("SCRIPT", "FLUSH")
    words = redis.words("heartbeat", keys, args)
    with pytest.raises(RedisUnavailable):
        redis.pipeline([words])
    eventually(lambda: redis.command("SCRIPT", "EXISTS", words[1]) == [True], "it has learnt them again")
    assert redis.pipeline([words]) == [1]


def test_away_it_refuses_at_once_and_tells_of_each_change(redis_server, connect):
    redis = connect(redis_server.settings)
    told: list[bool] = []
    redis.on_change(told.append)
    redis.on_change(lambda _: 1 / 0)
    redis.command("SET", "kept", "x")
    before = redis.server
    redis_server.stop()
    eventually(lambda: told == [False], "it is seen to be gone")
    tried = redis.commands
    with pytest.raises(RedisUnavailable, match="redis: "):
        redis.command("GET", "kept")
    assert redis.commands == tried, "it was not even tried"
    assert redis.failures["connection"] and redis.health()["error"]
    redis_server.start()
    eventually(lambda: told == [False, True], "it is back")
    assert (redis.command("GET", "kept"), redis.server == before) == (b"x", False)


def test_one_that_stands_still_is_not_waited_for_longer_than_the_limit(redis_server, connect):
    redis = connect(replace(redis_server.settings, connect_timeout=0.2, command_timeout=0.2))
    redis_server.pause()
    began = time.monotonic()
    with pytest.raises(RedisUnavailable, match="no answer in time"):
        redis.command("PING")
    assert time.monotonic() - began < 5
    eventually(lambda: not redis.available, "it is seen to stand still")
    assert redis.failures["timeout"]
    redis_server.resume()
    assert redis.wait_available(20)


def test_a_connection_that_is_closed_under_a_caller_is_a_lost_one(redis_server, connect):
    redis = connect(replace(redis_server.settings, command_timeout=5.0))
    callers = [
        gevent.spawn(call)
        for _ in range(3)
        for call in (lambda: redis.command("BLPOP", "x", 9), lambda: redis.pipeline([("BLPOP", "x", 9)]))
    ]
    in_use = redis._client.connection_pool._in_use_connections
    eventually(lambda: len(in_use) >= len(callers), "all wait for their answers")
    redis._client.connection_pool.disconnect()
    gevent.joinall(callers, timeout=20)
    assert [type(one.exception) for one in callers] == [RedisUnavailable] * len(callers)
    assert redis.failures["connection"] and not redis.failures["refused"]
    assert redis.wait_available(20)


def test_what_was_told_already_is_counted_once(redis_server, connect):
    redis = connect(redis_server.settings)
    known = RedisUnavailable("redis: no answer in time")
    assert redis.failed(known) is known and not redis.failures


def test_more_callers_than_connections_wait_for_their_turn_no_longer_than_the_limit(redis_server, connect):
    redis = connect(replace(redis_server.settings, connections=2))
    with redis._turn(1), redis._turn(1):
        with pytest.raises(RedisUnavailable, match="all connections are in use"):
            redis.command("PING", timeout=0.1)
        assert (redis.failures["busy"], redis.available) == (1, True)
    assert redis.command("PING")


def test_what_it_does_not_understand_is_our_fault_and_no_reason_to_leave(redis_server, connect):
    redis = connect(redis_server.settings)
    with pytest.raises(RedisRefused):
        redis.command("NOSUCH")
    assert (redis.failures["refused"], redis.available) == (1, True)


def test_a_wrong_password_is_told_without_it(tmp_path, connect):
    server = RedisServer(tmp_path / "redis", "--requirepass", "right")
    try:
        right = connect(replace(server.settings, password="right"))
        wrong = connect(replace(server.settings, password="hunter2"), there=False)
        assert right.available
        eventually(lambda: wrong.failures["refused"], "it was refused")
        assert wrong.health() == {"ready": False, "error": "it refused our user or password"}
        assert "hunter2" not in repr(wrong._settings)
    finally:
        server.close()


def test_over_a_unix_socket(tmp_path, connect):
    server = RedisServer(tmp_path / "redis", unix=True)
    try:
        redis = connect(server.settings)
        assert redis.command("PING")
        waiting = redis.blocking(5)
        assert waiting.execute_command("BLPOP", "nothing", "0.01") is None
        waiting.close()
    finally:
        server.close()


def test_over_tls_only_with_a_certificate_of_the_right_authority(tmp_path, connect):
    ours, others = certs.make(tmp_path / "ours"), certs.make(tmp_path / "others")
    server = RedisServer(tmp_path / "redis", tls=ours)
    own = str(ours / "agent.pem")
    try:
        good = replace(server.settings, tls_ca=str(ours / "cafile.pem"), tls_cert=own, tls_key=own)
        assert connect(good).command("PING")
        bad = connect(replace(good, tls_ca=str(others / "cafile.pem")), there=False)
        eventually(lambda: bad.failures["connection"], "its certificate was refused")
        assert not bad.available and "certificate" in bad.error
    finally:
        server.close()


def test_the_sentinels_say_which_server_it_is(redis_server, tmp_path, connect):
    watch = tmp_path / "sentinel.conf"
    watch.write_text(f"sentinel monitor group 127.0.0.1 {redis_server.port} 1\n")
    sentinel = RedisServer(tmp_path / "sentinel", conf=watch)
    where = RedisSettings(sentinels=(("127.0.0.1", sentinel.port),), sentinel_name="group")
    try:
        redis = connect(where)
        assert redis.command("SET", "a", "1") and connect(redis_server.settings).command("GET", "a") == b"1"
        unknown = connect(replace(where, sentinel_name="other"), there=False)
        eventually(lambda: unknown.failures["connection"], "nobody knows it")
        assert unknown.error == "the Sentinels know no primary"
    finally:
        sentinel.close()


def test_series(redis_server, connect):
    redis = connect(redis_server.settings)
    redis.command("PING")
    values = {sample.name: sample.value for family in of_connection(redis) for sample in family.samples}
    assert values["vsi_esl_redis_up"] == 1 and values["vsi_esl_redis_commands_total"] >= 2


def test_what_was_given_up_does_not_arrive_when_the_network_is_back(redis_server, connect):
    """Written over the next connection was what is newer."""
    relay = Relay(("127.0.0.1", redis_server.port))
    try:
        redis = connect(replace(redis_server.settings, url=f"redis://127.0.0.1:{relay.address[1]}"))
        redis.command("SET", "row", "first")
        relay.go_dead()
        with pytest.raises(RedisUnavailable):
            redis.command("SET", "row", "given up")
        eventually(lambda: not redis.available, "it is seen to be gone")
        relay.come_back()
        assert redis.wait_available(20)
        for _ in range(20):
            assert redis.command("GET", "row") == b"first"
    finally:
        relay.stop()
