"""The connection to Redis: bounded, with a deadline for everything, and known to be there or not.

While it is away nobody waits for it: a command fails at once, and one greenlet tries, with back-off, until it
is back. Nothing is repeated by itself: a write of which the answer was lost may have been done.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import gevent
import redis
import structlog
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from .. import lasting
from ..config.cluster import DEFAULT_PORT, RedisSettings
from ..errors import VsiError
from .scripts import SCRIPTS, sha_of
from .sockets import Plain, Secured

log = structlog.get_logger(__name__)

BACKOFF_MIN_S, BACKOFF_MAX_S = 0.1, 2.0
SENTINEL: Any = Sentinel  # without types
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that has a close throw away what the network has not taken yet."""
LOOK_S = 1.0
"""How often a connection that nobody uses is tried."""
SAME_ERROR_S = 60.0
TAKES_NONE = ("MASTERDOWN", "MISCONF", "NOREPLICAS")
"""How the errors begin of a server that takes no writes for the moment."""
KINDS = ("connection", "timeout", "busy", "refused")

Argument: TypeAlias = "str | bytes | int | float"


class RedisUnavailable(VsiError):
    """Redis cannot be reached, takes no writes, or did not answer in time."""

    code = 503


class RedisRefused(VsiError):
    """Redis did not understand a command or script of ours, or our user may not use it."""

    code = 500


class RedisConnection:
    """One Redis, as `settings` name it: `start`, then `stop`.

    `available` is what it was at last look, at most a second ago; `error` says why not. `commands` and
    `failures` (by kind) count since the start.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._turns = BoundedSemaphore(settings.connections)
        # Any: redis-py's types are incomplete where commands are given word by word
        self._client: Any = self._connect(settings.connections, settings.command_timeout)
        self._unknown = True
        """The server may not know our scripts."""
        self._unsure = True
        """A connection has been made since it was last asked which server it is."""
        self._watchers: list[Callable[[bool], None]] = []
        self._supervisor: gevent.Greenlet | None = None
        self._trouble, self._stopping = Signal(), Signal()
        self._logged = "", 0.0
        self._answered_at = 0.0
        self.available = False
        self.since = 0.0
        """When it became available, or ceased to be, by the monotonic clock."""
        self.error = "not connected yet"
        self.server = ""
        """The run id of the server: another one may lack the last writes."""
        self.commands = 0
        self.failures: Counter[str] = Counter()

    def key(self, *parts: str) -> str:
        """A key of this deployment's."""
        return ":".join((self._settings.namespace, *parts))

    def on_change(self, told: Callable[[bool], None]) -> None:
        """Have `told` called with True when it is there (again), with False when it is gone. It is called by
        the greenlet that watches it, and must not wait."""
        self._watchers.append(told)

    def start(self) -> None:
        """Connect in the background, and again whenever it is lost."""
        self._supervisor = lasting.keep(self._supervise)

    def stop(self) -> None:
        """Let go of it. Nobody is told."""
        self._stopping.set()
        self._trouble.set()
        if self._supervisor is not None:
            # one that is killed while it connects leaves a socket behind
            self._supervisor.join(self._settings.connect_timeout + self._settings.command_timeout)
            self._supervisor.kill()
            self._supervisor = None
        self.available, self.error = False, "the service is shutting down"
        self._client.connection_pool.disconnect()

    def wait_available(self, timeout: float) -> bool:
        """Wait until it is there, for so many seconds at most."""
        deadline = time.monotonic() + timeout
        while not self.available and time.monotonic() < deadline:
            gevent.sleep(0.02)
        return self.available

    def command(self, *words: Argument, timeout: float | None = None) -> Any:
        """The answer to one command. RedisUnavailable, at once when it is away; `timeout` in seconds."""
        return self._do(lambda: self._client.execute_command(*words), timeout)

    def pipeline(self, commands: Sequence[Sequence[Argument]], timeout: float | None = None) -> list[Any]:
        """The answers to several commands, sent in one go; no transaction."""
        if not commands:
            return []

        def send() -> list[Any]:
            with self._client.pipeline(transaction=False) as pipe:
                for words in commands:
                    pipe.execute_command(*words)
                # an error that redis-py raises by itself has all arguments in its text
                found = list(pipe.execute(raise_on_error=False))
            for one in found:
                if isinstance(one, Exception):
                    raise one
            return found

        answers: list[Any] = self._do(send, timeout, len(commands))
        return answers

    def run(
        self, script: str, keys: Sequence[str], args: Sequence[Argument] = (), timeout: float | None = None
    ) -> Any:
        """What a script of `scripts` answers."""
        words = self.words(script, keys, args)

        def evaluate() -> Any:
            try:
                return self._client.execute_command(*words)
            except NoScriptError:  # a server that has been started since
                return self._client.execute_command("EVAL", SCRIPTS[script], *words[2:])

        return self._do(evaluate, timeout)

    @staticmethod
    def words(script: str, keys: Sequence[str], args: Sequence[Argument] = ()) -> list[Argument]:
        """A script's call as one of the commands of a `pipeline`; the server knows them since the connect."""
        return ["EVALSHA", sha_of(script), len(keys), *keys, *args]

    def blocking(self, longest: float) -> Any:
        """A client with a connection of its own, for commands that wait on the server for up to `longest`
        seconds. What it raises is redis-py's (see `failed`); whoever has it closes it."""
        return self._connect(1, longest + self._settings.command_timeout)

    def failed(self, error: Exception) -> VsiError:
        """Count an error of redis-py, look at the server anew, and return what is to be raised for it; as it
        is for one of ours, which was counted."""
        if isinstance(error, VsiError):
            return error
        if isinstance(error, TimeoutError | gevent.Timeout):
            return self._lost("timeout", "no answer in time")
        if isinstance(error, MasterNotFoundError):
            return self._lost("connection", "the Sentinels know no primary")
        if isinstance(error, AuthenticationError):
            return self._lost("refused", "it refused our user or password")
        if isinstance(error, ConnectionError | OSError | ReadOnlyError | OutOfMemoryError):
            return self._lost("connection", _text(error))
        if isinstance(error, ResponseError) and str(error).startswith(TAKES_NONE):
            return self._lost("connection", _text(error))
        if isinstance(error, NoScriptError):
            self._unknown = True
            return self._lost("connection", "it has forgotten our scripts")
        if not isinstance(error, RedisError):
            # `_look` closes the connections of all; redis-py raises for that whatever comes of it, such as
            # ValueError for a buffer that is closed
            return self._lost("connection", f"the connection was closed ({type(error).__name__})")
        self.failures["refused"] += 1
        self.error = f"it refused a command: {_text(error)}"
        log.error("Redis refused a command", error=_text(error))
        return RedisRefused("redis: it refused a command; see the log")

    def sentinels(self) -> list[bool]:
        """Of each Sentinel, whether it answers. Waits."""
        manager = getattr(self._client.connection_pool, "sentinel_manager", None)
        answers = []
        for one in manager.sentinels if manager is not None else ():
            try:
                answers.append(bool(one.ping()))
            except (RedisError, OSError):
                answers.append(False)
        return answers

    def health(self) -> dict[str, Any]:
        """What /readyz says of it."""
        return {"ready": self.available, "error": "" if self.available else self.error}

    def _do(self, work: Callable[[], Any], timeout: float | None, count: int = 1) -> Any:
        if not self.available:
            raise RedisUnavailable(f"redis: {self.error}")
        with self._turn(timeout or self._settings.command_timeout):
            return self._attempt(work, timeout, count)

    def _attempt(self, work: Callable[[], Any], timeout: float | None, count: int = 1) -> Any:
        # the first command of a connection makes it; redis-py's own limit is for each read
        limit = self._settings.connect_timeout + (timeout or self._settings.command_timeout)
        self.commands += count
        deadline = gevent.Timeout(limit)
        try:
            with deadline:
                answer = work()
        except gevent.Timeout as expired:
            if expired is not deadline:
                raise
            raise self._lost("timeout", "no answer in time") from None
        except Exception as error:
            raise self.failed(error) from error
        self._answered_at = time.monotonic()
        return answer

    @contextmanager
    def _turn(self, limit: float) -> Iterator[None]:
        """One of the connections. When all are in use for that long something is wrong, but not with it."""
        if not self._turns.acquire(timeout=limit):
            self.failures["busy"] += 1
            raise RedisUnavailable("redis: all connections are in use")
        try:
            yield
        finally:
            self._turns.release()

    def _lost(self, kind: str, reason: str) -> RedisUnavailable:
        self.failures[kind] += 1
        self.error = reason
        self._trouble.set()
        return RedisUnavailable(f"redis: {reason}")

    def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._attempt(self._look, None)
            except VsiError:
                failures += 1
                self._set(available=False)
                longest = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(failures, 16))
                self._stopping.wait(max(BACKOFF_MIN_S, random.uniform(0, longest)))  # noqa: S311
                continue
            except Exception as error:  # one that nobody foresaw must not end the watch
                log.exception("looking at Redis failed")
                self.error = type(error).__name__
                self._set(available=False)
                self._stopping.wait(BACKOFF_MAX_S)
                continue
            failures = 0
            self._trouble.clear()
            if not self._stopping.is_set():
                self._set(available=True)
            while (
                not self._stopping.is_set()
                and not self._trouble.wait(LOOK_S)
                and time.monotonic() - self._answered_at < LOOK_S
            ):
                pass

    def _look(self) -> None:
        if not self.available:
            # what was connected to the server before is of no use, or leads to one that is no primary now
            self._client.connection_pool.disconnect()
        unsure, self._unsure = self._unsure, False
        if unsure or not self.available:
            self._is(_run_id(self._client.execute_command("INFO", "server")))
        if self._unknown or not self.available:
            for text in SCRIPTS.values():
                self._client.execute_command("SCRIPT", "LOAD", text)
            self._unknown = False
        self._client.execute_command("PING")

    def _is(self, server: str) -> None:
        """One that was restarted faster than that was seen is another one all the same."""
        if server != self.server and self.available:
            self.error = "it is another server now"
            self._unknown = True
            self._set(available=False)
        self.server = server

    def _made(self, connection: Any) -> None:
        """A connection has been made: redis-py makes one anew where the server has closed it."""
        # one that is given up must not deliver what it was given when the network is back, behind what was
        # written over the next one: a row of the state would be an old one again
        connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        connection.on_connect()
        self._unsure = True
        self._trouble.set()

    def _set(self, *, available: bool) -> None:
        self._log(available)
        if available is self.available:
            return
        self.available, self.since = available, time.monotonic()
        for told in self._watchers:
            try:
                told(available)
            except Exception:
                log.exception("telling of Redis failed")

    def _log(self, available: bool) -> None:
        text, at = self._logged
        now = time.monotonic()
        if available:
            if not self.available:
                log.info("Redis is there", server=self.server[:8])
            self._logged = "", 0.0
        elif text != self.error or now - at >= SAME_ERROR_S:
            self._logged = self.error, now
            log.warning("Redis not available", error=self.error)

    def _connect(self, connections: int, timeout: float) -> Any:
        given = self._settings
        options: dict[str, Any] = {
            "socket_connect_timeout": given.connect_timeout,
            "socket_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "username": given.username or None,
            "password": given.password or None,
            "redis_connect_func": self._made,
            "max_connections": connections + 1,  # the supervisor's look is beside the others
        }
        parts = urlsplit(given.url)
        if given.tls or parts.scheme == "rediss":
            options |= {
                "ssl": True,
                "ssl_ca_certs": given.tls_ca or None,
                "ssl_certfile": given.tls_cert or None,
                "ssl_keyfile": given.tls_key or None,
            }
        if given.sentinels:
            sentinel_options = {
                name: value
                for name, value in options.items()
                if name.startswith(("socket", "ssl", "retry", "protocol"))
            }
            group: Any = SENTINEL(list(given.sentinels), sentinel_kwargs=sentinel_options, **options)
            return group.master_for(given.sentinel_name)
        if parts.scheme == "unix":
            return redis.Redis(unix_socket_path=parts.path, **options)
        host = parts.hostname or given.host
        port = (parts.port or DEFAULT_PORT) if given.url else given.port
        kind = Secured if options.pop("ssl", False) else Plain
        pool = redis.ConnectionPool(
            connection_class=kind, host=host, port=port, db=int(parts.path.strip("/") or 0), **options
        )
        return redis.Redis.from_pool(pool)  # which goes with it


def _text(error: Exception) -> str:
    """Without the arguments of a command, which some errors repeat."""
    return str(error).partition(", with args")[0][:120] or type(error).__name__


def _run_id(info: Any) -> str:
    """redis-py has made a dict of it, or it is the text of the server."""
    if isinstance(info, dict):
        return str(info.get("run_id", ""))
    text = info.decode(errors="replace") if isinstance(info, bytes) else str(info)
    return next((line[7:].strip() for line in text.splitlines() if line.startswith("run_id:")), "")
