"""What the webhook delivery has done since its start."""

from __future__ import annotations

from dataclasses import dataclass

from ...work import clock


@dataclass(slots=True)
class Counts:
    """Shared by the parts of the delivery, read by /metrics."""

    enqueued: int = 0
    dropped: int = 0
    """Events not taken, because too many waited or the disk took nothing."""
    delivered: int = 0
    failed_attempts: int = 0
    dead: int = 0
    """Events given up: dead letters, or lost ones with best_effort."""
    forgotten: int = 0
    """Dead letters that had to make room for newer ones."""
    pending: int = 0
    oldest: float = 0.0
    """When the oldest event that waits was published (Unix time); 0 for none."""

    bytes: int = 0
    """What the outbox's file holds."""

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest event that waits was published; 0 when none does."""
        return max(0.0, clock.now() - self.oldest) if self.oldest and self.pending else 0.0
