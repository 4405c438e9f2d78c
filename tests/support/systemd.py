"""What systemd is to a service of `Type=notify`: a socket that it tells things."""

from __future__ import annotations

import socket
from pathlib import Path

from .waiting import eventually


class NotifySocket:
    """`told` has the lines that came in, in order."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.told: list[str] = []

    def read(self) -> list[str]:
        """What came in since the last time."""
        new: list[str] = []
        while True:
            try:
                new += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                self.told += new
                return new

    def wait(self, start: str, timeout: float = 20.0) -> str:
        """Wait for a line that begins so, and forget it and all before it."""
        found: list[str] = []

        def came() -> bool:
            self.read()
            found[:] = [line for line in self.told if line.startswith(start)]
            return bool(found)

        eventually(came, f"systemd is told {start}", timeout)
        del self.told[: self.told.index(found[0]) + 1]
        return found[0]

    def close(self) -> None:
        self._socket.close()
