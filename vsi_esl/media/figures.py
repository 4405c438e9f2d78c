"""What is counted and measured: of a session, and of the process."""

from __future__ import annotations

from collections import Counter


class Figures:
    """Counters, of which `total` has the sums over all sessions, and measures."""

    def __init__(self, total: Counter[str] | None = None) -> None:
        self._total = total if total is not None else Counter()
        self._counted: Counter[str] = Counter()
        self._measured: dict[str, float] = {}

    def count(self, name: str, by: float = 1) -> None:
        self._counted[name] += by  # type: ignore[assignment]
        self._total[name] += by  # type: ignore[assignment]

    def measure(self, name: str, value: float) -> None:
        """The first value stays."""
        self._measured.setdefault(name, value)

    def worst(self, name: str, value: float) -> None:
        """The highest value stays."""
        self._measured[name] = max(value, self._measured.get(name, value))

    def all(self) -> dict[str, float]:
        return {**self._counted, **self._measured}
