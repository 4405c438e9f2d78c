"""Events kept for clients that reconnect."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent.monkey
import pytest

from tests.support.fulldisk import full_disk
from vsi_esl.delivery import history as histories
from vsi_esl.delivery.blocks import Blocks
from vsi_esl.delivery.history import BLOCK_EVENTS, CURSOR_STEP, History
from vsi_esl.events.base import Event
from vsi_esl.storage import segments
from vsi_esl.storage.database import StateError
from vsi_esl.storage.thread import StorageThread

get_ident = gevent.monkey.get_original("_thread", "get_ident")

MANY = 256 << 20


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "events.sqlite3")


Opener = Callable[..., History]


@pytest.fixture
def opened(path: str, thread: StorageThread) -> Iterator[Opener]:
    """Opens the history at the path, or another."""
    made: list[History] = []

    def open_history(
        max_events: int = 10_000, max_age: float = 3600, max_bytes: int = MANY, at: str = path
    ) -> History:
        made.append(History(at, max_events, max_age, max_bytes, thread))
        return made[-1]

    yield open_history
    for one in made:
        one.abandon()


def fill(history: History, count: int, size: int = 0) -> list[str]:
    """The ids of so many new events."""
    ids = []
    for number in range(count):
        ids.append(history.next_id())
        history.keep(Event(app_id=f"a{number % 2}"), ids[-1], str(number).zfill(size).encode())
    return ids


def read(history: History, cursor: int) -> tuple[int, list[bytes]]:
    """How many events after a cursor are gone, and those that are not."""
    lost, frames = 0, []
    while page := history.after(cursor):
        assert len(page.events) <= BLOCK_EVENTS
        assert page.last > cursor
        cursor, lost = page.last, lost + page.lost
        frames += [kept.frame for kept in page.events]
    return lost, frames


def select(path: str, query: str) -> list[tuple[Any, ...]]:
    """What another process sees in the file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def cursor_of(history: History, event_id: str) -> int:
    cursor = history.cursor_of(event_id)
    assert cursor is not None
    return cursor


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]


@pytest.mark.parametrize("written", [False, True])
def test_what_follows_an_event(opened, written):
    history = opened()
    count = 5 * BLOCK_EVENTS // 2
    ids = fill(history, count)
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(one).version == 8 for one in ids)
    assert ids == sorted(ids)
    if written:
        history.flush()
    cursor = cursor_of(history, ids[4])
    assert read(history, cursor) == (0, numbers(5, count))
    assert history.after(history.newest) is None
    page = history.after(cursor)
    assert page is not None
    assert page.events[0].app_id == "a1"


def test_small_writes_become_full_blocks(opened, path):
    history = opened()
    for _ in range(BLOCK_EVENTS // 10 + 2):
        fill(history, 10)
        history.flush()
    history.abandon()
    rows = select(path, "SELECT frames FROM blocks ORDER BY last")
    counts = [frames.count(b"\n") + 1 for (frames,) in rows]
    assert counts == [BLOCK_EVENTS, 4, 10]
    again = opened()
    assert read(again, 0)[1] == [str(number).encode() for number in range(10)] * (BLOCK_EVENTS // 10 + 2)


def test_more_than_is_kept(opened):
    history = opened(100)
    ids = fill(history, 250)
    assert read(history, cursor_of(history, ids[9])) == (140, numbers(150, 250))
    history.flush()
    fill(history, 1000)
    history.flush()
    assert read(history, cursor_of(history, ids[9])) == (1140, numbers(900, 1000))


def test_older_than_is_kept(opened):
    history = opened(100, 1e-9)
    ids = fill(history, 20)
    assert read(history, cursor_of(history, ids[9])) == (10, [])


def test_more_bytes_than_are_kept(opened, path):
    """The file stops growing, whatever the number of events says."""
    history = opened(100_000, max_bytes=1 << 20)
    ids, sizes = [], []
    for _ in range(40):
        ids += fill(history, 100, size=2000)
        history.flush()
        sizes.append(os.path.getsize(path))
    assert 1 << 20 <= sizes[-1] < 2 << 20
    assert sizes[-1] == sizes[20]
    lost, frames = read(history, cursor_of(history, ids[0]))
    assert lost + len(frames) == len(ids) - 1
    assert 300 <= len(frames) <= 600


def test_what_is_too_old_goes_in_small_steps(opened, path):
    history = opened(100_000)
    fill(history, 40 * BLOCK_EVENTS)
    history.flush()

    def left() -> int:
        return select(path, "SELECT COUNT(*) FROM blocks")[0][0]

    assert left() == 40
    history._max_events = 10
    steps = []
    while not steps or steps[-1] > 1:
        history.flush()
        steps.append(left())
    assert steps == [32, 24, 16, 8, 1]


def test_over_a_restart(opened):
    history = opened(100)
    ids = fill(history, 20)
    history.close()
    history = opened(100)
    more = fill(history, 5)
    assert read(history, cursor_of(history, ids[17])) == (0, [b"18", b"19", *numbers(0, 5)])
    assert more[0] > ids[-1]


def test_over_a_crash(opened):
    history = opened(5)
    ids = fill(history, 20)
    history.flush()
    lost = fill(history, 3)  # not written when it ends
    history.abandon()
    crashed = opened(5)
    more = fill(crashed, 12)
    for event_id, gone in ((ids[19], 10), (lost[0], 9)):
        assert read(crashed, cursor_of(crashed, event_id)) == (gone, numbers(7, 12))
    assert more[0] > lost[-1]
    assert crashed.newest > CURSOR_STEP


def test_what_was_told_and_not_written_is_there_after_a_crash(opened, path):
    """A client has seen it; one that was away is to have it as well."""
    history = opened()
    ids = fill(history, 20)
    history.flush()
    fill(history, 3)
    history.abandon()
    second = opened()
    fill(second, 2)
    second.abandon()
    opened().abandon()  # one that tells nothing, and writes nothing
    again = opened()
    assert read(again, cursor_of(again, ids[18])) == (0, [b"19", *numbers(0, 3), *numbers(0, 2)])
    fill(again, 2)
    again.close()
    assert [name for name in os.listdir(os.path.dirname(path)) if ".recent" in name] == []
    assert read(opened(), cursor_of(again, ids[18])) == (
        0,
        [b"19", *numbers(0, 3), *numbers(0, 2), *numbers(0, 2)],
    )


def test_what_was_on_its_way_into_another_file_is_not_told(opened, path):
    history = opened()
    ids = fill(history, 3)
    history.abandon()
    os.unlink(path)
    again = opened()
    fill(again, 2)
    assert (again.cursor_of(ids[0]), read(again, 0)) == (None, (0, numbers(0, 2)))


def test_what_is_beside_the_file_is_no_more_than_what_is_in_memory(opened, path, monkeypatch):
    monkeypatch.setattr(histories, "MAX_UNWRITTEN", 500)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 10_000)
    history = opened()
    history._file._db.execute("PRAGMA max_page_count = 1")
    for _ in range(20):
        fill(history, 500, size=100)
        history.flush()
    there = [one for one in Path(path).parent.iterdir() if ".recent" in one.name]
    assert sum(one.stat().st_size for one in there) < 150_000


OTHERS = "6d4d5c2e-0f5b-4b8e-9a53-1c5f0e7a9d11"


@pytest.mark.parametrize("event_id", ["", "x", OTHERS, str(uuid.UUID(int=2**128 - 1))])
def test_ids_of_elsewhere(opened, event_id):
    history = opened()
    fill(history, 3)
    assert history.cursor_of(event_id) is None


def test_another_file_does_not_know_the_ids(opened, tmp_path):
    history, other = opened(), opened(at=str(tmp_path / "other"))
    fill(other, 10)
    assert other.cursor_of(fill(history, 1)[0]) is None


def test_nothing_is_kept_when_nothing_is_to_be(opened):
    history = opened(0)
    ids = fill(history, 3)
    assert read(history, 0) == (3, [])
    assert read(history, cursor_of(history, ids[1])) == (1, [])
    assert history.after(history.newest) is None


def test_the_event_loop_does_nothing_in_the_file(opened):
    """Reading, writing and pruning are done in the storage thread."""
    history = opened(1000)
    seen: set[int] = set()
    history._file._db.set_trace_callback(lambda _: seen.add(get_ident()))
    fill(history, 10 * BLOCK_EVENTS)
    history.flush()
    history.flush()
    assert read(history, 0)[1]
    history.close()
    assert len(seen) == 1
    assert get_ident() not in seen


def test_a_locked_file_loses_nothing(opened, path, monkeypatch):
    """What cannot be written waits in memory, where it is read."""
    monkeypatch.setattr(histories, "RETRY_S", 0.01)
    history = opened()
    history._file._db.execute("PRAGMA busy_timeout = 10")
    ids = fill(history, 5)
    history.flush()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    fill(history, 1000)
    history.flush()
    assert read(history, cursor_of(history, ids[4])) == (0, numbers(0, 1000))
    other.close()
    history.flush()
    history.close()
    assert read(opened(), cursor_of(history, ids[4])) == (0, numbers(0, 1000))


def test_a_disk_that_takes_nothing_for_long(opened, path, monkeypatch):
    """Memory has a bound; what had to go is told."""
    monkeypatch.setattr(histories, "MAX_UNWRITTEN", 500)
    history = opened()
    history._file._db.execute("PRAGMA max_page_count = 1")  # "database or disk is full"
    ids = fill(history, 2000, size=100)
    history.flush()
    lost, frames = read(history, cursor_of(history, ids[0]))
    assert len(frames) <= 500
    assert lost + len(frames) == 1999
    assert (history.failing, history.lost, history.waiting) == (True, 2000 - len(frames), len(frames))
    history._file._db.execute("PRAGMA max_page_count = 1000000")
    history.flush()
    assert read(history, cursor_of(history, ids[0])) == (lost, frames)
    assert (history.failing, history.waiting) == (False, 0)


@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_is_full_at_the_start_is_no_reason_to_begin_anew(opened, path, killed, caplog):
    """What is there is well, and is there when the disk has room again."""
    history = opened()
    ids = fill(history, 10)
    history.abandon() if killed else history.close()
    with full_disk(), pytest.raises(StateError, match=r"events\.sqlite3.*(full|disk I/O error)"):
        opened()
    assert not caplog.records
    again = opened()
    assert read(again, again.cursor_of(ids[3]) or 0) == (0, numbers(4, 10))
    assert again.next_id() > ids[-1]


@pytest.mark.parametrize("what", ["locked", "disk I/O error"])
def test_a_file_that_cannot_be_opened_for_now_is_not_begun_anew(opened, path, what, monkeypatch, caplog):
    history = opened()
    ids = fill(history, 3)
    history.close()

    def fail(self: Blocks) -> None:
        error = sqlite3.OperationalError(what)
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY if what == "locked" else sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Blocks, "_read_known", fail)
        with pytest.raises(StateError, match=what):
            opened()
    assert not caplog.records
    again = opened()
    assert read(again, again.cursor_of(ids[0]) or 0) == (0, numbers(1, 3))


def torn(path: str) -> None:
    with open(path, "r+b") as file:
        file.truncate(5000)


def foreign(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"certainly no database\n" * 500)


def another_schema(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 77")
    db.commit()
    db.close()


def other_tables(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE blocks")
    db.commit()
    db.close()


@pytest.mark.parametrize("damage", [torn, foreign, another_schema, other_tables])
def test_a_file_that_cannot_be_read_is_put_aside(opened, path, damage, caplog):
    history = opened()
    ids = fill(history, 10)
    history.close()
    damage(path)
    again = opened()
    assert [one.msg["event"] for one in caplog.records] == ["event history cannot be read; begun anew"]
    assert os.path.exists(f"{path}.unreadable")
    assert again.cursor_of(ids[3]) is None
    fill(again, 3)
    again.flush()
    assert read(again, 0) == (0, numbers(0, 3))


def test_a_file_that_is_damaged_while_it_is_used(opened, path):
    """What was in it is told as dropped, ids keep their meaning, and it goes on in a new file."""
    history = opened()
    ids = fill(history, 4 * BLOCK_EVENTS)
    history.flush()
    history._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    history._file._db.execute("PRAGMA cache_size = 0")
    lost, frames = read(history, cursor_of(history, ids[0]))
    assert (lost, frames) == (4 * BLOCK_EVENTS - 1, [])
    fill(history, 5)
    history.flush()
    history.close()
    again = opened()
    assert read(again, cursor_of(again, ids[-1])) == (0, numbers(0, 5))


def test_where_there_can_be_no_file(opened):
    with pytest.raises(StateError):
        opened(at="/proc/none/events.sqlite3")


def test_a_history_of_the_version_before_is_told_as_dropped(opened, path):
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE events (cursor INTEGER PRIMARY KEY, at REAL NOT NULL, app_id TEXT NOT NULL,"
        " frame BLOB NOT NULL) STRICT;"
        "CREATE TABLE epoch (value INTEGER NOT NULL, reserved INTEGER NOT NULL, closed INTEGER NOT NULL)"
        " STRICT;"
        "CREATE TABLE gaps (first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;"
        "INSERT INTO epoch VALUES (7, 30, 1); PRAGMA user_version = 1;"
    )
    db.execute("INSERT INTO events VALUES (30, ?, '', ?)", (time.time(), b"x"))
    db.commit()
    db.close()
    history = opened()
    fill(history, 2)
    assert read(history, 20) == (10, numbers(0, 2))


def test_a_file_that_cannot_be_begun_anew_at_once_is_later(opened, path, monkeypatch):
    """It was damaged, and for a while there is no room for another one either."""
    history = opened()
    fill(history, 3)
    history.flush()
    open_file, refusals = Blocks._open, [StateError("no room")] * 2

    def refuse(blocks: Blocks) -> sqlite3.Connection:
        if refusals:
            raise refusals.pop()
        return open_file(blocks)

    monkeypatch.setattr(Blocks, "_open", refuse)
    history._file._db.close()  # which SQLite takes for an error that does not pass
    for _ in range(3):
        fill(history, 1)
        history.flush()
    assert not refusals
    assert select(path, "SELECT COUNT(*) FROM blocks") == [(1,)]
    assert read(history, 0)[1] == [b"0", b"1", b"2", b"0", b"0", b"0"]
