"""One line of the log for each call, and one record in the file: over restarts, rotation and a full disk."""

from __future__ import annotations

import csv
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.calls import answered, dial, media_passed, ring
from tests.support.drivers import eventually
from tests.support.log import recorded_log
from tests.support.service import Scrape, crash
from vsi_esl.cdr import files, writer
from vsi_esl.cdr.feature import CallRecords
from vsi_esl.cdr.records import COLUMNS

CALLER, CALLED = "+15557310001", "+15557310002"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(writer, "GATHER_S", 0.01)
    monkeypatch.setattr(writer, "RETRY_S", 0.05)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "log" / "cdr.jsonl"


@pytest.fixture
def recorded(start, path):
    """Start a service that writes records."""
    path.parent.mkdir(exist_ok=True)
    return lambda **more: start(cdr={"path": str(path), **more})


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def written(path: Path, count: int) -> list[dict]:
    """The records, as soon as there are so many."""
    eventually(lambda: len(lines(path)) >= count, f"{count} records")
    return lines(path)


def test_a_call_is_one_line_and_one_record(switch, log, recorded, connect, path):
    client = connect(recorded())
    before = datetime.now(UTC)
    peer, leg = answered(switch, client, from_=CALLER, headers={"X-App-ID": "shop"})
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("leg_record_start", id=leg)
    client.event("recording.started", leg_id=leg)
    media_passed(switch, peer)
    peer.hang_up()
    told = client.event("leg.disconnected", leg_id=leg)
    (record,) = written(path, 1)
    assert list(record) == list(COLUMNS)
    expected = {
        "leg_id": leg,
        "event_id": told["event_id"],
        "instance_id": "test-1",
        "app_id": "shop",
        "type": "sip_inbound",
        "direction": "inbound",
        "from": CALLER,
        "outcome": "answered",
        "reason": "remote_bye",
        "sip_status": 200,
        "hangup_cause": "NORMAL_CLEARING",
        "rooms": ["r"],
        "recordings": 1,
        "talk_seconds": told["cdr"]["duration_answered"],
        "total_seconds": told["cdr"]["duration_total"],
        "mos": told["quality"]["mos_score"] if told.get("quality") else None,
    }
    assert {name: record[name] for name in expected} == expected
    assert record["ringing_at"] is record["ring_seconds"] is None, "it was answered at once"
    times = [datetime.fromisoformat(record[name]) for name in ("started_at", "answered_at", "ended_at")]
    assert times == sorted(times)
    assert abs((times[0] - before).total_seconds()) < 60
    (line,) = log.named("call")
    assert line["level"] == "info"
    assert [line[name] for name in ("leg_id", "leg_type", "app_id", "reason", "sip_status", "rooms")] == [
        leg,
        "sip_inbound",
        "shop",
        "remote_bye",
        200,
        ["r"],
    ]
    assert [line[name] for name in ("talk_seconds", "total_seconds", "recordings", "cause")] == [
        record["talk_seconds"],
        record["total_seconds"],
        1,
        "NORMAL_CLEARING",
    ]
    assert CALLER not in json.dumps(log.above_debug)
    of_leg = [one["event"] for one in log.above_debug if one.get("leg_id") == leg]
    assert of_leg == ["call"], "nothing else is said of a call in which all went well"
    assert not stat.S_IMODE(path.stat().st_mode) & 0o007


def test_with_log_numbers_the_line_says_who_called_whom(switch, recorded, connect):
    with recorded_log(numbers=True) as log:
        client = connect(recorded())
        peer, leg = answered(switch, client, from_=CALLER)
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
        eventually(lambda: log.named("call") != [], "the line is there")
        assert log.named("call")[0]["from"] == CALLER


def test_what_was_dialled_and_not_answered(switch, recorded, connect, path):
    service = recorded()
    client = connect(service)
    leg = dial(switch, client, "reject-486", **{"from": CALLED})
    told = client.event("leg.disconnected", leg_id=leg)
    (record,) = written(path, 1)
    assert told["cdr"]["reason"] == record["reason"] == record["outcome"] == "busy"
    assert [record[name] for name in ("direction", "sip_status", "from", "answered_at", "talk_seconds")] == [
        "outbound",
        486,
        CALLED,
        None,
        0,
    ]
    assert record["to"] == switch.uri("reject-486")
    scrape = Scrape(service)
    calls = {"type": "sip_outbound", "direction": "outbound", "outcome": "busy"}
    assert scrape.value("vsi_esl_calls_total", **calls) == 1
    # the file has its lines a moment before the service knows it
    eventually(lambda: Scrape(service).value("vsi_esl_cdr_written_total") == 1, "it is counted")
    eventually(lambda: Scrape(service).value("vsi_esl_cdr_pending") == 0, "nothing waits")
    assert scrape.value("vsi_esl_cdr_dropped_total") == 0


def test_the_time_of_ringing_is_known(switch, recorded, connect, path):
    client = connect(recorded())
    peer, leg = ring(switch, client)
    client.ok("leg_ring", id=leg)
    peer.wait("180")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    (record,) = written(path, 1)
    assert record["started_at"] <= record["ringing_at"] <= record["answered_at"]
    assert 0 <= record["ring_seconds"] < 60


def test_csv_has_a_header_in_each_file_and_does_no_harm(switch, recorded, connect, path):
    client = connect(recorded(format="csv"))
    for app in ("=HYPERLINK(1)", "shop"):
        peer, leg = answered(switch, client, from_=CALLER, headers={"X-App-ID": app})
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: path.exists() and len(path.read_text().splitlines()) == 3, "both are there")
    os.rename(path, f"{path}.1")
    peer, last = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=last)
    eventually(lambda: path.exists() and len(path.read_text().splitlines()) == 2, "in a new file")
    with open(f"{path}.1", newline="") as old, path.open(newline="") as new:
        first, second = csv.DictReader(old)
        (third,) = csv.DictReader(new)
    assert [first["app_id"], second["app_id"]] == ["'=HYPERLINK(1)", "shop"]
    assert first["from"] == CALLER
    assert third["leg_id"] == last


@pytest.mark.parametrize("way", ["moved away", "emptied"])
def test_the_file_may_be_rotated_at_any_time(switch, recorded, connect, path, way):
    client = connect(recorded())
    for number in range(3):
        peer, leg = answered(switch, client)
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
        assert [record["leg_id"] for record in written(path, 1)] == [leg]
        if way == "emptied":
            os.truncate(path, 0)
        else:
            os.rename(path, f"{path}.{number}")


def test_a_call_that_ends_while_nobody_looks_has_a_record(switch, recorded, connect, path):
    service = recorded()
    client = connect(service)
    peer, leg = answered(switch, client, from_=CALLER, headers={"X-App-ID": "shop"})
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    crash(service)
    peer.hang_up()
    eventually(lambda: switch.esl(f"uuid_exists {leg}").strip() == "false", "the call is gone")
    recorded()
    (record,) = written(path, 1)
    shown = [record[name] for name in ("leg_id", "from", "app_id", "rooms", "outcome", "reason")]
    assert shown == [leg, CALLER, "shop", ["r"], "answered", "unobserved"]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_crash_behind_the_write_has_no_record_twice(
    switch, recorded, connect, path, monkeypatch, format, moved
):
    service = recorded(format=format)
    write, crashed = files.append, []

    def and_no_further(*args):
        write(*args)
        if moved:
            os.rename(path, f"{path}.1")
        crashed.append(True)
        raise OSError(5, "as if it had not been")

    monkeypatch.setattr(files, "append", and_no_further)
    monkeypatch.setattr(writer, "RETRY_S", 60.0)
    client = connect(service)
    peer, leg = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: crashed != [], "it is in the file")
    crash(service)
    service.ctx.get(CallRecords).writer._greenlet.kill()
    monkeypatch.setattr(files, "append", write)
    service = recorded(format=format)
    client = connect(service)
    peer, other = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=other)
    eventually(lambda: service.ctx.get(CallRecords).writer.written == 1, "the second is written")
    found = [line for one in path.parent.glob("cdr.jsonl*") for line in one.read_text().splitlines()]
    assert [sum(leg_id in line for line in found) for leg_id in (leg, other)] == [1, 1]
    state = service.ctx.state
    eventually(lambda: state.items("cdr") == state.items("call") == [], "nothing is kept")


def test_a_crash_before_the_leg_is_forgotten_has_no_record_twice(
    switch, recorded, connect, path, monkeypatch
):
    service = recorded()
    client = connect(service)
    monkeypatch.setattr(type(service.ctx.state), "forget_leg", lambda self, leg_id: None)
    peer, leg = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    written(path, 1)
    crash(service)
    monkeypatch.undo()
    monkeypatch.setattr(writer, "GATHER_S", 0.01)
    service = recorded()
    client = connect(service)
    eventually(lambda: service.ctx.state.legs() == {}, "its end is told again")
    peer, other = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=other)
    assert [record["leg_id"] for record in written(path, 2)] == [leg, other]


def test_a_disk_that_takes_nothing_holds_up_no_call_and_loses_nothing(
    switch, log, recorded, connect, path, monkeypatch
):
    service = recorded()
    client = connect(service)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "append", full)
        legs = []
        for _ in range(3):
            peer, leg = answered(switch, client)
            peer.hang_up()
            client.event("leg.disconnected", leg_id=leg)
            legs.append(leg)
        eventually(lambda: Scrape(service).value("vsi_esl_cdr_write_failures_total") >= 2, "it is tried")
        assert Scrape(service).value("vsi_esl_cdr_pending") == 3
    assert [record["leg_id"] for record in written(path, 3)] == legs
    (line,) = log.named("records of calls not written")
    assert line["error"] == "No space left on device"
    # the file has its lines a moment before the service knows it
    eventually(lambda: len(log.named("records of calls written again")) == 1, "it is logged once")


def test_what_a_stop_leaves_is_written_by_the_next_process(switch, recorded, connect, path, monkeypatch):
    service = recorded()
    client = connect(service)
    with monkeypatch.context() as patch:

        def stuck(*args):
            raise OSError(30, "Read-only file system")

        patch.setattr(files, "append", stuck)
        peer, leg = answered(switch, client)
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
        service.stop()
    assert lines(path) == []
    recorded()
    assert [record["leg_id"] for record in written(path, 1)] == [leg]


def test_too_many_that_wait_are_counted(switch, log, recorded, connect, path, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING", 1)
    service = recorded()
    client = connect(service)
    with monkeypatch.context() as patch:

        def full(*args):
            raise OSError(28, "No space left on device")

        patch.setattr(files, "append", full)
        for _ in range(3):
            peer, leg = answered(switch, client)
            peer.hang_up()
            client.event("leg.disconnected", leg_id=leg)
        assert Scrape(service).value("vsi_esl_cdr_dropped_total") == 2
        assert len(log.named("records of calls are dropped")) == 1


def test_without_a_path_there_is_the_line_and_no_file(switch, log, start, connect, tmp_path):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: len(log.named("call")) == 1, "the line is there")
    state = service.ctx.state
    eventually(lambda: state.items("cdr") == state.items("call") == [], "nothing is kept")
    assert not list(tmp_path.rglob("*cdr*"))
