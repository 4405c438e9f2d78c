"""`vsi-esl` with a wall clock that can be set: `python -m tests.chaos.stepped FILE serve ...`.

FILE has the seconds by which it is wrong, as a double; whoever writes there sets the clock.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

DOUBLE = struct.Struct("d")


def step(file: Path, by: float) -> None:
    """Set the clock of whoever uses this file: so many seconds from what it is."""
    before = DOUBLE.unpack(file.read_bytes())[0] if file.exists() else 0.0
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(DOUBLE.pack(before + by))  # one page, and less than a line of the cache: never half


def _patch(file: str) -> None:
    with open(file, "rb") as opened:
        page = mmap.mmap(opened.fileno(), DOUBLE.size, access=mmap.ACCESS_READ)
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + DOUBLE.unpack_from(page)[0]
    time.time_ns = lambda: wall_ns() + int(DOUBLE.unpack_from(page)[0] * 1e9)


if __name__ == "__main__":
    _patch(sys.argv[1])
    sys.argv[:] = ["vsi-esl", *sys.argv[2:]]
    from vsi_esl.__main__ import main

    main()
