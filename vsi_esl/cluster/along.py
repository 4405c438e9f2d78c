"""Rows of the state that go to Redis in one step with events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .connection import RedisConnection


class Along:
    """Of each switch the fence with which it is ours, and the changes of its rows by field (`shipping`)."""

    def __init__(self, changes: Mapping[str, tuple[int, Mapping[str, str]]] | None = None) -> None:
        self._changes = changes or {}
        self.turned_down: list[str] | None = None
        """Once they were sent: the switches that are another service's by now."""

    def __bool__(self) -> bool:
        return bool(self._changes)

    def keys(self, redis: RedisConnection) -> list[str]:
        """What "add events" is given for them as keys."""
        kinds = ("state", "fence")
        return [
            key
            for switch in self._changes
            for key in (*(redis.key(kind, switch) for kind in kinds), redis.key("where"))
        ]

    def words(self) -> list[str | int]:
        """And as arguments."""
        words: list[str | int] = [len(self._changes)]
        for switch, (fence, changes) in self._changes.items():
            words += [fence, switch, len(changes)]
            words += [word for pair in changes.items() for word in pair]
        return words

    def sent(self, refused: Sequence[int]) -> None:
        """They are in Redis, but for those that it counts here, from 1 on."""
        switches = list(self._changes)
        self.turned_down = [switches[number - 1] for number in refused]
