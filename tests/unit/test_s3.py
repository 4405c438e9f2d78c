"""Recordings to S3: what a request means, the probe, one upload; against real HTTP servers."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.threadpool import ThreadPool

from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    dribbling,
    free_port,
    hung,
    make_certificate,
    moto,
    scripted,
    target,
)
from vsi_esl.errors import Invalid, NotSupported, VsiError
from vsi_esl.storage.s3 import MAX_OBJECT_BYTES, S3Target, UploadError, probe, put, resolve, warm_up

SECONDS = 20.0


@pytest.fixture(scope="module")
def store() -> Iterator[MotoServer]:
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        with moto() as server:
            yield server


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + os.urandom(100_000))
    return str(path)


def refusal(**fields) -> VsiError:
    with pytest.raises(VsiError) as caught:
        resolve("s3", None, **{"s3_bucket": "recordings", "allow_insecure": False, **fields})
    return caught.value


def probe_error(where: S3Target, timeout: float = SECONDS) -> str:
    with pytest.raises(Invalid) as caught:
        probe(where, timeout)
    return caught.value.message


# -- what a request means --


@pytest.mark.parametrize("storage", ["", "file"])
def test_a_file_needs_no_store(storage):
    assert resolve(storage, S3Target("b12"), s3_bucket="other", allow_insecure=False) is None


@pytest.mark.parametrize(
    ("storage", "kind", "code", "message"),
    [
        ("gcs", NotSupported, 501, "storage type gcs is not implemented by this server"),
        ("S3", Invalid, 400, "unknown storage type: S3"),
        ("ftp", Invalid, 400, "unknown storage type: ftp"),
        (
            "s3",
            Invalid,
            400,
            "S3 storage not configured: set S3_BUCKET env var or provide s3_bucket in request",
        ),
    ],
)
def test_refused_storage(storage, kind, code, message):
    with pytest.raises(kind) as caught:
        resolve(storage, None, allow_insecure=False)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_the_servers_store():
    server = S3Target("bkt", "eu-west-1", "https://s3.example.com", "rec/", "a", "s")
    # the fields of a request count together with a bucket only
    assert resolve("s3", server, s3_region="x", s3_prefix="y", allow_insecure=False) is server


def test_a_requests_own_store_ignores_the_servers():
    server = S3Target("bkt", "eu-west-1", "https://s3.example.com", "rec/", "a", "s")
    own = resolve("s3", server, s3_bucket="own", allow_insecure=False)
    assert own == S3Target("own", "us-east-1", "", "", "", "")
    own = resolve(
        "s3",
        server,
        s3_bucket="own",
        s3_region="eu-central-1",
        s3_endpoint="https://minio.example.com:9000",
        s3_prefix="/x",
        s3_access_key="k",
        s3_secret_key="z",
        allow_insecure=False,
    )
    assert own == S3Target("own", "eu-central-1", "https://minio.example.com:9000", "/x", "k", "z")


@pytest.mark.parametrize("keys", [{"s3_access_key": "k"}, {"s3_secret_key": "z"}])
def test_one_key_alone_is_not_used(keys):
    own = resolve("s3", None, s3_bucket="own", allow_insecure=False, **keys)
    assert own is not None
    assert (own.access_key, own.secret_key) == ("", "")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://s3.example.com",
        "http://8.8.8.8:9000",
        "http://134744072",  # 8.8.8.8 to the C library
        "http://0x8080808/",
        "http://[2001:4860:4860::8888]",
        "http://[::ffff:8.8.8.8]",
        "HTTP://s3.example.com",
        "http://localhost.example.com",
    ],
)
def test_plaintext_is_for_the_local_network(endpoint):
    error = refusal(s3_endpoint=endpoint)
    assert (error.code, error.message) == (
        400,
        f"create S3 backend: s3 endpoint is plaintext http: {endpoint}",
    )
    assert resolve("s3", None, s3_bucket="own", s3_endpoint=endpoint, allow_insecure=True) is not None
    with pytest.raises(Invalid, match="plaintext"):
        resolve("s3", S3Target("bkt", endpoint=endpoint), allow_insecure=False)


@pytest.mark.parametrize(
    "endpoint",
    """
    http://localhost:9000 http://minio:9000 http://minio.local http://127.0.0.1 http://127.1 http://10.1.2.3
    http://192.168.0.9:9000/ http://169.254.1.1 http://[::1]:9000 http://[fd00::1] http://[fe80::1]
    http://[::ffff:10.0.0.1] http://LocalHost. https://s3.example.com https://8.8.8.8/s3
    """.split(),
)
def test_plaintext_allowed(endpoint):
    own = resolve("s3", None, s3_bucket="own", s3_endpoint=endpoint, allow_insecure=False)
    assert own is not None
    assert own.endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "minio:9000",
        "ftp://minio",
        "http://",
        "https:///x",
        "http://minio:x",
        "http://minio:0",
        "http://minio:99999",
        "http://[::1",
        "http://a b",
        "http://minio\n",
        "http://minio/?x=1",
        "http://minio#x",
        "http://evil.example.com\\.local",
        "http://mïnio",
    ],
)
def test_endpoints_that_are_none(endpoint):
    message = f"create S3 backend: s3 endpoint is no http(s) URL: {endpoint}"
    for insecure in (False, True):
        assert refusal(s3_endpoint=endpoint, allow_insecure=insecure).message == message


def test_a_password_in_the_endpoint_is_refused_and_not_shown():
    message = refusal(s3_endpoint="https://user:hunter2@s3.example.com").message
    assert message == "create S3 backend: s3 endpoint is no http(s) URL: (not shown)"


@pytest.mark.parametrize(
    "bucket",
    ["ab", "a" * 64, "Upper", "under_score", "-a1", "a1-", "a..b", "10.0.0.1", "a/b", "bkt\n", "bückets"],
)
def test_illegal_buckets(bucket):
    assert refusal(s3_bucket=bucket).message == (
        f"create S3 backend: s3 bucket name is not a legal one: {bucket}"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"s3_region": "evil.example.com/#"}, "s3 region is not a legal one: evil.example.com/#"),
        ({"s3_prefix": "p" * 897}, "s3 prefix is longer than 896 bytes"),
        ({"s3_prefix": "\ud800"}, "s3 prefix is no valid text"),
        (
            {"s3_access_key": "AKIA\nX: y", "s3_secret_key": "z"},
            "s3 access key has characters that cannot be sent",
        ),
        ({"s3_access_key": "AKIA", "s3_secret_key": "\ud800"}, "s3 secret key is no valid text"),
    ],
)
def test_other_settings_that_cannot_work(fields, message):
    assert refusal(**fields).message == f"create S3 backend: {message}"


def test_keys_and_locations_are_verbatim():
    assert S3Target("bkt", prefix="rec").key("a.wav") == "reca.wav"
    assert S3Target("bkt", prefix="/r//é/").location("a.wav") == "s3://bkt//r//é/a.wav"


def test_to_a_database_and_back():
    one = target("https://s3.example.com", prefix="p/", region="eu-west-1")
    assert S3Target.from_dict(one.to_dict()) == one
    assert S3Target.from_dict({"bucket": "bkt", "of_a_later_version": "x"}) == S3Target("bkt")
    with pytest.raises(KeyError):
        S3Target.from_dict({})


def test_secrets_are_not_shown():
    shown = f"{target('https://x.example.com')!r} {target('https://x.example.com')}"
    assert ACCESS_KEY not in shown
    assert SECRET_KEY not in shown
    assert "recordings" in shown


# -- the probe --


def test_probe_of_a_bucket_that_is_there(store):
    probe(target(store.url), SECONDS)


def test_probe_of_a_missing_bucket(store):
    message = probe_error(target(store.url, bucket="not-there"))
    assert message == "create S3 backend: s3 bucket does not exist: not-there"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "s3 access denied: recordings"),
        (404, "s3 bucket does not exist: recordings"),
        (500, "S3 answered 500"),
        (503, "S3 answered 503"),
    ],
)
def test_probe_answered_with_an_error_asks_once(status, message):
    with scripted(status) as server:
        assert probe_error(target(server.url)) == f"create S3 backend: {message}"
        assert [request["REQUEST_METHOD"] for request in server.requests] == ["HEAD"]
        assert server.requests[0]["PATH_INFO"] == "/recordings"


def test_probe_of_nobody():
    message = probe_error(target(f"http://127.0.0.1:{free_port()}"))
    assert message == "create S3 backend: cannot connect: Connection refused"


def test_probe_of_a_name_that_does_not_exist():
    assert probe_error(target("http://nobody.invalid")).startswith("create S3 backend: cannot connect: ")


def test_probe_without_tls_at_the_other_end():
    with scripted() as server:
        message = probe_error(target(server.url.replace("http:", "https:")))
    assert message.startswith("create S3 backend: TLS failed")


def test_probe_without_credentials(store):
    message = probe_error(target(store.url, access_key="", secret_key=""))
    assert message == "create S3 backend: no credentials"


@pytest.mark.parametrize("server", [hung, dribbling])
def test_probe_of_a_hung_endpoint_ends_at_the_deadline(server):
    with server() as url:
        begun = time.monotonic()
        assert probe_error(target(url), 0.5) == "create S3 backend: no answer within 0.5 s"
        assert time.monotonic() - begun < 2.0


def test_the_thread_of_a_hung_upload_ends_too(wav):
    pool = ThreadPool(1)
    with dribbling() as url:
        with pytest.raises(UploadError, match=re.escape("no answer within 0.5 s")):
            put(target(url), wav, "a.wav", 0.5, pool=pool)
        with gevent.Timeout(5):
            pool.join()
    pool.kill()


def test_a_warm_up_never_fails(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    warm_up()


# -- an upload --


@pytest.mark.parametrize("prefix", ["", "rec-", "calls/2026/", "/lead//ing/", "sp ace+é%41&?#/"])
def test_an_upload_arrives(store, wav, prefix):
    location = put(target(store.url, prefix=prefix), wav, "a.wav", SECONDS)
    assert location == f"s3://recordings/{prefix}a.wav"
    found = store.call("get_object", Bucket="recordings", Key=f"{prefix}a.wav")
    assert found["Body"] == Path(wav).read_bytes()
    assert found["ContentType"] == "audio/wav"


def test_an_empty_file_arrives(store, tmp_path):
    (tmp_path / "empty.wav").touch()
    put(target(store.url), str(tmp_path / "empty.wav"), "empty.wav", SECONDS)
    assert store.call("get_object", Bucket="recordings", Key="empty.wav")["Body"] == b""


def test_what_is_sent(wav):
    with scripted() as server:
        put(target(server.url, region="eu-west-1", prefix="p/"), wav, "a.wav", SECONDS)
    (request,) = server.requests
    assert (request["REQUEST_METHOD"], request["PATH_INFO"]) == ("PUT", "/recordings/p/a.wav")  # path style
    assert request["body"] == Path(wav).read_bytes()
    assert request["CONTENT_TYPE"] == "audio/wav"
    assert request["HTTP_AUTHORIZATION"].startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")
    assert "/eu-west-1/s3/aws4_request" in request["HTTP_AUTHORIZATION"]
    assert not [name for name in request if "CHECKSUM" in name or "TRAILER" in name]


def test_tls(wav, tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path / "certificate.pem")
    with scripted(certificate=certificate) as server:
        message = probe_error(target(server.url))
        assert message.startswith("create S3 backend: TLS failed")
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
        probe(target(server.url), SECONDS)
        put(target(server.url), wav, "a.wav", SECONDS)
    assert server.requests[-1]["body"] == Path(wav).read_bytes()
    assert not server.requests[-1].get("HTTP_TRANSFER_ENCODING")


def test_the_default_credential_chain(wav, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMTHECHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with scripted() as server:
        put(target(server.url, access_key="", secret_key=""), wav, "a.wav", SECONDS)
    assert "Credential=AKIAFROMTHECHAIN/" in server.requests[0]["HTTP_AUTHORIZATION"]


def test_a_failed_upload_is_tried_once(wav):
    with scripted(500) as server:
        with pytest.raises(UploadError, match=r"^S3 answered 500$"):
            put(target(server.url), wav, "a.wav", SECONDS)
        assert len(server.requests) == 1


def test_an_upload_to_a_missing_bucket(store, wav):
    with pytest.raises(UploadError, match=r"^S3 answered 404 NoSuchBucket$"):
        put(target(store.url, bucket="not-there"), wav, "a.wav", SECONDS)


def test_files_that_cannot_be_uploaded(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        put(target(store.url), str(tmp_path / "gone.wav"), "a.wav", SECONDS)
    with pytest.raises(IsADirectoryError):
        put(target(store.url), str(tmp_path), "a.wav", SECONDS)
    with open(tmp_path / "big.wav", "wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    with pytest.raises(UploadError, match="larger than 5 GiB") as caught:
        put(target(store.url), str(tmp_path / "big.wav"), "a.wav", SECONDS)
    assert caught.value.final


def test_an_upload_does_not_hold_up_the_loop(store, tmp_path):
    size = 64 << 20
    with open(tmp_path / "long.wav", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    late = [0.0]
    warm_up()

    def tick() -> None:
        while True:
            due = time.monotonic() + 0.005
            gevent.sleep(0.005)
            late.append(time.monotonic() - due)

    ticker = gevent.spawn(tick)
    try:
        begun = time.monotonic()
        put(target(store.url), str(tmp_path / "long.wav"), "long.wav", 60.0)
        took = time.monotonic() - begun
    finally:
        ticker.kill()
    assert store.call("head_object", Bucket="recordings", Key="long.wav")["ContentLength"] == size
    print(f"{size >> 20} MB in {took:.2f} s, {len(late)} ticks, latest {max(late) * 1000:.1f} ms")
    assert len(late) > 10
    assert max(late) < 0.25
