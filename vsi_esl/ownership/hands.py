"""What is done with switches by the order of `owning`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ..switch.lines.fence import Fence
from .turn import Turn


class Load(NamedTuple):
    """What there is on switches; of two the smaller one is to be handed over rather."""

    bound: int
    """How much of it ends when another service has them: legs over WebSockets, browsers, agents."""
    legs: int

    @classmethod
    def of_all(cls, loads: Iterable[Load]) -> Load:
        """Of several switches."""
        bound, legs = map(sum, zip((0, 0), *loads, strict=True))
        return cls(bound, legs)


class Hands(Protocol):
    """See `taking.Taking`."""

    def take(self, turns: Sequence[Turn]) -> None:
        """Have all that there is to know of these switches, and then connect to them. May wait;
        RedisUnavailable."""

    def shipped(self, switches: Sequence[str]) -> bool:
        """Whether all that is known of these is in Redis. May wait for that a while."""

    def let_go(self, switches: Sequence[str], *, hand_over: bool) -> None:
        """Disconnect, and forget all that is on them; to be handed over, what is known is in Redis behind it.
        May wait. RedisUnavailable when they could not be handed over: they are ours still, and remembered."""

    def probe(self, switch: str) -> Fence | None:
        """What a switch shows that we are not connected to. May wait; SwitchUnavailable."""

    def look(self, switch: str) -> None:
        """Look whether one that we are connected to is ours. May wait; SwitchUnavailable."""

    def ask(self, switch: str, line: str) -> str:
        """What a switch that we are connected to answers to an api command of `switch.lines.fence`. May wait;
        SwitchUnavailable."""

    def doubt(self, switch: str, fence: int) -> None:
        """Say on a switch of another that nothing is heard of this turn. May wait; SwitchUnavailable."""

    def remembered(self, switch: str) -> int:
        """The fence of our last turn there; 0 for none."""

    def load(self, switch: str) -> Load:
        """What there is on it."""

    def between(self) -> Iterable[tuple[str, str]]:
        """The pairs of switches between which there is something that one service has to have."""

    def adopted(self, switch: str) -> bool:
        """Whether the calls on one of ours are known."""

    def note(self, groups: str) -> None:
        """Remember this of groups that are one for now, over a restart."""

    def noted(self) -> str:
        """What was remembered last; empty for nothing."""
