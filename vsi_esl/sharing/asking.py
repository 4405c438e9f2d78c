"""Requests of one service to another, and their answers.

A request waits under a key of its own that expires with its deadline, and whoever is asked finds its id in an
inbox. To take it is to delete that key: so it is done once or not at all, and what nobody took in time is
gone, also for a service that stood still meanwhile. Who asked can take it back in the same way, and knows
then that it was not done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import AsyncResult
from gevent.pool import Pool

from .. import lasting
from ..cluster.connection import RedisConnection
from ..errors import Invalid, Unavailable, VsiError
from ..later import heard

log = structlog.get_logger(__name__)

BLOCK_S = 2.0
SLACK_S = 3.0
"""A late answer is one all the same: what is taken from a list is gone from there."""
RETRY_S = 0.2
LOOK_S = 0.5
GRACE_S = 1.0
"""How long a request is good behind its deadline, so that it is there to be taken back."""
MAX_WAITING = 2000
"""Requests in one inbox, and answers to one service."""
AT_ONCE = 200
"""Requests of others that are worked on at the same time; more wait in the inbox until they are over."""
TAKE = 50

Message = dict[str, Any]


class NotTaken(Unavailable):
    """Nobody took the request: it was not done."""


class Asking:
    """Both sides, for the service `name`. `serve` answers a request: a JSON value, or VsiError;
    `there(name)` says whether a service is to be reckoned with."""

    def __init__(
        self,
        redis: RedisConnection,
        name: str,
        *,
        serve: Callable[[Message], Any],
        there: Callable[[str], bool],
    ) -> None:
        self._redis, self._name, self._serve, self._there = redis, name, serve, there
        self._answers = f"{name}-{secrets.token_hex(4)}"
        self._waiting: dict[str, AsyncResult[Message]] = {}
        self._pool = Pool(AT_ONCE)
        self._taker: gevent.Greenlet | None = None
        self._reader: gevent.Greenlet | None = None
        self.asked = self.served = self.timeouts = self.over = 0

    @property
    def under_way(self) -> int:
        """Requests of others that are being worked on."""
        return len(self._pool)

    def start(self) -> None:
        inbox, answers = self._redis.key("in", self._name), self._redis.key("answers", self._answers)
        self._taker = lasting.keep(self._read_on, inbox, self._take)
        self._reader = lasting.keep(self._read_on, answers, self._answered)

    def leave(self) -> None:
        """Take no more requests; those that were taken are answered."""
        if self._taker is not None:
            self._taker.kill()

    def stop(self, timeout: float) -> None:
        self.leave()
        self._pool.join(timeout)
        self._pool.kill(block=False)
        if self._reader is not None:
            self._reader.kill()

    def ask(self, service: str, message: Message, timeout: float) -> Any:
        """What another service answers, within so many seconds. Raises VsiError as it says, NotTaken when
        it was not done, and Unavailable when that is not known."""
        id = secrets.token_hex(8)
        answer = self._waiting[id] = AsyncResult()
        request = self._redis.key("ask", id)
        self.asked += 1
        try:
            try:
                text = orjson.dumps({**message, "id": id, "answers": self._answers})
            except TypeError:
                raise Invalid("invalid payload: no valid text") from None
            keys = [self._redis.key("in", service), request]
            if not self._redis.run("ask", keys, [id, text, int((timeout + GRACE_S) * 1000), MAX_WAITING]):
                raise NotTaken(f"service {service} has too much to do")
            found = self._await(service, answer, timeout)
            if found is None:
                self.timeouts += 1
                if self._redis.command("DEL", request):
                    raise NotTaken(f"service {service} does not answer")
                raise Unavailable(f"service {service} did not answer in time; it may have been done")
        finally:
            del self._waiting[id]
        if "code" in found:
            raise VsiError(found["message"], found["code"])
        return found["data"]

    def _await(self, service: str, answer: AsyncResult[Message], timeout: float) -> Message | None:
        """None when there is none in time, or nobody who would give it."""
        left = timeout
        while left > 0:
            heard(answer, min(LOOK_S, left))
            if answer.ready():
                found: Message = answer.get()
                return found
            left -= LOOK_S
            if not self._there(service):
                return None
        return None

    def _read_on(self, key: str, take: Callable[[list[bytes]], None]) -> None:
        """Take what comes in a list, each once."""
        while True:
            while not self._redis.available:
                gevent.sleep(RETRY_S)
            client = self._redis.blocking(BLOCK_S + SLACK_S)
            try:
                while True:
                    found = client.execute_command("BLPOP", key, BLOCK_S)
                    if found:
                        more = client.execute_command("LPOP", key, TAKE) if self._busy else None
                        take([found[1], *(more or ())])
            except Exception as error:
                reason = self._redis.failed(error)
                log.info("requests of others not read", reason=reason.message)
            finally:
                client.close()
            gevent.sleep(RETRY_S)

    @property
    def _busy(self) -> bool:
        return self.under_way > 1 or len(self._waiting) > 1

    def _take(self, ids: list[bytes]) -> None:
        texts = self._redis.pipeline([("GETDEL", self._redis.key("ask", id.decode())) for id in ids])
        for text in texts:
            if text is None:
                self.over += 1
                continue
            self._pool.spawn(self._work, orjson.loads(text))

    def _work(self, message: Message) -> None:
        self.served += 1
        try:
            answer: Message = {"data": self._serve(message)}
        except VsiError as error:
            answer = {"code": error.code, "message": error.message}
        except Exception:
            log.exception("request of another service failed")
            answer = {"code": 500, "message": "internal error"}
        text = orjson.dumps({**answer, "id": message["id"]})
        try:
            self._redis.run("answer", [self._redis.key("answers", message["answers"])], [text, MAX_WAITING])
        except VsiError as error:
            log.warning("another service not answered", reason=error.message)

    def _answered(self, texts: list[bytes]) -> None:
        for text in texts:
            answer = orjson.loads(text)
            waiting = self._waiting.get(answer["id"])
            if waiting is not None:  # else it was too late
                waiting.set(answer)
