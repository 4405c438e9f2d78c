"""Recordings to S3: what a request means, the probe, one upload; against real HTTP servers."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.threadpool import ThreadPool

from tests.support.ports import free_port
from tests.support.s3server import (
    ACCESS_KEY,
    SECRET_KEY,
    MotoServer,
    clean_environment,
    dribbling,
    endless,
    hung,
    make_certificate,
    moto,
    scripted,
    target,
    unheard,
)
from tests.support.stalls import stand_still
from vsi_esl.errors import Invalid, NotSupported, VsiError
from vsi_esl.net.guard import AddressGuard
from vsi_esl.storage import s3direct
from vsi_esl.storage.s3 import MAX_OBJECT_BYTES, S3Target, UploadError, probe, put, resolve, warm_up
from vsi_esl.storage.s3client import in_thread

SECONDS = 20.0
OPEN, CLOSED = AddressGuard(True), AddressGuard(False)


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
        resolve("s3", None, **{"s3_bucket": "recordings", "allow_insecure": False, "guard": OPEN, **fields})
    return caught.value


def probe_error(where: S3Target, timeout: float = SECONDS, guard: AddressGuard = OPEN) -> str:
    with pytest.raises(Invalid) as caught:
        probe(where, timeout, guard)
    return caught.value.message


def unsure(where: S3Target, timeout: float = SECONDS) -> str:
    """What kept the probe from knowing."""
    problem = probe(where, timeout, OPEN)
    assert problem
    return problem


@pytest.fixture(params=["server", "request"])
def named_by(request: pytest.FixtureRequest) -> str:
    """Who named the endpoint: the two ways in which requests go out."""
    return str(request.param)


# -- what a request means --


@pytest.mark.parametrize("storage", ["", "file"])
def test_a_file_needs_no_store(storage):
    assert resolve(storage, S3Target("b12"), s3_bucket="other", guard=OPEN, allow_insecure=False) is None


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
        resolve(storage, None, guard=OPEN, allow_insecure=False)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_the_servers_store():
    server = S3Target("bkt", "eu-west-1", "https://s3.example.com", "rec/", "a", "s")
    # the fields of a request count together with a bucket only
    assert resolve("s3", server, s3_region="x", s3_prefix="y", guard=OPEN, allow_insecure=False) is server


def test_a_requests_own_store_ignores_the_servers():
    server = S3Target("bkt", "eu-west-1", "https://s3.example.com", "rec/", "a", "s")
    own = resolve("s3", server, s3_bucket="own", guard=OPEN, allow_insecure=False)
    assert own == S3Target("own", "us-east-1", named_by="request")
    own = resolve(
        "s3",
        server,
        s3_bucket="own",
        s3_region="eu-central-1",
        s3_endpoint="https://minio.example.com:9000",
        s3_prefix="/x",
        s3_access_key="k",
        s3_secret_key="z",
        guard=OPEN,
        allow_insecure=False,
    )
    assert own == S3Target(
        "own", "eu-central-1", "https://minio.example.com:9000", "/x", "k", "z", named_by="request"
    )


@pytest.mark.parametrize("keys", [{"s3_access_key": "k"}, {"s3_secret_key": "z"}])
def test_one_key_alone_is_not_used(keys):
    own = resolve("s3", None, s3_bucket="own", guard=OPEN, allow_insecure=False, **keys)
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
        f'create S3 backend: s3 endpoint is plaintext http: "{endpoint}"'
        " (set S3_ALLOW_INSECURE_ENDPOINT=true to override)",
    )
    assert (
        resolve("s3", None, s3_bucket="own", s3_endpoint=endpoint, guard=OPEN, allow_insecure=True)
        is not None
    )
    with pytest.raises(Invalid, match="plaintext"):
        resolve("s3", S3Target("bkt", endpoint=endpoint), guard=OPEN, allow_insecure=False)


@pytest.mark.parametrize(
    "endpoint",
    """
    http://localhost:9000 http://minio:9000 http://minio.local http://127.0.0.1 http://127.1 http://10.1.2.3
    http://192.168.0.9:9000/ http://169.254.1.1 http://[::1]:9000 http://[fd00::1] http://[fe80::1]
    http://[::ffff:10.0.0.1] http://LocalHost.
    http://x.localhost http://s3.corp.internal http://n.home.arpa
    https://s3.example.com https://8.8.8.8/s3
    """.split(),
)
def test_plaintext_allowed(endpoint):
    own = resolve("s3", None, s3_bucket="own", s3_endpoint=endpoint, guard=OPEN, allow_insecure=False)
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


# -- endpoints of clients --


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1 has a private address (127.0.0.1), which is not allowed"),
        ("2130706433", "2130706433 has a private address (127.0.0.1), which is not allowed"),
        ("0x7f.1", "0x7f.1 has a private address (127.0.0.1), which is not allowed"),
        ("[::1]", "::1 has a private address (::1), which is not allowed"),
        (
            "[::ffff:10.1.1.1]",
            "::ffff:10.1.1.1 has a private address (::ffff:10.1.1.1), which is not allowed",
        ),
        ("169.254.169.254", "169.254.169.254 has a private address (169.254.169.254), which is not allowed"),
        ("localhost", "localhost is this machine, which is not allowed"),
        ("s3.localhost", "s3.localhost is this machine, which is not allowed"),
    ],
)
def test_private_endpoints_of_requests_are_refused(host, shown):
    error = refusal(s3_endpoint=f"https://{host}:9000", guard=CLOSED)
    assert (error.code, error.message) == (400, f"create S3 backend: s3_endpoint: {shown}")
    server = S3Target("recordings", endpoint=f"https://{host}:9000")
    assert resolve("s3", server, allow_insecure=False, guard=CLOSED) is server  # the operator's may be


def test_the_operator_lists_what_else_is_allowed(wav):
    guard = AddressGuard(False, [ipaddress.ip_network("127.0.0.0/8")])
    with scripted() as server:
        own = resolve(
            "s3", None, s3_bucket="recordings", s3_endpoint=server.url, allow_insecure=False, guard=guard
        )
        assert own is not None
        assert probe(own, SECONDS, guard) == ""
        put(own, wav, "a.wav", SECONDS, guard)
        assert len(server.requests) == 2


def test_a_name_that_leads_inside_is_not_connected_to(wav, monkeypatch):
    monkeypatch.setattr(s3direct.Connector, "_resolve", lambda *_: ["127.0.0.1"], raising=False)
    with scripted() as server:
        where = target(server.url.replace("127.0.0.1", "localhost"), named_by="request")
        message = "s3_endpoint: localhost has a private address (127.0.0.1), which is not allowed"
        assert probe_error(where, guard=CLOSED) == f"create S3 backend: {message}"
        with pytest.raises(UploadError, match="has a private address"):
            put(where, wav, "a.wav", SECONDS, CLOSED)
        assert server.requests == []


def test_endpoints_of_requests_get_no_credentials_but_the_requests(wav, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEOPERATOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-of-the-operator")
    with scripted() as server:
        for keys in ({}, {"access_key": "", "secret_key": ""}, {"secret_key": ""}):
            where = target(server.url, named_by="request", **keys)
            assert probe(where, SECONDS, OPEN) == ""
            put(where, wav, "a.wav", SECONDS, OPEN)
    signed, unsigned = server.requests[:2], server.requests[2:]
    assert all(f"Credential={ACCESS_KEY}/" in one["HTTP_AUTHORIZATION"] for one in signed)
    assert len(unsigned) == 4
    assert not any("HTTP_AUTHORIZATION" in one for one in unsigned)
    assert "OPERATOR" not in str(server.requests).upper()
    assert "HTTP_X_AMZ_SECURITY_TOKEN" not in str(server.requests)


def test_the_operators_proxy_is_not_a_way_inside(wav, monkeypatch):
    with scripted() as proxy, scripted() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        put(target(server.url, named_by="request"), wav, "a.wav", SECONDS, OPEN)
        assert (len(server.requests), proxy.requests) == (1, [])


def test_an_endless_answer_is_not_read(wav):
    with endless() as url, gevent.Timeout(20):
        where = target(url, named_by="request")
        with pytest.raises(UploadError, match="S3 answered 500"):
            put(where, wav, "a.wav", SECONDS, OPEN)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_one_request_and_its_status(wav, status, named_by):
    with scripted() as other, scripted(*[status] * 100, location=other.url) as server:
        where = target(server.url, named_by=named_by)
        assert unsure(where) == f"S3 answered {status}, redirects are not followed"
        with pytest.raises(UploadError, match=rf"^S3 answered {status}, redirects are not followed$"):
            put(where, wav, "a.wav", SECONDS, OPEN)
        assert [one["REQUEST_METHOD"] for one in server.requests] == ["HEAD", "PUT"]
        assert other.requests == []


# -- the probe --


def test_probe_of_a_bucket_that_is_there(store, named_by):
    assert probe(target(store.url, named_by=named_by), SECONDS, OPEN) == ""


def test_probe_of_a_missing_bucket(store, named_by):
    message = probe_error(target(store.url, bucket="not-there", named_by=named_by))
    assert message == 's3 bucket does not exist: "not-there"'


@pytest.mark.parametrize("status", [400, 401, 403, 405, 500, 503])
def test_only_a_missing_bucket_is_a_refusal(status, named_by):
    with scripted(status) as server:
        assert unsure(target(server.url, named_by=named_by)) == f"S3 answered {status}"
        assert [request["REQUEST_METHOD"] for request in server.requests] == ["HEAD"]
        assert server.requests[0]["PATH_INFO"] == "/recordings"


def test_probe_of_nobody(named_by):
    where = target(f"http://127.0.0.1:{free_port()}", named_by=named_by)
    assert unsure(where) == "cannot connect: Connection refused"


def test_probe_of_a_name_that_does_not_exist(named_by):
    assert unsure(target("http://nobody.invalid", named_by=named_by)).startswith("cannot connect: ")


def test_probe_without_tls_at_the_other_end(named_by):
    with scripted() as server:
        where = target(server.url.replace("http:", "https:"), named_by=named_by)
        assert unsure(where).startswith("TLS failed")


def test_probe_without_credentials(store):
    assert unsure(target(store.url, access_key="", secret_key="")) == "no credentials"


@pytest.mark.parametrize("server", [hung, dribbling])
def test_probe_of_a_hung_endpoint_ends_at_the_deadline(server, named_by):
    with server() as url:
        begun = time.monotonic()
        assert unsure(target(url, named_by=named_by), 0.5) == "no answer within 0.5 s"
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("server", [unheard, hung])
def test_the_socket_of_an_attempt_that_came_to_nothing_is_closed(server, secure, named_by, wav, monkeypatch):
    left: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: left.append(repr(one.exc_value)))
    pool = ThreadPool(1)
    try:
        with server() as plain:
            url = plain.replace("http", "https") if secure else plain
            for _ in range(2):
                with pytest.raises(UploadError, match=r"no answer within 0\.7 s"):
                    put(target(url, named_by=named_by), wav, "a.wav", 0.7, OPEN, pool=pool)
            pool.join()
            gc.collect()
    finally:
        pool.kill()
    assert left == []


def test_the_thread_of_a_hung_upload_ends_too(wav):
    pool = ThreadPool(1)
    with dribbling() as url:
        with pytest.raises(UploadError, match=re.escape("no answer within 0.5 s")):
            put(target(url), wav, "a.wav", 0.5, OPEN, pool=pool)
        with gevent.Timeout(20):
            pool.join()
    pool.kill()


def test_a_warm_up_never_fails(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    warm_up.cache_clear()
    warm_up()


# -- an upload --


@pytest.mark.parametrize("prefix", ["", "rec-", "calls/2026/", "/lead//ing/", "sp ace+é%41&?#/"])
def test_an_upload_arrives(store, wav, prefix, named_by):
    location = put(target(store.url, named_by=named_by, prefix=prefix), wav, "a.wav", SECONDS, OPEN)
    assert location == f"s3://recordings/{prefix}a.wav"
    found = store.call("get_object", Bucket="recordings", Key=f"{prefix}a.wav")
    assert found["Body"] == Path(wav).read_bytes()
    assert found["ContentType"] == "audio/wav"


def test_an_empty_file_arrives(store, tmp_path, named_by):
    (tmp_path / "empty.wav").touch()
    put(target(store.url, named_by=named_by), str(tmp_path / "empty.wav"), "empty.wav", SECONDS, OPEN)
    assert store.call("get_object", Bucket="recordings", Key="empty.wav")["Body"] == b""


def test_what_is_sent(wav, named_by):
    with scripted() as server:
        put(
            target(server.url, named_by=named_by, region="eu-west-1", prefix="p/"),
            wav,
            "a.wav",
            SECONDS,
            OPEN,
        )
    (request,) = server.requests
    assert (request["REQUEST_METHOD"], request["PATH_INFO"]) == ("PUT", "/recordings/p/a.wav")  # path style
    assert request["body"] == Path(wav).read_bytes()
    assert request["CONTENT_TYPE"] == "audio/wav"
    assert request["HTTP_AUTHORIZATION"].startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")
    assert "/eu-west-1/s3/aws4_request" in request["HTTP_AUTHORIZATION"]
    assert not [name for name in request if "CHECKSUM" in name or "TRAILER" in name]


def test_tls(wav, tmp_path, monkeypatch, named_by):
    certificate = make_certificate(tmp_path / "certificate.pem")
    with scripted(certificate=certificate) as server:
        assert unsure(target(server.url, named_by=named_by)).startswith("TLS failed")
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
        assert probe(target(server.url, named_by=named_by), SECONDS, OPEN) == ""
        put(target(server.url, named_by=named_by), wav, "a.wav", SECONDS, OPEN)
    assert server.requests[-1]["body"] == Path(wav).read_bytes()
    assert not server.requests[-1].get("HTTP_TRANSFER_ENCODING")


def test_the_default_credential_chain(wav, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMTHECHAIN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with scripted() as server:
        put(target(server.url, access_key="", secret_key=""), wav, "a.wav", SECONDS, OPEN)
    assert "Credential=AKIAFROMTHECHAIN/" in server.requests[0]["HTTP_AUTHORIZATION"]


def test_a_failed_upload_is_tried_once(wav, named_by):
    with scripted(500) as server:
        with pytest.raises(UploadError, match=r"^S3 answered 500$"):
            put(target(server.url, named_by=named_by), wav, "a.wav", SECONDS, OPEN)
        assert len(server.requests) == 1


def test_an_upload_to_a_missing_bucket(store, wav, named_by):
    with pytest.raises(UploadError, match=r"^S3 answered 404 NoSuchBucket$"):
        put(target(store.url, named_by=named_by, bucket="not-there"), wav, "a.wav", SECONDS, OPEN)


def test_files_that_cannot_be_uploaded(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        put(target(store.url), str(tmp_path / "gone.wav"), "a.wav", SECONDS, OPEN)
    with pytest.raises(IsADirectoryError):
        put(target(store.url), str(tmp_path), "a.wav", SECONDS, OPEN)
    with open(tmp_path / "big.wav", "wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    with pytest.raises(UploadError, match="larger than 5 GiB") as caught:
        put(target(store.url), str(tmp_path / "big.wav"), "a.wav", SECONDS, OPEN)
    assert caught.value.final


def test_an_upload_does_not_hold_up_the_loop(store, tmp_path):
    size = 64 << 20
    with open(tmp_path / "long.wav", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    held = [0.0]
    warm_up()

    def tick() -> None:
        # What the loop's thread worked between two ticks: that the machine is busy is no fault of ours.
        while True:
            before = time.thread_time()
            gevent.sleep(0.005)
            held.append(time.thread_time() - before)

    ticker = gevent.spawn(tick)
    try:
        begun = time.monotonic()
        put(target(store.url), str(tmp_path / "long.wav"), "long.wav", 60.0, OPEN)
        took = time.monotonic() - begun
    finally:
        ticker.kill()
    assert store.call("head_object", Bucket="recordings", Key="long.wav")["ContentLength"] == size
    print(f"{size >> 20} MB in {took:.2f} s, {len(held)} ticks, longest work {max(held) * 1000:.1f} ms")
    assert len(held) > 10
    assert max(held) < 0.1


def test_what_was_done_while_we_stood_still_is_done():
    """Its thread has finished in time; the loop had no turn to hand that on."""
    pool = ThreadPool(1)
    result = []
    waiting = gevent.spawn(lambda: result.append(in_thread(pool, 0.5, stand_still, 0.1)))
    gevent.sleep(0.01)
    stand_still(0.8)
    waiting.join(20)
    assert result == [None], "as of `stand_still`"
    pool.kill()
