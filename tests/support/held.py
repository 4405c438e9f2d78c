"""Holding back a method between its question and what it does with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import Event


class Held:
    """A method that waits: `entered` is set when it is called, and it goes on after `release()`."""

    def __init__(self) -> None:
        self.entered = Event()
        self._go = Event()

    def wait(self) -> None:
        self.entered.set()
        assert self._go.wait(20), "nobody let it go on"

    def release(self) -> None:
        self._go.set()


@contextmanager
def held(owner: Any, name: str, *, before: bool = False) -> Iterator[Held]:
    """Hold back `owner.name` after (or before) it did its work, the first time it is called."""
    original = getattr(owner, name)
    hold = Held()

    def slow(*args: Any, **more: Any) -> Any:
        setattr(owner, name, original)
        if before:
            hold.wait()
            return original(*args, **more)
        answer = original(*args, **more)
        hold.wait()
        return answer

    setattr(owner, name, slow)
    try:
        yield hold
    finally:
        hold.release()
        setattr(owner, name, original)
