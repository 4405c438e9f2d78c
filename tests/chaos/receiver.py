"""The receiver of webhooks: `python -m tests.chaos.receiver ADDRESS PORT`."""

from __future__ import annotations

from .party import note, orders

# isort: split
import sys

from tests.support.receiver import Received, Receiver


class Noting(Receiver):
    """Notes what got its whole answer."""

    def _take(self, request: Received) -> None:
        note("hook", "event", event=request.event)


if __name__ == "__main__":
    receiver = Noting(int(sys.argv[2]), sys.argv[1])
    note("hook", "listening")
    for _ in orders():
        pass
    receiver.stop()
