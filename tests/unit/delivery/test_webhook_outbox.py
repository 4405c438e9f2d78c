"""The outbox and the file of arrivals before it: what is kept, in which order, and what a crash may leave."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vsi_esl.delivery.webhooks import outbox as boxes
from vsi_esl.delivery.webhooks.outbox import Changes, Outbox
from vsi_esl.delivery.webhooks.targets import Target
from vsi_esl.delivery.webhooks.write_ahead import Arrival, WriteAhead
from vsi_esl.storage import segments
from vsi_esl.storage.database import StateError

HOST = "http://a.example:80"


def arrival(number: int, key: str = "leg", endpoint: str = HOST, at: float = 1000.0) -> Arrival:
    target = Target(endpoint, key, f"{endpoint}/hook", "secret")
    return Arrival(number, target, f"id{number}", "t", at, b'{"n":%d}' % number)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "webhooks.sqlite3")


@pytest.fixture
def outbox(path):
    box = Outbox(path)
    yield box
    box.close()


def ids(rows) -> list[str]:
    return [row.event_id for row in rows]


# -- arrivals --


def test_what_was_appended_is_found_by_the_next_process(path):
    first = WriteAhead(path)
    for number in range(1, 4):
        first.append(arrival(number, key="schlüssel\n"))
    assert list(WriteAhead(path).recover()) == [arrival(number, key="schlüssel\n") for number in range(1, 4)]
    first.close(0)


@pytest.mark.parametrize("keep", [1, 20, 60, -2, -1])
def test_half_a_record_at_the_end_is_no_event(path, tmp_path, keep):
    first = WriteAhead(path)
    first.append(arrival(1))
    first.append(arrival(2))
    first.close(0)
    (file,) = tmp_path.glob("*.arrivals.*")
    data = file.read_bytes()
    one = len(data) // 2
    file.write_bytes(data[: one + keep] if keep > 0 else data[:keep])
    assert [each.number for each in WriteAhead(path).recover()] == [1]


def test_rubbish_ends_the_reading_of_its_file_only(path, tmp_path):
    for start in (1, 3):
        one = WriteAhead(path)
        list(one.recover())
        one.append(arrival(start))
        one.append(arrival(start + 1))
        one.close(0)
    first = min(tmp_path.glob("*.arrivals.*"))
    first.write_bytes(first.read_bytes().splitlines(True)[0] + b"{}\n" + bytes(100) + b"\n\n")
    assert [each.number for each in WriteAhead(path).recover()] == [1, 3, 4]


def test_files_are_deleted_when_the_outbox_has_their_events(path, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    one = WriteAhead(path)
    for number in range(1, 10):
        one.append(arrival(number))
    assert len(list(tmp_path.glob("*.arrivals.*"))) == 3
    one.committed(6)
    assert next(each.number for each in WriteAhead(path).recover()) > 3
    one.close(9)
    assert list(tmp_path.glob("*.arrivals.*")) == []


def test_a_file_is_never_appended_to_by_two_processes(path, tmp_path):
    one = WriteAhead(path)
    one.append(arrival(1))
    two = WriteAhead(path)
    list(two.recover())
    two.append(arrival(2))
    assert len(list(tmp_path.glob("*.arrivals.*"))) == 2
    one.close(0)
    two.close(2)


# -- the outbox --


def test_events_come_in_order_by_endpoint_and_by_lane(outbox):
    outbox.write(Changes(added=[arrival(1, "a"), arrival(2, "b"), arrival(3, "a"), arrival(4, "a", "other")]))
    assert ids(outbox.page(HOST, 0, 10)) == ["id1", "id2", "id3"]
    assert ids(outbox.page(HOST, 1, 1)) == ["id2"]
    assert ids(outbox.lane(HOST, "a", 0, 10)) == ["id1", "id3"]
    assert sorted(outbox.endpoints()) == [HOST, "other"]
    assert outbox.page(HOST, 0, 1)[0].frame == b'{"n":1}'


def test_what_a_crash_offers_again_is_not_taken_twice(outbox):
    outbox.write(Changes(added=[arrival(1), arrival(2)]))
    outbox.write(Changes(delivered=[1]))
    outbox.write(Changes(added=[arrival(1), arrival(2), arrival(3)]))
    assert ids(outbox.page(HOST, 0, 10)) == ["id2", "id3"]
    outbox.write(Changes(added=[arrival(1)]))
    assert outbox.taken == 3


def test_failures_are_noted(outbox):
    outbox.write(Changes(added=[arrival(1)]))
    outbox.write(Changes(failed=[(1, "status 500")]))
    outbox.write(Changes(failed=[(1, "status 503")]))
    (row,) = outbox.page(HOST, 0, 10)
    assert (row.attempts, row.error) == (2, "status 503")


def test_dead_letters_are_replayed_behind_the_others_with_their_ids(outbox):
    outbox.write(Changes(added=[arrival(1), arrival(2)]))
    outbox.write(Changes(dead=[(1, "status 500")]))
    assert outbox.counts() == (1, 1)
    (shown,) = outbox.listing("dead", 10)
    assert (shown["id"], shown["event_id"], shown["error"], shown["attempts"]) == (1, "id1", "status 500", 1)
    assert "secret" not in json.dumps(shown)
    assert "/hook" not in json.dumps(shown)
    assert outbox.replay([1, 1, 77]) == 1
    rows = outbox.page(HOST, 0, 10)
    assert ids(rows) == ["id2", "id1"]
    assert (rows[1].attempts, rows[1].at, rows[1].secret) == (0, 1000.0, "secret")
    assert rows[1].since > 1000.0


def test_another_process_is_noticed(outbox, path):
    outbox.write(Changes(added=[arrival(1)], dead=[]))
    outbox.write(Changes(dead=[(1, "x")]))
    assert not outbox.changed_by_others()
    other = Outbox(path, create=False)
    assert other.replay(other.dead_ids()) == 1
    other.close()
    assert outbox.changed_by_others()
    assert not outbox.changed_by_others()


def test_dead_letters_are_bounded(outbox, monkeypatch):
    monkeypatch.setattr(boxes, "MAX_DEAD", 3)
    outbox.write(Changes(added=[arrival(number) for number in range(1, 9)]))
    forgotten = outbox.write(Changes(dead=[(id, "x") for id in range(1, 9)]))
    assert forgotten == 5
    assert [row["event_id"] for row in outbox.listing("dead", 10)] == ["id6", "id7", "id8"]


def test_the_old_ones_of_an_endpoint_expire(outbox):
    old = [arrival(1, at=10.0), arrival(2, at=20.0), arrival(3, at=30.0), arrival(4, endpoint="o", at=10.0)]
    outbox.write(Changes(added=old))
    assert outbox.expire(HOST, 25.0) == (2, 0)
    assert ids(outbox.page(HOST, 0, 10)) == ["id3"]
    assert outbox.counts() == (2, 2)
    assert outbox.oldest() == 30.0


def test_a_probe_is_the_head_of_a_lane_that_was_not_tried_lately(outbox):
    outbox.write(Changes(added=[arrival(1, "a"), arrival(2, "b"), arrival(3, "b"), arrival(4, "c")]))
    assert outbox.probe(HOST, ()).event_id == "id1"
    assert outbox.probe(HOST, ("a",)).event_id == "id2"
    assert outbox.probe(HOST, ("a", "b")).event_id == "id4"
    assert outbox.probe(HOST, ("a", "b", "c")).event_id == "id1"
    assert outbox.probe("nobody", ()) is None


def test_what_is_not_written_is_not_half_written(outbox):
    broken = Arrival(2, Target(HOST, "k", "u", None), "id2", "t", 1.0, b"{}")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="NOT NULL"):
        outbox.write(Changes(added=[arrival(1), broken]))
    assert outbox.counts() == (0, 0)
    outbox.write(Changes(added=[arrival(1)]))
    assert outbox.taken == 1


def test_another_versions_file_is_refused(path):
    box = Outbox(path)
    box._db.execute("PRAGMA user_version = 99")
    box.close()
    with pytest.raises(StateError, match="another version"):
        Outbox(path)


def test_the_command_line_makes_no_file(path):
    with pytest.raises(StateError, match="there is no webhook outbox"):
        Outbox(path, create=False)


def test_dead_letters_make_room_for_what_waits(tmp_path):
    box = Outbox(str(tmp_path / "webhooks.sqlite3"), max_bytes=1 << 20)
    forgotten = 0
    for number in range(1, 1001):
        changes = Changes(added=[replace(arrival(number), frame=b"x" * 4000)])
        forgotten += box.write(changes)
        forgotten += box.write(Changes(dead=[(number, "given up")]))
    waiting, dead = box.counts()
    assert waiting == 0
    assert dead == 1000 - forgotten > 0
    assert box.used() < 1 << 20
    box.close()
