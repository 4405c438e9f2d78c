"""What survives the process: the state database, and the files of changes that are not in it yet."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.monkey
import pytest

from tests.support.drivers import eventually
from vsi_esl import lasting
from vsi_esl.errors import StorageFailed
from vsi_esl.later import later
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import CONNECTED, Leg, Webhook
from vsi_esl.model.playback import Playback
from vsi_esl.model.recording import Part, Recording, Track
from vsi_esl.model.room import Room
from vsi_esl.storage import segments, tables
from vsi_esl.storage.database import StateError
from vsi_esl.storage.state import LegEnd, StateStore
from vsi_esl.storage.tables import Tables
from vsi_esl.storage.thread import StorageThread

get_ident = gevent.monkey.get_original("_thread", "get_ident")


def leg(**more: Any) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 1.0, "state": CONNECTED, **more})


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "deep" / "state.sqlite3")


Opener = Callable[[], StateStore]


@pytest.fixture
def opened(path: str, thread: StorageThread) -> Iterator[Opener]:
    made: list[StateStore] = []

    def open_store() -> StateStore:
        made.append(StateStore(path, thread))
        return made[-1]

    yield open_store
    for one in made:
        one.abandon()


def recent(path: str) -> list[str]:
    """The files of changes that are not known to be in the database."""
    directory, name = os.path.split(path)
    return [one for one in os.listdir(directory) if one.startswith(f"{name}.recent.")]


def test_what_sounds_is_kept_as_it_is(opened):
    recording = Recording("rec-1", "/r/ä.wav", 8000, "app", room_id="r", held=[[10, -1]])
    recording.parts.append(Part("/r/.p0", 20, 60))
    recording.tracks.append(Track("u1", 0, "/r/.t0", 5, held=[[1, 2]]))
    recording.opened.append(("u1", "/r/.t0"))
    recording.s3 = {"bucket": "b"}
    recording.locations["/r/ä.wav"] = "s3://b/ä.wav"
    playback = Playback("p1", "app", leg_id="u1", volume=-3, playing_since=1.25, total_ms=None)
    store = opened()
    store.save_item("recording", "rec-1", recording)
    store.save_item("playback", "p1", playback)
    store.close()
    store = opened()
    assert [Recording.from_dict(one) for one in store.items("recording")] == [recording]
    assert [Playback.from_dict(one) for one in store.items("playback")] == [playback]


@pytest.mark.parametrize("end", [StateStore.close, StateStore.abandon])
def test_state_survives(opened, path, end):
    store = opened()
    store.save_room(Room("a", 8000, "vsi-1", "app", Webhook("http://x", "s"), matrix={"a": ["b"]}))
    store.save_legs([leg(), leg(id="u2", webhook=Webhook("http://y")), leg(id="u3", ending="api_hangup")])
    store.save_legs([leg(answered_at=5.0)])
    store.save_end(leg(id="u4"), LegEnd({"reason": "remote_bye"}, {"mos": 4.3}))
    store.save_fact("core_uuid", "1")
    store.save_item("bridge", "a", {"id": "a"})
    store.save_item("playback", "a", {"id": "a"})
    store.forget_item("playback", "a")
    store.forget_leg("u2")
    store.forget_leg("nobody")
    end(store)
    assert bool(recent(path)) is (end is StateStore.abandon)
    for _ in range(2):
        store = opened()
        (room,) = store.rooms()
        assert (room.id, room.conference, room.sample_rate, room.webhook, room.matrix) == (
            "a",
            "vsi-1",
            8000,
            Webhook("http://x", "s"),
            {"a": ["b"]},
        )
        legs = store.legs()
        assert list(legs) == ["u1", "u3", "u4"]
        assert legs["u1"].answered_at == 5.0
        assert [one.ending for one in legs.values()] == ["", "api_hangup", ""]
        assert legs["u4"].end == LegEnd({"reason": "remote_bye"}, {"mos": 4.3})
        assert store.fact("core_uuid") == "1"
        assert store.fact("other") is None
        assert store.items("bridge") == [{"id": "a"}]
        assert store.items("playback") == []
        end(store)
    store = opened()
    store.forget_room("a")
    assert store.rooms() == []


def test_changes_are_in_the_database_soon_and_their_files_deleted(opened, path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1000)
    store = opened()
    for number in range(100):
        store.save_room(Room(f"r{number % 10}", 8000))

    def written() -> bool:
        db = sqlite3.connect(path)
        try:
            return db.execute("SELECT COUNT(*) FROM rooms").fetchone()[0] == 10 and len(recent(path)) == 1
        finally:
            db.close()

    eventually(written, "ten rooms in the database, one file of changes left")
    store.close()
    assert recent(path) == []


def test_an_old_change_does_not_undo_a_later_one(opened, path):
    """A file of changes that outlived them is not applied again."""
    store = opened()
    store.save_room(Room("a", 8000))
    (name,) = recent(path)
    name = os.path.join(os.path.dirname(path), name)
    with open(name, "rb") as file:
        old = file.read()
    store.forget_room("a")
    store.close()
    with open(name, "wb") as file:
        file.write(old)
    assert opened().rooms() == []


@pytest.mark.parametrize("keep", [1, 20, -2, -1])
def test_half_a_change_is_none(opened, path, keep):
    store = opened()
    store.save_room(Room("a", 8000, "vsi-1"))
    store.save_room(Room("b", 8000, "vsi-2"))
    store.abandon()
    (name,) = recent(path)
    name = os.path.join(os.path.dirname(path), name)
    with open(name, "rb") as file:
        data = file.read()
    one = len(data) // 2
    with open(name, "wb") as file:
        file.write(data[: one + keep] if keep > 0 else data[: keep - 1])
    assert [room.id for room in opened().rooms()] == ["a"]


def test_the_event_loop_does_nothing_in_the_file(opened):
    store = opened()
    seen: set[int] = set()
    store._db.set_trace_callback(lambda _: seen.add(get_ident()))
    store.save_legs([leg()])
    store.save_room(Room("a", 8000), needed=True)
    store.legs(), store.rooms(), store.fact("a"), store.items("recording")
    store.forget_leg("u1")
    store.close()
    assert len(seen) == 1
    assert get_ident() not in seen


def test_a_locked_file_is_written_when_it_is_free(opened, path, monkeypatch):
    monkeypatch.setattr(tables, "RETRY_S", 0.01)
    store = opened()
    store._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store.save_room(Room("a", 8000), needed=True)  # durable already
    eventually(lambda: store.error == "database is locked", "the lock is noticed")
    store.save_room(Room("b", 8000), needed=True)
    other.close()
    eventually(lambda: not store.error, "written")
    db = sqlite3.connect(path)
    assert db.execute("SELECT id FROM rooms ORDER BY id").fetchall() == [("a",), ("b",)]
    db.close()


def test_an_error_that_nobody_foresaw_ends_no_writing_and_loses_nothing(opened, path, monkeypatch, log):
    monkeypatch.setattr(lasting, "PAUSE_S", 0.01)
    write, failed = Tables._write, []

    def fail_once(self: Tables, *changes: Any) -> None:
        if not failed:
            failed.append(changes)
            raise ValueError("a fault")
        write(self, *changes)

    monkeypatch.setattr(Tables, "_write", fail_once)
    store = opened()
    store.save_room(Room("a", 8000))
    eventually(lambda: len(log.named("lasting work failed; it is begun anew")) == 1, "it failed")
    eventually(lambda: not store.error, "written")
    db = sqlite3.connect(path)
    assert db.execute("SELECT id FROM rooms").fetchall() == [("a",)]
    db.close()


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(segments.os, "write", write)


def test_what_is_needed_is_refused_on_a_full_disk(opened, path, monkeypatch):
    """What is not is kept in memory, and written when there is room again."""
    monkeypatch.setattr(tables, "RETRY_S", 0.01)
    store = opened()
    store.save_room(Room("a", 8000))
    store.flush()
    store._db.execute("PRAGMA max_page_count = 1")
    with monkeypatch.context() as disk:
        full(disk)
        with pytest.raises(StorageFailed, match="storage: No space left on device"):
            store.save_room(Room("b", 8000), needed=True)
        with pytest.raises(StorageFailed, match="storage: No space left on device"):
            store.forget_room("a", needed=True)
        assert [room.id for room in store.rooms()] == ["a"]
        for number in range(500):
            store.save_legs([leg(id=f"u{number}", app_id="x" * 200)])
        eventually(lambda: store.error == "database or disk is full", "SQLite has no room either")
    store._db.execute("PRAGMA max_page_count = 1000000")
    eventually(lambda: not store.error, "written")
    store.abandon()
    assert len(opened().legs()) == 500


def test_more_changes_than_may_wait(opened, path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_UNWRITTEN", 10)
    store = opened()
    store._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in range(10):
        store.save_room(Room(f"r{number}", 8000), needed=True)
    with pytest.raises(StorageFailed, match="too many changes wait"):
        store.save_room(Room("one too many", 8000), needed=True)
    other.close()


def foreign(path: str) -> None:
    Path(path).write_text("this is no database, and long enough to be seen as one " * 20)


def torn(path: str) -> None:
    with open(path, "r+b") as file:
        file.truncate(9000)


def rubbish(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("INSERT INTO items VALUES ('bridge', 'a', '{')")
    db.commit()
    db.close()


def other_tables(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE legs")
    db.commit()
    db.close()


def locked(path: str) -> None:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("CREATE TABLE mine (a)")
    later(10, db.close)  # keeps it


@pytest.mark.parametrize("damage", [foreign, torn, rubbish, other_tables, locked])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(opened, path, damage):
    """Unlike the events, it is not begun anew: what is in it is nowhere else."""
    opened().close()
    damage(path)
    for _ in range(2):  # the second time too for what it is, not as in use
        with pytest.raises(
            StateError, match=r"^cannot (open|read) the state database .*state\.sqlite3: [^\n]+$"
        ):
            opened()


def test_where_there_can_be_no_file(thread):
    with pytest.raises(StateError):
        StateStore("/proc/none/state.sqlite3", thread)


def test_one_service_to_a_state_file(opened):
    first = opened()
    with pytest.raises(StateError, match=r"state\.sqlite3 is in use by another vsi_esl"):
        opened()
    first.close()
    opened()


def test_a_state_file_of_a_later_version_is_refused_and_let_go_of(opened):
    later = opened()
    later._db.execute("PRAGMA user_version = 99")
    later.close()
    for _ in range(2):  # the second time too for its version, not as in use
        with pytest.raises(StateError, match="another version"):
            opened()


def test_a_state_file_of_an_earlier_version_is_carried_over(opened, path):
    store = opened()
    store.save_legs([leg()])
    store.close()
    db = sqlite3.connect(path)
    db.executescript(
        "ALTER TABLE legs DROP COLUMN ending; ALTER TABLE legs DROP COLUMN last;"
        "ALTER TABLE legs DROP COLUMN node; ALTER TABLE rooms DROP COLUMN node;"
        "ALTER TABLE legs DROP COLUMN beside; PRAGMA user_version = 3;"
    )
    db.close()
    assert opened().legs()["u1"].ending == ""


def test_what_was_written_before_switches_had_names_is_of_the_only_one(opened, path):
    """In the database, and in the file of changes that a killed process left."""
    store = opened()
    store.save_legs([leg()])
    store.save_room(Room("a", 8000, "vsi-1"))
    store.close()
    db = sqlite3.connect(path)
    db.executescript(
        "ALTER TABLE legs DROP COLUMN node; ALTER TABLE rooms DROP COLUMN node;"
        "ALTER TABLE legs DROP COLUMN beside; PRAGMA user_version = 4;"
    )
    (written,) = db.execute("SELECT value FROM facts WHERE name = 'written'").fetchone()
    db.close()
    late = ("u2", "sip_inbound", "", "", 1.0, 0.0, CONNECTED, "", "", "api_hangup", "")
    room = ("b", "vsi-2", 8000, "", "", "", "{}")
    with open(f"{path}.recent.7", "w") as changes:
        for number, (table, row) in enumerate((("legs", late), ("rooms", room)), int(written) + 1):
            changes.write(json.dumps([number, table, row[:1], row]) + "\n")
    for _ in range(2):  # the second time from the database
        store = opened()
        assert {one.id: (one.node, one.ending) for one in store.legs().values()} == {
            "u1": ("default", ""),
            "u2": ("default", "api_hangup"),
        }
        assert {room.id: room.node for room in store.rooms()} == {"a": "", "b": ""}
        store.close()


def test_where_a_leg_and_a_room_are_survives(opened):
    store = opened()
    store.save_legs([leg(channel=Channel("east"))])
    store.save_end(leg(id="u2", channel=Channel("west")), LegEnd({"reason": "remote_bye"}, None))
    store.save_room(Room("a", 8000, node="east"))
    store.close()
    store = opened()
    assert {one.id: one.node for one in store.legs().values()} == {"u1": "east", "u2": "west"}
    assert store.legs()["u2"].end == LegEnd({"reason": "remote_bye"}, None)
    assert [room.node for room in store.rooms()] == ["east"]


def test_what_is_kept_beside_a_leg_is_saved_and_forgotten_with_it(opened):
    store, kept = opened(), {"u1": {"rooms": ["r"]}, "u3": Webhook("http://x")}
    store.keep_beside(kept.get)
    store.save_legs([leg(), leg(id="u2"), leg(id="u3")])
    store.save_end(leg(id="u1"), LegEnd({"reason": "busy"}, None))
    store.forget_leg("u3")
    store.close()
    legs = opened().legs()
    assert {one.id: one.beside for one in legs.values()} == {"u1": {"rooms": ["r"]}, "u2": None}
    assert legs["u1"].end == LegEnd({"reason": "busy"}, None)


def test_state_files_are_the_owners_only_from_the_start(opened, path):
    before = os.umask(0)
    try:
        store = opened()
        store.save_fact("a", "b")
        directory = Path(path).parent
        modes = {name.name: name.stat().st_mode & 0o077 for name in directory.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert len(modes) == 5
    assert set(modes.values()) == {0}
