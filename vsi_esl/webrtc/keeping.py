"""Connections that outlive the process: in the file descriptor store of systemd (sd_pid_notify_with_fds).

A unit with `FileDescriptorStoreMax=` has systemd keep them, whatever ends the process, and hand them to the
next one (sd_listen_fds). Without one, or without systemd, they end with the process.
"""

from __future__ import annotations

import os
from functools import cache

import structlog

from ..ops.systemd import Notifier, notifier

log = structlog.get_logger(__name__)

PREFIX = "verto-"
FIRST_FD = 3


class Keeper:
    """Where descriptors are kept, if anywhere."""

    def __init__(self, systemd: Notifier) -> None:
        self._systemd = systemd

    def __bool__(self) -> bool:
        return bool(self._systemd)

    def keep(self, name: str, fileno: int) -> bool:
        """Have this kept under the name; whether it could be told. systemd forgets it when the other side
        ends the connection."""
        return self._tell(f"FDSTORE=1\nFDNAME={PREFIX}{name}", fileno)

    def forget(self, name: str) -> None:
        """It is not needed any more."""
        self._tell(f"FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}")

    def _tell(self, text: str, fileno: int | None = None) -> bool:
        told = self._systemd.tell(text, fileno=fileno)
        if self._systemd and not told:
            log.warning("a connection could not be given to systemd to keep")
        return told


def keeper() -> Keeper:
    """That of this process."""
    return Keeper(notifier())


@cache
def inherited() -> dict[str, int]:
    """What the process before had kept, by its name. It is whoever's who takes it out."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count, names = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_FDNAMES", "").split(":")
    if not (count.isascii() and count.isdigit() and int(count) == len(names)):
        return {}
    found = {}
    for number, name in enumerate(names, FIRST_FD):
        if name.startswith(PREFIX):
            os.set_inheritable(number, False)
            found[name.removeprefix(PREFIX)] = number
    return found
