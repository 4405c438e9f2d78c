"""The file of call detail records. It is opened for each batch: whoever moves it away, or empties it, need
tell nobody. Runs in a thread of its own.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

import orjson

from .records import COLUMNS, Record
from .settings import CSV

MODE = 0o640
TAIL = 16 << 20
"""So much of a file's end is searched for records; what was written last is less."""
MOVED = 3
"""So many files whose names begin as the record file's are searched: it, and where it was moved."""
LONGEST_LINE = 1 << 16

FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20]")
"""How a text begins that a spreadsheet would take for a formula; the last four are = + - @ in full width."""
PLAIN_NUMBER = re.compile(r"\+[0-9]{1,20}\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


if sys.platform == "linux":
    _sync = os.fdatasync
else:
    _sync = os.fsync


def append(path: str, format: str, records: Sequence[Record]) -> None:
    """Append these, all or none, and have them on disk. Raises OSError, with the file as it was."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(path, flags, MODE)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # another service may write to it as well
        size = _whole_lines(file)
        data = rendered(format, records, header=size == 0)
        try:
            written = os.write(file, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _sync(file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, size)
            raise
    finally:
        os.close(file)


def rendered(format: str, records: Iterable[Record], *, header: bool) -> bytes:
    """Records as the file has them; a header is only that of CSV."""
    if format != CSV:
        return b"".join(orjson.dumps(record) + b"\n" for record in records)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(record.get(name)) for name in COLUMNS])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return orjson.dumps(value).decode()
    return harmless(value) if isinstance(value, str) else str(value)


def harmless(text: str) -> str:
    """On one line, and nothing that a spreadsheet would work out: callers choose some of these texts.

    A number such as +4930123 stays as it is: made of digits alone it cannot do anything.
    """
    text = CONTROL.sub(" ", text)
    return f"'{text}" if FORMULA.match(text) and not PLAIN_NUMBER.match(text) else text


def written_already(path: str, ids: Iterable[str]) -> set[str]:
    """Which of these legs have their record at the end of the file, or of one that it was moved to lately."""
    wanted = {one.encode(): one for one in ids}
    found: set[str] = set()
    for name in _candidates(path) if wanted else ():
        with suppress(OSError), open(name, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            for line in file:
                if (leg_id := wanted.get(_id_of(line))) is not None:
                    found.add(leg_id)
    return found


def _id_of(line: bytes) -> bytes:
    if not line.startswith(b"{"):
        return line.partition(b",")[0]
    try:
        return str(orjson.loads(line).get("leg_id")).encode()
    except ValueError:
        return b""


def _candidates(path: str) -> list[str]:
    directory, base = os.path.split(os.path.abspath(path))
    found: list[tuple[int, str]] = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(base) and entry.is_file():
                found.append((entry.stat().st_mtime_ns, entry.path))
    return [name for _, name in sorted(found, reverse=True)[:MOVED]]


def _whole_lines(file: int) -> int:
    """The size of the file, without the rest of a line that was being written when the machine stopped."""
    size = os.fstat(file).st_size
    if not size:
        return 0
    start = max(0, size - LONGEST_LINE)
    tail = os.pread(file, LONGEST_LINE, start)
    if tail.endswith(b"\n"):
        return size
    whole = tail.rfind(b"\n") + 1
    if not whole and start:
        raise OSError(errno.EINVAL, "no file of records: it ends in a line longer than any")
    os.ftruncate(file, start + whole)
    return start + whole
