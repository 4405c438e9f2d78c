"""Places that can only reach each other by a network of the run's own: network namespaces, and one program
that carries the packets between them.

The program is the cable. It cuts, loses, delays and throttles what passes between any two places, and needs
no module of the kernel but tun: netem is not in every kernel.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
NETWORK = "10.77.0"
DEVICE = "chaos0"
MTU = 9000
"""Fewer packets: each is two system calls of one program."""
_libc = ctypes.CDLL(None, use_errno=True)


class Unable(Exception):
    """This machine cannot do it, and why."""


class Place:
    """A network namespace with one address."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        _run("ip", "netns", "add", name)
        with inside(name):
            self.tun = tun()
        for arguments in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{self.address}/24", "dev", DEVICE),
            ("link", "set", DEVICE, "mtu", str(MTU), "up"),
        ):
            _run("ip", "-n", name, *arguments)

    def command(self, *arguments: str) -> list[str]:
        """The command that runs a program there."""
        return ["nsenter", f"--net={_path(self.name)}", "--", *arguments]


def inside(name: str) -> AbstractContextManager[None]:
    """As `within`, for a namespace by its name."""
    return within(_path(name))


@contextmanager
def within(path: str) -> Iterator[None]:
    """What this thread opens meanwhile is in the namespace, and stays there."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(here)
        os.close(here)
        os.close(there)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _path(name: str) -> str:
    return f"/run/netns/{name}"


def tun() -> int:
    """The far end of a device that this makes in the namespace where the thread is."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(f"{' '.join(command)}: {done.stderr.strip()}")
