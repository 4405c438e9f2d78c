"""Directories that the service and the switch share: made for both of them, and for nobody else.

The switch usually runs as a user of its own. What it writes belongs to it, and the group is inherited from
the directory (setgid), so both have to be in that group. What goes through a directory of a third user can be
replaced or read by that user.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator

import structlog

log = structlog.get_logger(__name__)

MODE = 0o2770
"""For the owner and the group, which the files in it inherit."""
FILE_MODE = 0o640
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (named to be warned of)
MOUNTS = "/proc/self/mounts"
OTHERS = 0o007


def make(path: str) -> None:
    """Make a directory, if it is not there. OSError when that cannot be. For several threads at once."""
    if os.path.isdir(path):
        return
    try:
        os.makedirs(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        os.chmod(path, MODE)


def warn(directory: str) -> None:
    """Log what is wrong with where a directory is."""
    for risk in risks(directory):
        log.warning("directory at risk", directory=directory, reason=risk)


def risks(path: str) -> list[str]:
    """What is wrong with where a directory is, and with whom it belongs to; empty when nothing is, or when it
    does not exist and its parents are good."""
    path = os.path.realpath(path)
    found = list(_place(path))
    if os.path.isdir(path):
        status = os.stat(path)
        if status.st_mode & OTHERS:
            found.append(f"everybody can get into it (mode {stat.S_IMODE(status.st_mode):04o})")
    found += _strangers(path)
    return found


def _place(path: str) -> Iterator[str]:
    for shared in SHARED:
        if path == shared or path.startswith(f"{shared}/"):
            yield f"it is below {shared}, where everybody can make files and old ones are removed"
    if _file_system(path) in ("tmpfs", "ramfs"):
        yield "it is in memory (tmpfs), and gone when the machine is restarted"


def _file_system(path: str) -> str:
    """The type of the file system a path is on; empty when that is not known."""
    best, kind = "", ""
    try:
        with open(MOUNTS) as file:
            mounts = [line.split(" ")[1:3] for line in file]
    except OSError:
        return ""
    for point, of in mounts:
        inside = point in ("/", path) or path.startswith(f"{point}/")
        if inside and len(point) >= len(best):
            best, kind = point, of
    return kind


def _strangers(path: str) -> Iterator[str]:
    """The path and those above it that belong to somebody who is neither root nor the service."""
    known = (0, os.geteuid(), _service())
    above = path
    while True:
        try:
            owner = os.stat(above).st_uid
        except OSError:
            owner = 0
        if owner not in known:
            yield f"{above} belongs to {_name(owner)}, who can replace what is in it"
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)


def _service() -> int:
    """Who runs it. Root that looks for it (`doctor`) does not: that is whoever has its state directory."""
    directory = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    try:
        return os.stat(directory).st_uid if directory and os.geteuid() == 0 else os.geteuid()
    except OSError:
        return os.geteuid()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
