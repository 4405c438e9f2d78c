"""Events kept for clients that reconnect."""

from __future__ import annotations

import uuid

import pytest

from vsi_esl.delivery.history import CURSOR_STEP, PAGE, History
from vsi_esl.events.types import Event


def fill(history: History, count: int) -> list[str]:
    """The ids of so many new events."""
    ids = []
    for number in range(count):
        ids.append(history.next_id())
        history.keep(Event(app_id=f"a{number % 2}"), ids[-1], str(number).encode())
    return ids


def read(history: History, cursor: int) -> list[bytes]:
    frames = []
    while page := history.after(cursor):
        assert len(page) <= PAGE
        cursor = page[-1].cursor
        frames += [kept.frame for kept in page]
    return frames


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "events.sqlite3")


def test_what_follows_an_event(path):
    history = History(path, 10_000, 3600)
    ids = fill(history, 2 * PAGE + 10)
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(one).version == 8 for one in ids)
    assert ids == sorted(ids)
    cursor = history.cursor_of(ids[4])
    assert cursor is not None
    assert read(history, cursor) == [str(number).encode() for number in range(5, 2 * PAGE + 10)]
    assert history.gone(cursor) == 0
    assert history.after(history.newest) == []
    assert history.after(cursor)[0].app_id == "a1"
    history.close()


def test_more_than_is_kept(path):
    history = History(path, 100, 3600)
    ids = fill(history, 250)
    cursor = history.cursor_of(ids[9])
    assert cursor is not None
    assert history.gone(cursor) == 140
    assert len(read(history, cursor)) == 100
    history.close()


def test_older_than_is_kept(path):
    history = History(path, 100, 1e-9)
    ids = fill(history, 20)
    cursor = history.cursor_of(ids[9])
    assert cursor is not None
    assert history.gone(cursor) == 10
    assert read(history, cursor) == []
    history.close()


def test_over_a_restart(path):
    history = History(path, 100, 3600)
    ids = fill(history, 20)
    history.close()
    history = History(path, 100, 3600)
    more = fill(history, 5)
    cursor = history.cursor_of(ids[17])
    assert cursor is not None
    assert history.gone(cursor) == 0
    assert read(history, cursor) == [b"18", b"19", b"0", b"1", b"2", b"3", b"4"]
    assert more[0] > ids[-1]
    history.close()


def test_over_a_crash(path):
    history = History(path, 5, 3600)
    ids = fill(history, 20)
    history.flush()
    lost = fill(history, 3)  # not written when it ends
    crashed = History(path, 5, 3600)
    more = fill(crashed, 12)
    for event_id in (ids[19], lost[0]):
        cursor = crashed.cursor_of(event_id)
        assert cursor is not None
        assert crashed.gone(cursor) == 7
        assert read(crashed, cursor) == [b"7", b"8", b"9", b"10", b"11"]
    assert more[0] > lost[-1]
    assert crashed.newest > CURSOR_STEP
    crashed.close()


@pytest.mark.parametrize("event_id", ["", "x", str(uuid.uuid4()), str(uuid.UUID(int=2**128 - 1))])
def test_ids_of_elsewhere(path, event_id):
    history = History(path, 100, 3600)
    fill(history, 3)
    assert history.cursor_of(event_id) is None
    history.close()


def test_another_file_does_not_know_the_ids(path, tmp_path):
    history, other = History(path, 100, 3600), History(str(tmp_path / "other"), 100, 3600)
    fill(other, 10)
    assert other.cursor_of(fill(history, 1)[0]) is None
    history.close()
    other.close()


def test_nothing_is_kept_when_nothing_is_to_be(path):
    history = History(path, 0, 3600)
    fill(history, 3)
    assert history.after(0) == []
    history.close()
