"""Recordings in S3: a real S3 server, a process of its own, that can be away or hang."""

from __future__ import annotations

import os
import signal
import time
import wave
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from tests.support.calls import answered, media_passed
from tests.support.drivers import eventually
from tests.support.process import environ_of
from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    hung,
    moto,
    scripted,
)
from tests.support.service import Scrape
from vsi_esl.model.sound_stores import Recordings

KEYS = {"s3_access_key": ACCESS_KEY, "s3_secret_key": SECRET_KEY}
LOOPBACK = (ip_network("127.0.0.0/8"),)


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
    elsewhere = settings("http://127.0.0.1:1", bucket="elsewhere", allowed_networks=LOOPBACK)
    client = connect(start(s3=elsewhere))
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
    missing = (400, 's3 bucket does not exist: "nowhere"')
    assert client.error("leg_record_start", id=leg, storage="s3") == missing
    plain = {"s3_bucket": "recordings", "s3_endpoint": "http://s3.example.com"}
    code, message = client.error("leg_record_start", id=leg, storage="s3", **plain, **KEYS)
    assert (code, message[:57]) == (400, 'create S3 backend: s3 endpoint is plaintext http: "http:/')
    assert not client.seen("recording.started")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "localhost", "[::ffff:127.0.0.1]"])
def test_endpoints_of_clients_do_not_lead_inside(switch, connect, start, host):
    with scripted() as inside:
        # the operator's own may be there
        client = connect(start(s3=settings(inside.url)))
        _, leg = answered(switch, client)
        there = inside.url.replace("127.0.0.1", host)
        request = {"s3_bucket": "recordings", "s3_endpoint": there}
        code, message = client.error("leg_record_start", id=leg, storage="s3", **request, **KEYS)
        assert code == 400 and message.startswith("create S3 backend: s3_endpoint: ")
        assert SECRET_KEY not in message and ACCESS_KEY not in message
        assert inside.requests == []
        record(client, leg)
        client.ok("leg_record_stop", id=leg)
        assert [one["REQUEST_METHOD"] for one in inside.requests] == ["HEAD", "PUT"]


def test_endpoints_of_clients_get_nothing_of_the_operators(switch, connect, start, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEOPERATOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-of-the-operator")
    with scripted() as server:
        client = connect(start(s3={"allowed_networks": LOOPBACK}))
        _, leg = answered(switch, client)
        record(client, leg, s3_bucket="recordings", s3_endpoint=server.url)
        location = client.ok("leg_record_stop", id=leg)["file"]
        assert location.startswith("s3://recordings/")
    assert [one["REQUEST_METHOD"] for one in server.requests] == ["HEAD", "PUT"]
    assert not any(
        "HTTP_AUTHORIZATION" in one or "HTTP_X_AMZ_SECURITY_TOKEN" in one for one in server.requests
    )


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 500])
def test_only_a_missing_bucket_refuses_a_recording(switch, connect, start, status):
    # 403 is what credentials that may only put objects get when they look
    with scripted(status) as server:
        service = start(s3=settings(server.url))
        client = connect(service)
        _, leg = answered(switch, client)
        with capture_logs() as logs:
            record(client, leg)
        assert client.ok("leg_record_stop", id=leg)["file"].startswith("s3://recordings/")
        assert [one["REQUEST_METHOD"] for one in server.requests] == ["HEAD", "PUT"]
    (line,) = [line for line in logs if line["event"] == "S3 bucket not verified"]
    assert (line["log_level"], line["bucket"], line["reason"][:15]) == (
        "warning",
        "recordings",
        f"S3 answered {status}",
    )
    assert Scrape(service).value("vsi_esl_s3_buckets_unverified_total") == 1


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
    assert len(service.ctx.get(Recordings)) == 1
    server.start()
    server.call("create_bucket", Bucket="recordings")
    eventually(lambda: os.path.basename(file) in objects(server), "the upload goes on", 30)
    eventually(lambda: len(service.ctx.get(Recordings)) == 0, "and is done with")
    assert os.path.exists(file), "what was reported stays"
    assert len(client.seen("recording.finished")) == 1
    eventually(lambda: service.ctx.state.items("recording") == [], "and forgotten")


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
    last = client.events[-1]["event_id"]
    server.start()
    server.call("create_bucket", Bucket="recordings")
    second = start(wait=False, s3=settings(server.url, upload_timeout=20.0))
    client = connect(second, f"?since={last}")
    done = client.event("recording.finished", 30)
    assert (done["leg_id"], done["file"]) == (leg, f"s3://recordings/{os.path.basename(file)}")
    client.event("leg.disconnected", leg_id=leg)
    assert os.path.basename(file) in objects(server)
    assert not os.path.exists(file)
    eventually(lambda: second.ctx.state.items("recording") == [], "it is done with")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_a_call_is_not_lost_with_its_upload(switch, tmp_path, server, start_process, end):
    """What the switch told of it is told by the next process, once, behind the recording."""
    keys = {"S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY, "S3_BUCKET": "recordings"}
    keys |= {"S3_ENDPOINT": server.url, "VSI_ESL_S3_UPLOAD_TIMEOUT": "20s"}
    environ = environ_of(switch, tmp_path) | keys
    first = start_process(environ)
    client = first.client
    began = time.monotonic()
    plain, other = answered(switch, client)
    peer, leg = answered(switch, client)
    file = record(client, leg)
    for one in (plain, peer):
        media_passed(switch, one)
    server.stop()
    plain.hang_up()
    told = client.event("leg.disconnected", leg_id=other)
    peer.hang_up()
    eventually(lambda: os.path.exists(file), "the recording is published, its upload goes on")
    longest = time.monotonic() - began + 0.1
    first.end(end)
    assert not client.seen("leg.disconnected", leg_id=leg)
    server.start()
    server.call("create_bucket", Bucket="recordings")
    second = start_process(environ, since=told["event_id"])
    client = second.client
    ended = client.event("leg.disconnected", 30, leg_id=leg)
    assert ended["cdr"]["reason"] == "remote_bye"
    assert ended.keys() == told.keys()
    assert ended["cdr"]["duration_total"] <= longest
    assert client.types(leg_id=leg) == ["recording.finished", "leg.disconnected"]
    second.end(end)
    third = start_process(environ, since=ended["event_id"])
    _, another = answered(switch, third.client)  # by then whatever there is to tell was told
    assert third.client.types(leg_id=leg) == []
    assert [one["id"] for one in third.client.ok("list_legs")] == [another]


def test_an_endpoint_that_says_nothing_does_not_prevent_a_recording(switch, connect, start):
    with hung() as url:
        service = start(s3=settings(url, request_preflight_timeout=0.3, upload_timeout=0.3))
        client = connect(service)
        _, leg = answered(switch, client)
        file = record(client, leg)
        assert service.ctx.nodes.default.host.uploads.unverified == 1
        assert client.ok("leg_record_stop", id=leg)["file"] == file


def test_a_recording_need_not_look_at_its_bucket(switch, connect, start):
    with scripted() as server:
        client = connect(start(s3=settings(server.url, request_preflight_timeout=0.0)))
        _, leg = answered(switch, client)
        record(client, leg)
        assert server.requests == []
        client.ok("leg_record_stop", id=leg)
        assert [one["REQUEST_METHOD"] for one in server.requests] == ["PUT"]
