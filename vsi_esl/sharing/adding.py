"""One call of "add events" (`cluster.event_scripts`): what is handed on to the stream together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..cluster.along import Along
from ..cluster.connection import Argument, RedisConnection, RedisRefused
from ..delivery.blocks import StoredEvent
from .entries import Keys


class Answer(NamedTuple):
    """What became of it: see the script. `old` are the marks of turns that are over, when it was not done."""

    done: int
    last: int
    cursor: int
    refused: int
    old: set[str]


class Adding:
    """Of a service on this Redis."""

    def __init__(self, redis: RedisConnection, keys: Keys) -> None:
        self._redis, self._keys = redis, keys
        self._places: dict[str, int] = {"": 1}
        self._args: list[Argument] = []

    def lost(self, number: int, count: int) -> None:
        """So many events, up to this number, are not to be had any more."""
        self._args += [number, count, 1, "", b""]

    def event(self, one: StoredEvent, mark: str | None, webhook: bytes) -> None:
        """`mark` is whose it is, "SWITCH FENCE" or nothing; None when it is to be passed over."""
        place = 0 if mark is None else self._places.setdefault(mark, len(self._places) + 1)
        self._args += [one.cursor, one.app_id, place, webhook, one.frame]

    def run(self, head: Sequence[Argument], rows: Along) -> Answer:
        """In one step, with these rows of the state. `head` is what the script is given first. Raises
        RedisUnavailable."""
        try:
            return self._run(head, rows)
        except RedisRefused:
            if not rows:
                raise
            return self._run(head, Along())  # a row that Redis does not take must not hold up events

    def _run(self, head: Sequence[Argument], rows: Along) -> Answer:
        keys = self._keys
        switches = [mark.rpartition(" ") for mark in self._places]
        names = [keys.stream, keys.cursor, keys.origins, keys.apart, keys.bytes]
        for switch, _, _ in switches:
            names += [self._redis.key("fence", switch), keys.outbox(switch)]
        fences = [fence for _, _, fence in switches]
        answer = self._redis.run(
            "add events",
            [*names, *rows.keys(self._redis)],
            [*head, len(switches), *fences, *rows.words(), *self._args],
        )
        done, last, cursor, refused, *counted = map(int, answer)
        if done == 1:
            rows.sent(counted)
            counted = []
        old = {mark for mark, place in self._places.items() if place in counted}
        return Answer(done, last, cursor, refused, old)
