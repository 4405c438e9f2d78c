"""Limits that a command checks itself: which of several faults is told, and how, is the reference's to say.

Each stands once: the field of the payload refers to it, so that the documents show it, and the command checks
it where its turn is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Invalid


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both allowed. `name` is what is said to be wrong."""

    name: str
    low: int
    high: int

    def check(self, value: int) -> None:
        """Invalid when it is not in the range."""
        if not self.low <= value <= self.high:
            raise Invalid(f"{self.name} must be between {self.low} and {self.high}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, or numbers."""

    name: str
    values: tuple[str | int, ...]

    def check(self, value: str | int) -> None:
        """Invalid when it is none of them."""
        if value not in self.values:
            *most, last = map(str, self.values)
            raise Invalid(f"invalid {self.name}: must be {', '.join(most)}, or {last}")
