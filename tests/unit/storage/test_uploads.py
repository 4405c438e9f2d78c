"""The queue of uploads: repeated until they arrive, without losing, blocking or telling anything."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from structlog.testing import capture_logs

from tests.support.drivers import eventually
from tests.support.ports import free_port
from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    hung,
    scripted,
    target,
)
from vsi_esl.storage import uploads as module
from vsi_esl.storage.s3 import MAX_OBJECT_BYTES, UploadError
from vsi_esl.storage.uploads import Uploads

SECONDS = 30.0


class Ends:
    """What became of uploads: where they are, or None when they were given up."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    def watch(self, uploads: Uploads) -> Uploads:
        submit = uploads.submit

        def watched(upload_id: str, *more: Any, **named: Any) -> AsyncResult[str]:
            result = submit(upload_id, *more, **named)
            result.rawlink(lambda ended: self._note(upload_id, ended))
            return result

        uploads.submit = watched  # type: ignore[method-assign]
        return uploads

    def _note(self, upload_id: str, ended: AsyncResult[str]) -> None:
        if ended.exception is None or ended.exception.final:  # else it was refused, or ended by `stop`
            self.told.append((upload_id, ended.value))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def make(ends: Ends) -> Iterator[Callable[..., Uploads]]:
    made = []

    def new(**more) -> Uploads:
        settings = {"attempt_timeout": SECONDS, "backoff_min": 0.01, "backoff_max": 0.05, **more}
        made.append(ends.watch(Uploads(**settings)))
        return made[-1]

    yield new
    for uploads in made:
        uploads.stop()


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + os.urandom(10_000))
    return str(path)


def test_an_upload_arrives_and_the_file_stays(make, ends, wav):
    uploads = make()
    with scripted() as server:
        result = uploads.submit("u1", target(server.url, prefix="p/"), wav, "a.wav")
        assert len(uploads) == 1
        assert result.get(timeout=SECONDS) == "s3://recordings/p/a.wav"
    assert ends.told == [("u1", "s3://recordings/p/a.wav")]
    assert (len(uploads), uploads.attempts, uploads.failures, uploads.refused) == (0, 1, 0, 0)
    assert Path(wav).exists()


def test_errors_of_the_server_are_survived(make, ends, wav):
    uploads = make()
    with scripted(500, 500) as server, capture_logs() as logs:
        result = uploads.submit("u1", target(server.url), wav, "a.wav")
        assert result.get(timeout=SECONDS) == "s3://recordings/a.wav"
        assert [request["body"] for request in server.requests] == [Path(wav).read_bytes()] * 3
    assert ends.told == [("u1", "s3://recordings/a.wav")]
    assert (uploads.attempts, uploads.failures) == (3, 2)
    assert [(line["log_level"], line["attempt"], line["reason"]) for line in logs] == [
        ("warning", 1, "S3 answered 500"),
        ("warning", 2, "S3 answered 500"),
    ]
    assert {(line["upload_id"], line["bucket"]) for line in logs} == {("u1", "recordings")}


def test_a_store_that_comes_back_gets_the_upload(make, ends, wav):
    server = MotoServer()
    uploads = make()
    try:
        server.start()
        server.call("create_bucket", Bucket="recordings")
        assert uploads.submit("u1", target(server.url), wav, "1.wav").get(timeout=SECONDS)
        server.stop()
        failed = uploads.failures
        result = uploads.submit("u2", target(server.url), wav, "2.wav")
        with gevent.Timeout(SECONDS):
            while uploads.failures < failed + 3:
                gevent.sleep(0.01)
        assert not result.ready()
        server.start()
        server.call("create_bucket", Bucket="recordings")
        assert result.get(timeout=SECONDS) == "s3://recordings/2.wav"
        found = server.call("get_object", Bucket="recordings", Key="2.wav")
    finally:
        server.stop()
    assert (found["Body"], found["ContentType"]) == (Path(wav).read_bytes(), "audio/wav")
    assert ends.told == [("u1", "s3://recordings/1.wav"), ("u2", "s3://recordings/2.wav")]


def each_failure_takes(seconds: float, uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the queue can tell: what attempts take here is the machine's doing."""
    began = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: began + seconds * uploads.failures)
    monkeypatch.setattr(module, "time", clock)


def test_given_up_in_the_end(make, ends, wav, monkeypatch):
    uploads = make(give_up_after=1.0)
    each_failure_takes(0.3, uploads, monkeypatch)
    with capture_logs() as logs:
        result = uploads.submit("u1", target(f"http://127.0.0.1:{free_port()}"), wav, "a.wav")
        with pytest.raises(UploadError, match=r"^cannot connect: Connection refused$"):
            result.get(timeout=SECONDS)
    assert ends.told == [("u1", None)]
    assert uploads.attempts == uploads.failures == 4
    assert len(uploads) == 0
    assert [line["log_level"] for line in logs] == ["warning"] * uploads.failures + ["error"]
    assert Path(wav).exists()


def test_a_hung_endpoint_ends_at_the_deadline_of_each_attempt(make, ends, wav):
    uploads = make(attempt_timeout=0.3)
    with hung() as url, capture_logs() as logs:
        uploads.submit("u1", target(url), wav, "a.wav")
        eventually(lambda: uploads.failures >= 2, "attempts that ended", SECONDS)
    assert {line["reason"] for line in logs} == {"no answer within 0.3 s"}
    assert ends.told == []


def test_a_file_that_is_gone_is_final(make, ends, tmp_path):
    uploads = make()
    result = uploads.submit("u1", target("http://127.0.0.1:9"), str(tmp_path / "gone.wav"), "a.wav")
    with pytest.raises(UploadError, match=r"^No such file or directory$"):
        result.get(timeout=SECONDS)
    assert (ends.told, uploads.attempts, uploads.failures) == ([("u1", None)], 1, 1)


def test_a_file_too_large_is_final(make, ends, tmp_path):
    with open(tmp_path / "big.wav", "wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    result = make().submit("u1", target("http://127.0.0.1:9"), str(tmp_path / "big.wav"), "a.wav")
    with pytest.raises(UploadError, match="5 GiB"):
        result.get(timeout=SECONDS)
    assert ends.told == [("u1", None)]


def test_a_file_that_becomes_readable_is_uploaded(make, ends, tmp_path):
    path = tmp_path / "a.wav"
    path.mkdir()  # root may read every file, but nobody a directory
    uploads = make()
    with scripted() as server:
        result = uploads.submit("u1", target(server.url), str(path), "a.wav")
        with gevent.Timeout(SECONDS):
            while not uploads.failures:
                gevent.sleep(0.01)
        path.rmdir()
        path.write_bytes(b"RIFF")
        assert result.get(timeout=SECONDS) == "s3://recordings/a.wav"
        assert server.requests[-1]["body"] == b"RIFF"
    assert ends.told == [("u1", "s3://recordings/a.wav")]


def test_waiting_uploads_occupy_no_worker(make, ends, wav):
    uploads = make(workers=1, backoff_min=60.0, backoff_max=60.0)
    down = target(f"http://127.0.0.1:{free_port()}")
    with scripted() as server:
        waiting = [uploads.submit(f"down{number}", down, wav, "a.wav") for number in range(5)]
        result = uploads.submit("up", target(server.url), wav, "a.wav")
        assert result.get(timeout=SECONDS)
    assert not any(other.ready() for other in waiting)
    assert (len(uploads), uploads.attempts, uploads.failures) == (5, 6, 5)
    assert ends.told == [("up", "s3://recordings/a.wav")]


def test_no_more_at_a_time_than_workers(make, wav):
    uploads = make(workers=2, attempt_timeout=0.5, give_up_after=0)
    with hung() as url:
        results = [uploads.submit(str(number), target(url), wav, "a.wav") for number in range(5)]
        gevent.idle()
        assert (len(uploads), uploads.attempts) == (5, 2)
        gevent.wait(results, timeout=SECONDS)
    assert (len(uploads), uploads.attempts) == (0, 5)


def test_many_at_once_all_arrive(make, ends, wav):
    uploads = make(workers=4)
    with scripted(500, 503, 500, 403) as server:
        results = [uploads.submit(str(number), target(server.url), wav, f"{number}") for number in range(40)]
        gevent.wait(results, timeout=SECONDS)
        assert [result.get(block=False) for result in results] == [
            f"s3://recordings/{number}" for number in range(40)
        ]
    assert sorted(ends.told) == sorted((str(number), f"s3://recordings/{number}") for number in range(40))
    assert (uploads.attempts, uploads.failures) == (44, 4)


def test_a_full_queue_refuses(make, ends, wav, monkeypatch):
    monkeypatch.setattr(module, "MAX_UPLOADS", 3)
    uploads = make(backoff_min=60.0, backoff_max=60.0)
    down = target(f"http://127.0.0.1:{free_port()}")
    results = [uploads.submit(str(number), down, wav, "a.wav") for number in range(5)]
    assert [result.ready() for result in results] == [False] * 3 + [True] * 2
    with pytest.raises(UploadError, match="too many uploads are waiting"):
        results[-1].get(block=False)
    assert (len(uploads), uploads.refused, ends.told) == (3, 2, [])


def test_stop_ends_everything_soon(make, ends, wav):
    with hung() as url:
        uploads = make(workers=1, attempt_timeout=60.0)
        waiting = make(backoff_min=60.0, backoff_max=60.0)
        results = [uploads.submit(str(number), target(url), wav, "a.wav") for number in range(3)]
        results.append(waiting.submit("w", target(f"http://127.0.0.1:{free_port()}"), wav, "a.wav"))
        with gevent.Timeout(SECONDS):
            while not waiting.failures:
                gevent.sleep(0.01)
        begun = time.monotonic()
        uploads.stop()
        waiting.stop()
        assert time.monotonic() - begun < 20
    for result in results:
        with pytest.raises(UploadError, match="shutting down"):
            result.get(timeout=0)
    with pytest.raises(UploadError, match="shutting down"):
        uploads.submit("later", target("http://127.0.0.1:9"), wav, "a.wav").get(timeout=0)
    assert (len(uploads), len(waiting), ends.told, uploads.refused) == (0, 0, [], 0)
    uploads.stop()


def test_backoff_doubles_up_to_its_maximum(make, wav, monkeypatch):
    uploads = make(backoff_min=0.01, backoff_max=0.04, give_up_after=2.0)
    each_failure_takes(0.1, uploads, monkeypatch)
    with capture_logs() as logs:
        result = uploads.submit("u1", target(f"http://127.0.0.1:{free_port()}"), wav, "a.wav")
        with pytest.raises(UploadError):
            result.get(timeout=SECONDS)
    delays = [line["next_attempt_in"] for line in logs if line["log_level"] == "warning"]
    assert delays.pop() is None
    delays.pop()  # cut to what was left of the time
    assert delays[0] <= 0.02
    assert all(0.01 <= delay <= 0.04 for delay in delays)


def test_secrets_are_in_no_log_and_no_error(make, wav, tmp_path):
    uploads = make(attempt_timeout=0.3, give_up_after=0.0)
    texts = []
    with scripted(403, 500) as server, hung() as hanging, capture_logs() as logs:
        for where, path in (
            (server.url, wav),
            (server.url, wav),
            (server.url.replace("http:", "https:"), wav),
            (hanging, wav),
            (f"http://127.0.0.1:{free_port()}", wav),
            ("http://nobody.invalid", wav),
            ("not a url", wav),
            (server.url, str(tmp_path / "gone.wav")),
        ):
            result = uploads.submit("u1", target(where, prefix="p/"), path, "a.wav")
            with pytest.raises(UploadError) as caught:
                result.get(timeout=SECONDS)
            texts.append(repr(caught.value))
        # http.client shows the header that it refuses to send
        bad = target(server.url, access_key=f"{ACCESS_KEY}\nX: y")
        with pytest.raises(UploadError) as caught:
            uploads.submit("u1", bad, wav, "a.wav").get(timeout=SECONDS)
        texts.append(repr(caught.value))
        texts.append(repr(uploads.__dict__))
    assert len(logs) == 18
    texts.append(json.dumps(logs, default=repr))
    for text in texts:
        assert ACCESS_KEY not in text
        assert SECRET_KEY not in text
