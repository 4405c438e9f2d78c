"""Up to where a service's events were handed on, remembered should Redis not know."""

from __future__ import annotations

from typing import Protocol

from ..delivery.history import History

FACT = "events_handed_on"


class Facts(Protocol):
    """Where that is remembered (storage.state)."""

    def fact(self, name: str) -> str | None: ...
    def save_fact(self, name: str, value: str) -> None: ...


class HandedOn:
    """Of the service with this history."""

    def __init__(self, facts: Facts, history: History) -> None:
        self._facts, self._history = facts, history

    def known(self) -> int:
        """What the process before had handed on, of this history; all there was before events were shared."""
        origin, _, number = (self._facts.fact(FACT) or "").partition(" ")
        if origin == str(self._history.epoch):
            return min(int(number), self._history.newest)
        return self._history.newest

    def remember(self, sent: int) -> None:
        """This one has handed on so many."""
        known = f"{self._history.epoch} {sent}"
        if self._facts.fact(FACT) != known:
            self._facts.save_fact(FACT, known)
