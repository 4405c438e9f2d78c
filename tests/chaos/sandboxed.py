"""A sandbox as a process at an address of its own: `python -m tests.chaos.sandboxed ADDRESS PORT`."""

from __future__ import annotations

from .party import note, orders

# isort: split
import sys

from vsi_esl.sandbox import SandboxSwitch

HEARTBEAT_S = 1.0


def main(address: str, port: int) -> None:
    switch = SandboxSwitch(address, port, heartbeat_s=HEARTBEAT_S)
    switch.start()
    note("sandbox", "listening")
    for _ in orders():
        pass
    switch.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
