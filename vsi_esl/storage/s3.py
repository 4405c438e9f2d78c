"""S3 as a place for recordings: which bucket a request means, whether it is there, and one upload.

botocore waits and computes (credentials, hashing, file reads), so all of it happens in native threads and
never on the gevent loop. A socket opened in such a thread belongs to that thread's own gevent hub: each job
makes its client, uses it and closes it, and hands back plain values only. An exception would take the
frames, and with them the sockets, along.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.loaders
import botocore.session
import gevent
from botocore.config import Config
from gevent.threadpool import ThreadPool

from ..errors import Invalid, NotSupported

DEFAULT_REGION = "us-east-1"
CONTENT_TYPE = "audio/wav"
MAX_OBJECT_BYTES = 5 * 1024**3
"""What a single PutObject can carry."""
MAX_PREFIX_BYTES = 896
"""A key has at most 1024 bytes; the rest is for the file name."""
SHARED_THREADS = 16
"""How many probes can be under way; a hung endpoint holds a thread until the probe's deadline."""

BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
VISIBLE = re.compile(r"[!-~]+")

T = TypeVar("T")


class UploadError(Exception):
    """A file did not get to S3; the message says why, without secrets.

    `final`: repeating it would not help.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(slots=True, frozen=True)
class S3Target:
    """Where recordings go. Without both keys the default AWS credential chain is used.

    An empty `region` leaves it to the AWS configuration; an empty `endpoint` means AWS itself.
    """

    bucket: str
    region: str = DEFAULT_REGION
    endpoint: str = ""
    prefix: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)

    def to_dict(self) -> dict[str, str]:
        """All of it, secrets included, to be kept in the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: Mapping[str, str]) -> S3Target:
        """What `to_dict` gave; members this version does not know are left out.

        Raises KeyError when there is no bucket.
        """
        known = {item.name for item in fields(cls)}
        return cls(**{"bucket": members["bucket"], **{k: v for k, v in members.items() if k in known}})

    def key(self, name: str) -> str:
        """The object key of a file name: the prefix verbatim, no slash added."""
        return self.prefix + name

    def location(self, name: str) -> str:
        """`s3://bucket/key`, as the client is told."""
        return f"s3://{self.bucket}/{self.key(name)}"


def resolve(
    storage: str,
    server: S3Target | None,
    *,
    s3_bucket: str = "",
    s3_region: str = "",
    s3_endpoint: str = "",
    s3_prefix: str = "",
    s3_access_key: str = "",
    s3_secret_key: str = "",
    allow_insecure: bool,
) -> S3Target | None:
    """Where a request wants its recording; None for the local file alone.

    With `s3_bucket` the request's own settings count and none of the server's. Raises Invalid for settings
    that cannot work or must not be used, NotSupported for gcs. Nothing is contacted; see `probe`.
    """
    if storage in ("", "file"):
        return None
    if storage == "gcs":
        raise NotSupported("storage type gcs is not implemented by this server")
    if storage != "s3":
        raise Invalid(f"unknown storage type: {storage}")
    if s3_bucket:
        keys = (s3_access_key, s3_secret_key) if s3_access_key and s3_secret_key else ("", "")
        target = S3Target(s3_bucket, s3_region or DEFAULT_REGION, s3_endpoint, s3_prefix, *keys)
    elif server is not None:
        target = server
    else:
        raise Invalid("S3 storage not configured: set S3_BUCKET env var or provide s3_bucket in request")
    check(target, allow_insecure=allow_insecure)
    return target


def check(target: S3Target, *, allow_insecure: bool) -> None:
    """Raise Invalid("create S3 backend: ...") for settings that cannot work or must not be used."""
    bucket = target.bucket
    if not BUCKET.fullmatch(bucket) or _literal(bucket) is not None:
        raise _refused(f"s3 bucket name is not a legal one: {bucket[:100]}")
    if target.region and not REGION.fullmatch(target.region):
        raise _refused(f"s3 region is not a legal one: {target.region[:100]}")
    try:
        length = len(target.prefix.encode())
    except UnicodeEncodeError:
        raise _refused("s3 prefix is no valid text") from None
    if length > MAX_PREFIX_BYTES:
        raise _refused(f"s3 prefix is longer than {MAX_PREFIX_BYTES} bytes")
    if target.access_key and not VISIBLE.fullmatch(target.access_key):
        # it becomes part of a header, and http.client shows the header it refuses
        raise _refused("s3 access key has characters that cannot be sent")
    try:
        target.secret_key.encode()
    except UnicodeEncodeError:
        raise _refused("s3 secret key is no valid text") from None
    if target.endpoint:
        _check_endpoint(target.endpoint, allow_insecure)


def probe(target: S3Target, timeout: float) -> None:
    """See that the bucket is there and open to us; at most `timeout` seconds, one attempt.

    Raises Invalid("create S3 backend: ...").
    """
    outcome = _in_thread(_shared_pool(), timeout, _head, target, timeout)
    if isinstance(outcome, _Failure):
        if outcome.status == 404:
            raise _refused(f"s3 bucket does not exist: {target.bucket}")
        if outcome.status == 403:
            raise _refused(f"s3 access denied: {target.bucket}")
        raise _refused(outcome.reason)


def put(target: S3Target, path: str, name: str, timeout: float, *, pool: ThreadPool | None = None) -> str:
    """Upload the file at `path` as prefix + `name`, and return its location. One attempt, `timeout` seconds.

    Runs in a thread of `pool` or of one shared with the probes; only the calling greenlet waits. Raises
    OSError when the file cannot be opened (FileNotFoundError when it is gone), otherwise UploadError. After
    the deadline the thread ends by itself, and the object may yet appear: repeating is harmless.
    """
    if pool is None:  # an idle pool is false
        pool = _shared_pool()
    outcome = _in_thread(pool, timeout, _put, target, path, name, timeout)
    if isinstance(outcome, _Failure):
        if outcome.errno:
            raise OSError(outcome.errno, os.strerror(outcome.errno), path)
        raise UploadError(outcome.reason, final=outcome.final)
    return outcome


def warm_up() -> None:
    """Load what the first client of a process needs: up to 0.2 s of computing, for the start of the service.

    Otherwise the first upload does it, and holds the interpreter lock, and with it the gevent loop, for up
    to 0.1 s at a time. Contacts nobody.
    """
    # with keys, because the credential chain may ask the network
    nowhere = S3Target("warm-up", access_key="-", secret_key="-")  # noqa: S106
    # what is wrong with the AWS settings is told by the first probe or upload
    with suppress(Exception), _client(nowhere, 1.0):
        pass


# -- the endpoint --


def _refused(reason: str) -> Invalid:
    return Invalid(f"create S3 backend: {reason}")


def _check_endpoint(endpoint: str, allow_insecure: bool) -> None:
    # urlsplit drops tabs and line ends and takes much else, so what it is given is looked at first
    shown = "(not shown)" if "@" in endpoint else endpoint[:200]  # user:password@host is a secret
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(f"s3 endpoint is no http(s) URL: {shown}") from None
    legal = (
        VISIBLE.fullmatch(endpoint)
        and parts.scheme in ("http", "https")
        and HOST.fullmatch(host)
        and port != 0
        and not set(endpoint) & set("@?#\\")
    )
    if not legal:
        raise _refused(f"s3 endpoint is no http(s) URL: {shown}")
    if parts.scheme == "http" and not allow_insecure and not _is_local(host):
        raise _refused(f"s3 endpoint is plaintext http: {shown}")


def _is_local(host: str) -> bool:
    """Whether the host cannot be one on the internet, going by its name alone."""
    address = _literal(host)
    if address is not None:
        mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:8.8.8.8 is 8.8.8.8, and not private
        address = mapped or address
        return address.is_private or address.is_loopback or address.is_link_local
    name = host.lower().removesuffix(".")
    return name == "localhost" or "." not in name or name.endswith(".local")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host written as one stands for, also in the forms only the C library takes."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # 134744072 and 0x8080808 look like names without a dot, and are 8.8.8.8
        return ipaddress.IPv4Address(socket.inet_aton(host.removesuffix(".")))
    except (OSError, UnicodeError):
        return None


# -- in a thread --


@dataclass(slots=True, frozen=True)
class _Failure:
    """What a job hands back instead of an exception."""

    reason: str
    status: int = 0
    errno: int = 0
    final: bool = False


@cache
def _shared_pool() -> ThreadPool:
    return ThreadPool(SHARED_THREADS)


@cache
def _loader() -> Any:
    """The description of the S3 API, read once: a client then costs some 15 ms instead of 50."""
    return botocore.loaders.create_loader()


def _in_thread(pool: ThreadPool, timeout: float, work: Callable[..., T], *args: Any) -> T | _Failure:
    """Run `work(*args)` in a thread of the pool; at the deadline the thread is left to itself."""
    outcome: T | _Failure = _late(timeout)
    with gevent.Timeout(timeout, False):
        outcome = pool.spawn(_guarded, time.monotonic() + timeout, timeout, work, args).get()
    return outcome


def _guarded(deadline: float, timeout: float, work: Callable[..., T], args: tuple[Any, ...]) -> T | _Failure:
    remaining = deadline - time.monotonic()
    if remaining <= 0:  # it waited for a thread for so long that nobody waits for it any more
        return _late(timeout)
    try:
        # in this thread's own hub; botocore's timeouts begin anew with every byte, this one does not
        with gevent.Timeout(remaining):
            return work(*args)
    except gevent.Timeout:
        return _late(timeout)
    except Exception as error:
        return _failure(error, timeout)


def _late(timeout: float) -> _Failure:
    return _Failure(f"no answer within {timeout:g} s")


@contextmanager
def _client(target: S3Target, timeout: float) -> Iterator[Any]:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    config = Config(
        signature_version="s3v4",
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # many stores that are not AWS refuse the checksums that are the default now
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if target.endpoint else "auto"},
    )
    client = session.create_client(
        "s3",
        region_name=target.region or None,
        endpoint_url=target.endpoint or None,
        aws_access_key_id=target.access_key or None,
        aws_secret_access_key=target.secret_key or None,
        config=config,
    )
    try:
        yield client
    finally:
        client.close()


def _head(target: S3Target, timeout: float) -> None:
    with _client(target, timeout) as client:
        client.head_bucket(Bucket=target.bucket)


def _put(target: S3Target, path: str, name: str, timeout: float) -> str | _Failure:
    try:
        file = open(path, "rb")  # noqa: SIM115 - an error of the file is one thing, of the upload another
    except OSError as error:
        return _Failure(error.strerror or "cannot open the file", errno=error.errno or 0)
    with file:
        if os.fstat(file.fileno()).st_size > MAX_OBJECT_BYTES:
            return _Failure("the file is larger than 5 GiB, the most S3 takes in one piece", final=True)
        with _client(target, timeout) as client:
            client.put_object(Bucket=target.bucket, Key=target.key(name), Body=file, ContentType=CONTENT_TYPE)
    return target.location(name)


NO_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
)
TIMEOUTS = (botocore.exceptions.ConnectTimeoutError, botocore.exceptions.ReadTimeoutError)


def _failure(error: Exception, timeout: float) -> _Failure:
    """Why it failed, in a few words of our own: texts of libraries can hold headers, and those the keys."""
    if isinstance(error, botocore.exceptions.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = re.sub(r"[^A-Za-z0-9._-]", "", str(error.response.get("Error", {}).get("Code", "")))[:60]
        return _Failure(f"S3 answered {status}" + (f" {code}" if code != str(status) else ""), status)
    if isinstance(error, NO_CREDENTIALS):
        return _Failure("no credentials")
    if isinstance(error, TIMEOUTS):
        return _late(timeout)
    cause = _system_error(error)
    if isinstance(error, botocore.exceptions.SSLError):
        return _Failure(f"TLS failed{cause}")
    if isinstance(error, botocore.exceptions.ProxyConnectionError):
        return _Failure(f"cannot connect to the proxy{cause}")
    if isinstance(error, botocore.exceptions.EndpointConnectionError):
        return _Failure(f"cannot connect{cause}")
    if isinstance(error, botocore.exceptions.ConnectionError | botocore.exceptions.HTTPClientError):
        return _Failure(f"the connection failed{cause}")
    return _Failure(type(error).__name__)


def _system_error(error: BaseException | None) -> str:
    """What the system said at the root of it, such as ": Connection refused"."""
    found = ""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            found = f": {error.strerror}"
        error = error.__cause__ or error.__context__
    return found
