"""What a service tells the systemd that started it (sd_notify(3)), and what systemd handed to it."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """The way to systemd, if one started this process (`address` is its $NOTIFY_SOCKET, else empty)."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def __bool__(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str, fileno: int | None = None) -> bool:
        """Send lines such as READY=1, and a descriptor to be kept. Never waits; False when it did not go out,
        as when systemd is too busy to take it: to be told again."""
        if not self._address:
            return False
        with_it = []
        if fileno is not None:
            with_it = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fileno]))]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.setblocking(False)
            told.sendmsg(["\n".join(lines).encode()], with_it, 0, self._address)
            return True
        return False


def notifier(environ: Mapping[str, str] = os.environ) -> Notifier:
    """That of this process."""
    return Notifier(environ.get("NOTIFY_SOCKET", ""))


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float:
    """Seconds within which systemd has to be told WATCHDOG=1, again and again (sd_watchdog_enabled(3)); 0
    when it does not ask for that."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0


def reloading() -> tuple[str, str]:
    """The lines that begin a reload; READY=1 ends it."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
