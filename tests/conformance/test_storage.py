"""Recordings in S3: a real S3 server, a process of its own, that can be away or hang."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator

import pytest

from tests.support.drivers import eventually
from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    free_port,
    hung,
    moto,
)

from .test_inbound import answered

KEYS = {"s3_access_key": ACCESS_KEY, "s3_secret_key": SECRET_KEY}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    """With the bucket `recordings`."""
    with moto() as running:
        yield running


def settings(url: str, **more) -> dict:
    """Server-level settings."""
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    return {"bucket": "recordings", "endpoint": url, **keys, **more}


def stored(server: MotoServer, key: str) -> dict:
    return server.call("get_object", Bucket="recordings", Key=key)


def objects(server: MotoServer) -> list[str]:
    listed = server.call("list_objects_v2", Bucket="recordings")
    return [one["Key"] for one in listed.get("Contents", [])]


def record(client, leg: str, **more) -> str:
    return client.ok("leg_record_start", id=leg, storage="s3", **more)["file"]


def test_the_servers_bucket(switch, connect, start, server):
    client = connect(start(s3=settings(server.url, prefix="calls-")))
    _, leg = answered(switch, client)
    file = record(client, leg)
    assert not file.startswith("s3:")
    key = f"calls-{os.path.basename(file)}"
    stopped = client.ok("leg_record_stop", id=leg)
    assert stopped == {"status": "stopped", "file": f"s3://recordings/{key}"}
    assert client.event("recording.finished")["file"] == stopped["file"]
    found = stored(server, key)
    assert found["ContentType"] == "audio/wav" and found["Body"][:4] == b"RIFF"
    assert os.listdir(os.path.dirname(file)) == []


def test_a_bucket_of_the_request(switch, connect, start, server):
    server.call("create_bucket", Bucket="tenant-7")
    client = connect(start(s3=settings("http://127.0.0.1:1", bucket="elsewhere")))
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room")
    request = {"s3_bucket": "tenant-7", "s3_endpoint": server.url, "s3_prefix": "a/", **KEYS}
    client.ok("room_record_start", id="r", storage="s3", multi_channel=True, **request)
    stopped = client.ok("room_record_stop", id="r")
    for name in ("file", "multi_channel_file"):
        assert stopped[name].startswith("s3://tenant-7/a/")
        key = stopped[name].removeprefix("s3://tenant-7/")
        assert server.call("get_object", Bucket="tenant-7", Key=key)["Body"][:4] == b"RIFF"


def test_what_cannot_work_is_refused_at_the_start(switch, connect, start, server):
    client = connect(start(s3=settings(server.url, bucket="nowhere")))
    _, leg = answered(switch, client)
    missing = (400, "create S3 backend: s3 bucket does not exist: nowhere")
    assert client.error("leg_record_start", id=leg, storage="s3") == missing
    plain = {"s3_bucket": "recordings", "s3_endpoint": "http://s3.example.com"}
    code, message = client.error("leg_record_start", id=leg, storage="s3", **plain, **KEYS)
    assert (code, message[:56]) == (400, "create S3 backend: s3 endpoint is plaintext http: http:/")
    away = {"s3_bucket": "recordings", "s3_endpoint": f"http://127.0.0.1:{free_port()}"}
    code, message = client.error("leg_record_start", id=leg, storage="s3", **away, **KEYS)
    assert code == 400 and message.startswith("create S3 backend: ")
    assert SECRET_KEY not in message and ACCESS_KEY not in message
    assert not client.seen("recording.started")


def test_s3_down_at_the_end_loses_nothing(switch, connect, start, server):
    service = start(s3=settings(server.url, upload_timeout=0.5))
    client = connect(service)
    peer, leg = answered(switch, client)
    file = record(client, leg)
    server.stop()
    peer.hang_up()
    # the local file is what there is, before the last event of the leg
    assert client.event("recording.finished")["file"] == file
    client.event("leg.disconnected", leg_id=leg)
    with wave.open(file) as local:
        assert local.getnchannels() == 2
    assert len(service.ctx.recordings) == 1
    server.start()
    server.call("create_bucket", Bucket="recordings")
    eventually(lambda: os.path.basename(file) in objects(server), "the upload goes on", 30)
    eventually(lambda: len(service.ctx.recordings) == 0, "and is done with")
    assert os.path.exists(file), "what was reported stays"
    assert len(client.seen("recording.finished")) == 1
    assert service.ctx.state.items("recording") == []


def test_a_restart_during_the_upload(switch, connect, start, server):
    first = start(s3=settings(server.url, upload_timeout=20.0))
    client = connect(first)
    peer, leg = answered(switch, client)
    file = record(client, leg)
    server.stop()
    peer.hang_up()
    eventually(lambda: os.path.exists(file), "the recording is published")
    first.stop()
    assert not client.seen("recording.finished")
    server.start()
    server.call("create_bucket", Bucket="recordings")
    second = start(wait=False, s3=settings(server.url, upload_timeout=20.0))
    client = connect(second)
    done = client.event("recording.finished", 30)
    assert (done["leg_id"], done["file"]) == (leg, f"s3://recordings/{os.path.basename(file)}")
    client.event("leg.disconnected", leg_id=leg)
    assert os.path.basename(file) in objects(server)
    assert not os.path.exists(file)
    eventually(lambda: second.ctx.state.items("recording") == [], "it is done with")


def test_an_endpoint_that_hangs(switch, connect, start):
    with hung() as url:
        client = connect(start(s3=settings(url, request_preflight_timeout=0.3)))
        _, leg = answered(switch, client)
        code, message = client.error("leg_record_start", id=leg, storage="s3")
        assert code == 400 and message.startswith("create S3 backend: ")
        assert client.ok("leg_record_start", id=leg)["status"] == "recording"
