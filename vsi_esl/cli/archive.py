"""The state as one file: a tar with the databases, a manifest and checksums. Also of a service that runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any

from .. import __version__
from ..delivery.webhooks.outbox import Changes, Outbox
from ..delivery.webhooks.write_ahead import WriteAhead
from ..ops import privacy
from ..storage.database import ExclusiveLock, StateError
from ..storage.state import StateStore
from ..storage.thread import StorageThread
from .statefiles import StateFile

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 1 << 20
BLOCK = 1 << 20
STOP_S = 5.0
BESIDE = ("", "-wal", "-shm")
URLS = ("url", "webhook_url")
URL = re.compile(r"^((?:https?|wss?)://)(?:[^/@]*@)?([^/?#]*).*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive."""

    name: str
    what: str
    schema: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    version: str
    made_at: str
    secrets: bool
    files: list[Entry]


def export(files: list[StateFile], target: str, *, secrets: bool, replace: bool) -> Manifest:
    """Write these, as they are at one moment each, to `target`, which only its owner may read.

    Without `secrets` those of webhooks, uploads and providers are left out, and of URLs all but the host: to
    be looked at, not to be brought in again. Raises OSError, sqlite3.Error or StateError; nothing is written
    then.
    """
    if os.path.exists(target) and not replace:
        raise StateError(f"{target} is there already (--force replaces it)")
    directory = os.path.dirname(os.path.abspath(target))
    with tempfile.TemporaryDirectory(prefix=".vsi-esl-export-", dir=directory) as work:
        entries = []
        for one in files:
            path = os.path.join(work, one.name)
            _copy(one, path)
            _take_over(one, path)
            _finish(path, secrets)
            entries.append(Entry(one.name, one.what, one.schema, os.path.getsize(path), _sha256(path)))
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        manifest = Manifest(FORMAT, __version__, made_at, secrets, entries)
        whole = os.path.join(work, "archive")
        with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            with tarfile.open(fileobj=out, mode="w") as tar:
                text = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
                tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
                for entry in entries:
                    with open(os.path.join(work, entry.name), "rb") as source:
                        tar.addfile(_member(entry.name, entry.bytes), source)
            out.flush()
            os.fsync(out.fileno())
        os.replace(whole, target)
    return manifest


def _copy(one: StateFile, path: str) -> None:
    """What is on its way goes first: whatever of it is taken over meanwhile is in the database then."""
    for number, segment in enumerate(one.segments, 1):
        try:
            with open(segment, "rb") as source:
                text = source.read()
        except FileNotFoundError:
            continue
        whole = text[: text.rfind(b"\n") + 1]  # the service may be writing the rest
        recent = os.path.basename(one.recent).removeprefix(os.path.basename(one.path))
        with open(f"{path}{recent}.{number}", "wb", opener=_private) as copy:
            copy.write(whole)
    with open(path, "xb", opener=_private):
        pass
    with one.read() as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)


def _take_over(one: StateFile, path: str) -> None:
    """Have in the copy of the database what was on its way there, as a start of the service does it."""
    if one.what == "state":
        thread = StorageThread()
        try:
            StateStore(path, thread).close()
        finally:
            thread.stop(STOP_S)
    elif one.what == "webhook outbox":
        outbox, ahead = Outbox(path), WriteAhead(path)
        try:
            outbox.write(Changes(added=list(ahead.recover())))
            ahead.close(outbox.taken)
        finally:
            outbox.close()


def _finish(path: str, secrets: bool) -> None:
    """One file, without what is to be left out."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if not secrets:
            _without_secrets(db)
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")  # what was deleted or left out is not to be in unused pages either


def _without_secrets(db: sqlite3.Connection) -> None:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for column in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]:
            if privacy.private(column):
                db.execute(f"UPDATE {table} SET {column} = ''")  # noqa: S608
            elif column in URLS:
                urls = db.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()  # noqa: S608
                changes = [(_host_only(url), url) for (url,) in urls]
                db.executemany(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", changes)  # noqa: S608
    if "items" in tables:
        for kind, id, body in db.execute("SELECT kind, id, body FROM items").fetchall():
            bare = json.dumps(_bare(json.loads(body)))
            db.execute("UPDATE items SET body = ? WHERE kind = ? AND id = ?", (bare, kind, id))


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "" if isinstance(inner, str) and privacy.private(name) else _bare(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    return _host_only(value) if isinstance(value, str) else value


def _host_only(url: str) -> str:
    """Of a URL scheme and host; all other text as it is. A path may be a secret as well."""
    return URL.sub(r"\1\2/", url)


def bring_in(files: list[StateFile], source: str, *, replace: bool) -> tuple[Manifest, list[str]]:
    """Put what is in an archive where these files belong; with `replace` what is there is moved aside first.

    The manifest, and the files that were moved aside. Raises StateError, with nothing changed, for an archive
    that is none or not whole, for files that a service has, and for files that are there.
    """
    with ExitStack() as opened:
        try:
            tar = opened.enter_context(tarfile.open(source, "r:"))
            manifest = _manifest(tar)
        except (tarfile.TarError, ValueError, TypeError, LookupError) as error:
            raise StateError(f"{source} is no archive of a state: {error}") from error
        if not manifest.secrets:
            raise StateError(f"{source} was made without secrets: a service cannot go on with it")
        for one in files:
            if not one.cache:
                lock = ExclusiveLock(one.path, one.what)
                opened.callback(lock.release)
        by_name = {one.name: one for one in files}
        if unknown := [entry.name for entry in manifest.files if entry.name not in by_name]:
            raise StateError(f"{source}: the settings have no place for {', '.join(unknown)}")
        targets = [by_name[entry.name] for entry in manifest.files]
        there = [path for one in targets for path in _all_of(one)]
        if there and not replace:
            raise StateError(f"{there[0]} is there already (--force moves it aside)")
        made = []
        for entry, one in zip(manifest.files, targets, strict=True):
            made.append(opened.enter_context(_unpacked(tar, entry, one)))
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        moved = []
        for one in targets:
            for path in _all_of(one):
                # a database and what belongs to it keep names that go together
                aside = f"{one.path}.before-import-{stamp}{path.removeprefix(one.path)}"
                os.rename(path, aside)
                moved.append(aside)
        for path, one in zip(made, targets, strict=True):
            os.replace(path, one.path)
    return manifest, moved


def _all_of(one: StateFile) -> list[str]:
    """What there is of a database. Its lock is not: it stays."""
    return [path for path in (*(one.path + end for end in BESIDE), *one.segments) if os.path.exists(path)]


def _manifest(tar: tarfile.TarFile) -> Manifest:
    """ValueError, TypeError or LookupError for what is no manifest."""
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST:
        raise ValueError("it does not begin with a manifest")
    body = json.loads(_content(tar, first).read())
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']}, of another version of vsi_esl")
    return Manifest(**{**body, "files": [Entry(**entry) for entry in body["files"]]})


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file


@contextmanager
def _unpacked(tar: tarfile.TarFile, entry: Entry, one: StateFile) -> Iterator[str]:
    """A file of the archive beside where it belongs, looked at; gone again if it is not taken."""
    if entry.schema > one.schema:
        newer = f"schema {entry.schema}, of a newer vsi_esl; this one has {one.schema}"
        raise StateError(f"{entry.name}: {newer}")
    directory = os.path.dirname(os.path.abspath(one.path))
    handle, path = tempfile.mkstemp(prefix=f".{entry.name}-", dir=directory)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as out:
            try:
                source = _content(tar, tar.getmember(entry.name))
                left = entry.bytes
                while left and (block := source.read(min(BLOCK, left))):
                    out.write(block)
                    left -= len(block)
            except (KeyError, ValueError, tarfile.TarError) as error:
                raise StateError(f"{entry.name} is not in the archive: {error}") from error
            out.flush()
            os.fsync(out.fileno())
        if _sha256(path) != entry.sha256:
            raise StateError(f"{entry.name}: the checksum is not that of the manifest")
        try:
            with closing(sqlite3.connect(path)) as db:
                sound = [row[0] for row in db.execute("PRAGMA integrity_check(1)")] == ["ok"]
        except sqlite3.Error as error:
            raise StateError(f"{entry.name}: {error}") from error
        if not sound:
            raise StateError(f"{entry.name}: not sound")
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
