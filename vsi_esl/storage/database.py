"""The service's own SQLite files: how each is opened, and that only one service has it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Mapping

MEMORY = ":memory:"
"""The path of a database that is no file."""
BUSY_TIMEOUT_S = 2.0


PASSING = {
    getattr(sqlite3, f"SQLITE_{name}")
    for name in "FULL BUSY LOCKED NOMEM PERM READONLY CANTOPEN IOERR".split()
}
"""What SQLite says of the disk, or of who else has the file, and not of what is in it (its result codes)."""
UNREADABLE = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}


class StateError(Exception):
    """A file of the service's own cannot be used; the message says which and why."""


class StateUnavailable(StateError):
    """It cannot be used for now: the disk is full, another has it, it is not ours to write. What is in it may
    be well."""


def passing(error: sqlite3.Error) -> bool:
    """Whether another attempt may do, on the same file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in PASSING and code not in UNREADABLE


def open_database(
    path: str,
    called: str,
    version: int,
    schema: str,
    *,
    older: Mapping[int, str] | None = None,
    busy_timeout: float = BUSY_TIMEOUT_S,
) -> sqlite3.Connection:
    """The database at `path`, made with `schema` when it is new; `called` so in errors.

    It commits each statement unless a transaction is begun, keeps a write-ahead log, and is readable to its
    owner only: these files hold webhook secrets, and what callers dialled. `older` maps an older version to
    the SQL that makes it this one. Seconds in `busy_timeout`. Raises StateError, and StateUnavailable where
    another attempt may do.
    """
    try:
        if path != MEMORY:
            _make_private(path)
        db = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            (found,) = db.execute("PRAGMA user_version").fetchone()
            change = schema if found == 0 else (older or {}).get(found)
            if change is not None:
                db.executescript(f"BEGIN; {change} PRAGMA user_version = {version}; COMMIT;")
            elif found != version:
                raise StateError(f"{path}: written by another version of vsi_esl (schema {found})")
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        kind = StateUnavailable if isinstance(error, OSError) or passing(error) else StateError
        raise kind(f"cannot open the {called} {path}: {error}") from error
    return db


class ExclusiveLock:
    """The right to `path`, `called` so in errors, until `release` or the end of the process (flock(2)).

    Two services on the same files would each answer for the calls, and send everything twice. The lock is
    on a file beside it, `path` + `.lock`, which stays. In memory there is nothing to be alone on.
    Raises StateError when another process has it, or the file cannot be made.
    """

    def __init__(self, path: str, called: str) -> None:
        self._file, self._released = -1, False
        if path == MEMORY:
            return
        try:
            _make_private(f"{path}.lock")
            file = os.open(f"{path}.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StateError(f"cannot open the {called} {path}: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise StateError(f"the {called} {path} is in use by another vsi_esl") from None
        self._file = file

    @property
    def held(self) -> bool:
        """Whether it is not released yet."""
        return not self._released

    def release(self) -> None:
        """Let the next one have it. What is released stays so."""
        self._released = True
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _make_private(path: str) -> None:
    """Have a file there that is its owner's only, from the start, and was never anyone else's."""
    # the switch has to get through it, to recordings and spool
    os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o711, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    os.chmod(path, 0o600)
