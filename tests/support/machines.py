"""Two machines on one: each with a network and mounts of its own, connected by a cable that can be bad.

What one of them has in its home the other cannot see, nor reach what listens on the loopback of the other.
The tests are on the first, as everybody else is who is not the switch. Nothing has a name on the machine, and
all of it ends with the programs that hold it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.places import DEVICE, within
from tests.chaos.places import tun as made

NETWORK = "10.78.0"
NEEDED = ("ip", "nsenter", "unshare", "mount")
HELD = """
set -e
ip link set lo up
for hidden; do mount -t tmpfs none "$hidden"; done
echo held
cat
"""


def unable() -> str:
    """Why there cannot be machines here; empty when there can."""
    if os.geteuid():
        return "needs root, for namespaces"
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)}"
    trial = "ip tuntap add a mode tun && mount -t tmpfs none /mnt"
    command = ["unshare", "--net", "--mount", "sh", "-c", trial]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"no namespaces, mounts or tun here: {done.stderr.strip()}" if done.returncode else ""


class Machine:
    """One of them. `home` is a directory for its files, `hidden` are those of the others."""

    def __init__(self, number: int, home: Path, *hidden: Path) -> None:
        self.address = f"{NETWORK}.{number}"
        self.home = home
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", HELD, "sh", *map(str, hidden)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"held\n"
        with within(self.network):
            self.tun = made()
            for arguments in (
                ("addr", "add", f"{self.address}/24", "dev", DEVICE),
                ("link", "set", DEVICE, "up"),
                ("route", "add", "default", "dev", DEVICE),  # where browsers look for an address
            ):
                subprocess.run(["ip", *arguments], check=True)

    @property
    def network(self) -> str:
        """The file that stands for its network."""
        return f"/proc/{self._holder.pid}/ns/net"

    @property
    def there(self) -> list[str]:
        """The command that has programs run on it."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--"]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.there, *command], capture_output=True, text=True, check=False)

    def end(self) -> None:
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait(20)
        os.close(self.tun)


class Machines:
    """The two, and the cable between them."""

    def __init__(self, directory: Path) -> None:
        homes = [directory / "service", directory / "switch"]
        for home in homes:
            home.mkdir()
        self.service = Machine(1, homes[0], homes[1])
        self.switch = Machine(2, homes[1], homes[0])
        both = (self.service, self.switch)
        self._cable = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.cable", "1", *(f"{one.address}={one.tun}" for one in both)],
            stdin=subprocess.PIPE,
            pass_fds=[one.tun for one in both],
            cwd=Path(__file__).parents[2],
        )

    def line(self, **how: Any) -> None:
        """What the cable is like from now on, both ways: `cut`, `loss` (a share), `delay` (seconds each way)
        and `rate` (bytes a second); nothing of that when it is not named."""
        order = {"between": [self.service.address, self.switch.address], **how}
        assert self._cable.stdin is not None
        self._cable.stdin.write(json.dumps(order).encode() + b"\n")
        self._cable.stdin.flush()

    def end(self) -> None:
        assert self._cable.stdin is not None
        self._cable.stdin.close()
        self._cable.wait(20)
        for one in (self.service, self.switch):
            one.end()


@contextmanager
def machines(directory: Path) -> Iterator[Machines]:
    """Two of them. This thread is in the network of the service's meanwhile, with all that it opens."""
    both = Machines(directory)
    try:
        with within(both.service.network):
            yield both
    finally:
        both.end()
