"""What is counted and measured: of a session, and of the process."""

from __future__ import annotations

from collections import Counter


class Figures:
    """Counters and measures of one session."""

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0
        self._counted: Counter[str] = Counter()
        self._measured: dict[str, float] = {}

    def count(self, name: str, by: float = 1) -> None:
        self._counted[name] += by  # type: ignore[assignment]

    def measure(self, name: str, value: float) -> None:
        """The first value stays."""
        self._measured.setdefault(name, value)

    def worst(self, name: str, value: float) -> None:
        """The highest value stays."""
        self._measured[name] = max(value, self._measured.get(name, value))

    def add_to(self, total: dict[str, float]) -> None:
        """Add the counters to those of the process."""
        for name, value in self._sums().items():
            total[name] = total.get(name, 0) + value

    def all(self) -> dict[str, float]:
        return {**self._sums(), **self._measured}

    def _sums(self) -> dict[str, float]:
        return {"frames_in": self.frames_in, "frames_out": self.frames_out, **self._counted}
