"""What a record says, and the file it is in."""

from __future__ import annotations

import csv
import fcntl
import json
import os
from pathlib import Path

import pytest

from vsi_esl.cdr import files
from vsi_esl.cdr.accounts import Account, without_secrets
from vsi_esl.cdr.records import COLUMNS, Ended, outcome, record_of, shown
from vsi_esl.ops.metrics import REASONS
from vsi_esl.work import clock


def record(leg_id: str = "a", **more: object) -> dict:
    now = clock.now()
    leg = Ended("sip_inbound", "shop", "default", now - 30, now - 20)
    cdr = {"reason": "remote_bye", "duration_total": 30.0, "duration_answered": 20.0}
    account = Account(leg_id, rang_at=now - 28, from_="+15550100", to="100", rooms=["r"])
    return {**record_of(account, leg, cdr, None, event_id="e", instance_id="i"), **more}


def test_times_add_up():
    made = record()
    assert list(made) == list(COLUMNS)
    assert made["ring_seconds"] == pytest.approx(8, abs=0.1)
    assert made["started_at"] < made["ringing_at"] < made["answered_at"] < made["ended_at"]
    assert made["started_at"].endswith("Z")
    assert shown(0) is None


@pytest.mark.parametrize(
    ("reason", "answered", "expected"),
    [
        ("remote_bye", True, "answered"),
        ("busy", False, "busy"),
        ("ring_timeout", False, "no_answer"),
        ("caller_cancel", False, "cancelled"),
        ("sip_410", False, "rejected"),
        ("sip_603", False, "rejected"),
        ("sip_500", False, "failed"),
        ("sip_302", False, "failed"),
        ("unobserved", False, "failed"),
        ("anything", True, "answered"),
    ],
)
def test_outcomes(reason, answered, expected):
    assert outcome(reason, answered) == expected


def test_every_word_that_has_an_outcome_is_a_reason():
    from vsi_esl.cdr.records import _OUTCOME

    assert set(_OUTCOME) <= REASONS


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("ws://user:pw@host:80/path?key=1", "ws://host:80/path"),
        ("wss://host/path#x", "wss://host/path"),
        ("sip:alice:pw@example.com;x=y", "sip:alice@example.com;x=y"),
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("sip:example.com:5060", "sip:example.com:5060"),
        ("+15550100", "+15550100"),
        ("", ""),
    ],
)
def test_secrets_of_uris_are_left_out(uri, expected):
    assert without_secrets(uri) == expected


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("+15550100", "+15550100"),
        ("sip:a@b", "sip:a@b"),
        ("two\r\nlines", "two lines"),
        ("", ""),
    ],
)
def test_csv_does_a_spreadsheet_no_harm(text, cell):
    assert files.harmless(text) == cell


def test_csv_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "cdr.csv"
    odd = record("b", app_id='a "quoted", odd', rooms=["r 1", 'r,"2"'], to=None)
    files.append(str(path), "csv", [record()])
    files.append(str(path), "csv", [odd])
    with path.open(newline="") as file:
        one, two = csv.DictReader(file)
    assert list(one) == list(COLUMNS)
    assert [one["leg_id"], one["from"], one["mos"]] == ["a", "+15550100", ""]
    assert [two["app_id"], json.loads(two["rooms"]), two["to"]] == [odd["app_id"], odd["rooms"], ""]


def test_half_a_line_is_taken_away_before_the_next(tmp_path: Path):
    path = tmp_path / "cdr.jsonl"
    files.append(str(path), "jsonl", [record("a")])
    with path.open("ab") as file:
        file.write(b'{"leg_id":"b","event')
    files.append(str(path), "jsonl", [record("b")])
    assert [json.loads(line)["leg_id"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_half_a_write_is_none(tmp_path: Path, monkeypatch):
    path = tmp_path / "cdr.jsonl"
    files.append(str(path), "jsonl", [record("a")])
    before = path.read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
    with pytest.raises(OSError, match="No space"):
        files.append(str(path), "jsonl", [record("b")])
    assert path.read_bytes() == before


def test_what_is_no_file_of_records_is_left_alone(tmp_path: Path):
    with pytest.raises(OSError):
        files.append(str(tmp_path), "jsonl", [record()])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        files.append(str(tmp_path / "pipe"), "jsonl", [record()])
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * (files.LONGEST_LINE + 10))
    with pytest.raises(OSError, match="longer than any"):
        files.append(str(blob), "jsonl", [record()])
    assert blob.stat().st_size == files.LONGEST_LINE + 10


def test_nobody_writes_while_another_does(tmp_path: Path):
    path = tmp_path / "cdr.jsonl"
    files.append(str(path), "jsonl", [record("a")])
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            files.append(str(path), "jsonl", [record("b")])


def test_records_are_found_where_they_were_moved(tmp_path: Path):
    path = tmp_path / "cdr.jsonl"
    files.append(str(path), "jsonl", [record("a")])
    os.rename(path, tmp_path / "cdr.jsonl-20261129")
    files.append(str(path), "csv", [record("b")])
    assert files.written_already(str(path), ["a", "b", "c"]) == {"a", "b"}
    assert files.written_already(str(tmp_path / "nowhere" / "x"), ["a"]) == set()


def test_the_page_says_what_each_column_is():
    page = (Path(__file__).parents[3] / "docs" / "cdr.md").read_text()
    table = [f"| `{name}` | {text} |" for name, text in COLUMNS.items()]
    assert "\n".join(table) in page
