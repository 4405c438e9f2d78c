"""What a companion was asked to upload: on its disk until the service has the result."""

from __future__ import annotations

import json
import os
import stat

import gevent
import pytest
from gevent.event import AsyncResult

from tests.support.waiting import eventually
from vsi_esl.companion import uploads
from vsi_esl.companion.uploads import Desk
from vsi_esl.storage.s3 import S3Target, UploadError
from vsi_esl.wire.server import Failed

TARGET = S3Target("b", access_key="AK", secret_key="do-not-show")


class Scripted:
    """In the place of the uploads: each is under way until the test says otherwise."""

    def __init__(self) -> None:
        self.asked: dict[str, AsyncResult] = {}

    def submit(self, upload_id, target, path, name):
        assert target == TARGET
        return self.asked.setdefault(upload_id, AsyncResult())


@pytest.fixture
def store():
    return Scripted()


@pytest.fixture
def desk(tmp_path, store):
    one = Desk(str(tmp_path / "uploads"), store)
    one.take_up()
    return one


def kept(tmp_path) -> list:
    return list((tmp_path / "uploads").iterdir())


def test_it_is_on_the_disk_for_nobody_else_before_it_begins(desk, store, tmp_path):
    result = desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    (file,) = kept(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert desk.upload("u1", TARGET, "/r/a.wav", "a.wav") is result
    store.asked["u1"].set("s3://b/a.wav")
    assert result.get(timeout=20) == "s3://b/a.wav"
    assert b"do-not-show" not in file.read_bytes(), "the keys are not needed any more"
    desk.settled("u1")
    eventually(lambda: not kept(tmp_path), "it is forgotten")
    assert len(desk) == 0


def test_what_is_under_way_is_not_settled(desk, tmp_path):
    desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    desk.settled("u1")
    desk.settled("nobody's")
    assert len(desk) == 1 and kept(tmp_path)


def test_the_next_process_goes_on_and_knows_the_results(desk, tmp_path):
    desk.upload("going", TARGET, "/r/a.wav", "a.wav")
    for name, outcome in (("done", {"location": "s3://b/d"}), ("failed", {"error": "no such bucket"})):
        (tmp_path / "uploads" / f"{name}.json").write_text(json.dumps({"upload_id": name, **outcome}))
    (tmp_path / "uploads" / "half.json.tmp").write_text("{")
    (tmp_path / "uploads" / "broken.json").write_text("{")
    store = Scripted()
    again = Desk(str(tmp_path / "uploads"), store)
    again.take_up()
    assert list(store.asked) == ["going"]
    assert again.upload("done", TARGET, "/r/d.wav", "d.wav").get(timeout=20) == "s3://b/d"
    with pytest.raises(Failed, match="no such bucket"):
        again.upload("failed", TARGET, "/r/f.wav", "f.wav").get(timeout=20)
    assert not (tmp_path / "uploads" / "half.json.tmp").exists()


def test_a_companion_that_stops_leaves_it_to_the_next(desk, store, tmp_path):
    result = desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    store.asked["u1"].set_exception(UploadError("the service is shutting down"))
    (file,) = kept(tmp_path)
    gevent.idle()  # told, and
    gevent.idle()  # looked at
    assert not result.ready() and "target" in json.loads(file.read_bytes())


def test_what_failed_for_good_is_an_answer(desk, store):
    result = desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    store.asked["u1"].set_exception(UploadError("the file is gone", final=True))
    with pytest.raises(Failed, match="the file is gone") as failed:
        result.get(timeout=20)
    assert failed.value.kind == "upload"


def test_no_more_than_there_may_be(desk, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 1)
    desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    with pytest.raises(Failed, match="too many uploads are waiting"):
        desk.upload("u2", TARGET, "/r/b.wav", "b.wav")


def test_what_cannot_be_kept_is_refused_and_not_begun(desk, store, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failed, match="cannot be kept by the companion: No space left"):
        desk.upload("u1", TARGET, "/r/a.wav", "a.wav")
    assert not store.asked and len(desk) == 0


def test_a_result_that_nobody_comes_for_is_not_kept_for_ever(tmp_path, store):
    folder = tmp_path / "uploads"
    folder.mkdir()
    file = folder / "old.json"
    file.write_text(json.dumps({"upload_id": "old", "location": "s3://b/o"}))
    os.utime(file, (1, 1))
    desk = Desk(str(folder), store)
    desk.take_up()
    assert not file.exists() and len(desk) == 0
