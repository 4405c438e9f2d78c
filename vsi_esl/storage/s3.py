"""S3 as a place for recordings: which bucket a request means, whether it is there, and one upload."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from urllib.parse import urlsplit

from gevent.threadpool import ThreadPool

from ..errors import Invalid, NotSupported
from ..net.guard import AddressGuard, Forbidden, is_local, literal
from .s3client import Failure, client, in_thread, shared_pool
from .s3direct import WHAT

DEFAULT_REGION = "us-east-1"
CONTENT_TYPE = "audio/wav"
MAX_OBJECT_BYTES = 5 * 1024**3
"""What a single PutObject can carry."""
MAX_PREFIX_BYTES = 896
"""A key has at most 1024 bytes; the rest is for the file name."""

BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
VISIBLE = re.compile(r"[!-~]+")

LOCAL_NAMES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa")
"""Endings of names that are not those of hosts on the internet."""


class UploadError(Exception):
    """A file did not get to S3; the message says why, without secrets.

    `final`: repeating it would not help.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(slots=True, frozen=True)
class S3Target:
    """Where recordings go. Without both keys the default AWS credential chain is used, but for an endpoint
    that a request named: that one gets nothing signed.

    An empty `region` leaves it to the AWS configuration; an empty `endpoint` means AWS itself. `named_by` is
    "server" (the operator) or "request": the endpoint of a request has to pass the address guard.
    """

    bucket: str
    region: str = DEFAULT_REGION
    endpoint: str = ""
    prefix: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    named_by: str = "server"

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


FILE, S3 = STORAGES = ("file", "s3")
"""Where a recording can go."""


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
    guard: AddressGuard,
) -> S3Target | None:
    """Where a request wants its recording; None for the local file alone.

    With `s3_bucket` the request's own settings count and none of the server's. Raises Invalid for settings
    that cannot work or must not be used, NotSupported for gcs. Nothing is contacted; see `probe`, which finds
    out where the name of an endpoint leads.
    """
    if storage in ("", FILE):
        return None
    if storage == "gcs":
        raise NotSupported("storage type gcs is not implemented by this server")
    if storage != S3:
        raise Invalid(f"unknown storage type: {storage}")
    if s3_bucket:
        keys = (s3_access_key, s3_secret_key) if s3_access_key and s3_secret_key else ("", "")
        region = s3_region or DEFAULT_REGION
        target = S3Target(s3_bucket, region, s3_endpoint, s3_prefix, *keys, named_by="request")
    elif server is not None:
        target = server
    else:
        raise Invalid("S3 storage not configured: set S3_BUCKET env var or provide s3_bucket in request")
    check(target, allow_insecure=allow_insecure)
    if s3_bucket and s3_endpoint:
        try:
            guard.check_name(urlsplit(s3_endpoint).hostname or "", WHAT)
        except Forbidden as error:
            raise _refused(error.message) from None
    return target


def check(target: S3Target, *, allow_insecure: bool) -> None:
    """Raise Invalid("create S3 backend: ...") for settings that cannot work or must not be used."""
    bucket = target.bucket
    if not BUCKET.fullmatch(bucket) or literal(bucket) is not None:
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


def probe(target: S3Target, timeout: float, guard: AddressGuard) -> str:
    """See that the bucket is there, in one attempt of at most `timeout` seconds.

    Raises Invalid when the store says that there is no such bucket, or when the endpoint is one that must not
    be used. Otherwise what stands in the way of knowing, or an empty text: credentials that may only put
    objects cannot look (403), and a store that does not answer now may do so when the recording ends.
    """
    outcome = in_thread(shared_pool(), timeout, _head, target, timeout, guard)
    if not isinstance(outcome, Failure):
        return ""
    if outcome.status == 404:
        raise Invalid(f's3 bucket does not exist: "{target.bucket}"')
    if outcome.forbidden:
        raise _refused(f"{WHAT}: {outcome.reason}")
    return outcome.reason


def put(
    target: S3Target,
    path: str,
    name: str,
    timeout: float,
    guard: AddressGuard,
    *,
    pool: ThreadPool | None = None,
) -> str:
    """Upload the file at `path` as prefix + `name`, and return its location. One attempt, `timeout` seconds.

    Runs in a thread of `pool` or of one shared with the probes; only the calling greenlet waits. Raises
    OSError when the file cannot be opened (FileNotFoundError when it is gone), otherwise UploadError. After
    the deadline the thread ends by itself, and the object may yet appear: repeating is harmless.
    """
    if pool is None:  # an idle pool is false
        pool = shared_pool()
    outcome = in_thread(pool, timeout, _put, target, path, name, timeout, guard)
    if isinstance(outcome, Failure):
        if outcome.errno:
            raise OSError(outcome.errno, os.strerror(outcome.errno), path)
        raise UploadError(outcome.reason, final=outcome.final)
    return outcome


@cache
def warm_up() -> None:
    """Load what the first client of a process needs: up to 0.2 s of computing, for the start of the service.

    Otherwise the first upload does it, and holds the interpreter lock, and with it the gevent loop, for up
    to 0.1 s at a time. Contacts nobody.
    """
    # with keys, because the credential chain may ask the network
    nowhere = S3Target("warm-up", access_key="-", secret_key="-")  # noqa: S106
    # what is wrong with the AWS settings is told by the first probe or upload
    with suppress(Exception), client(nowhere, 1.0, AddressGuard(False)):
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
        hint = "(set S3_ALLOW_INSECURE_ENDPOINT=true to override)"
        raise _refused(f's3 endpoint is plaintext http: "{shown}" {hint}')


def _is_local(host: str) -> bool:
    """Whether the host cannot be one on the internet, going by its name alone."""
    address = literal(host)
    if address is not None:
        return is_local(address)
    name = host.lower().removesuffix(".")
    return name == "localhost" or "." not in name or name.endswith(LOCAL_NAMES)


# -- in a thread --


def _head(target: S3Target, timeout: float, guard: AddressGuard) -> None:
    with client(target, timeout, guard) as s3:
        s3.head_bucket(Bucket=target.bucket)


def _put(target: S3Target, path: str, name: str, timeout: float, guard: AddressGuard) -> str | Failure:
    try:
        file = open(path, "rb")  # noqa: SIM115 - an error of the file is one thing, of the upload another
    except OSError as error:
        return Failure(error.strerror or "cannot open the file", errno=error.errno or 0)
    with file:
        if os.fstat(file.fileno()).st_size > MAX_OBJECT_BYTES:
            return Failure("the file is larger than 5 GiB, the most S3 takes in one piece", final=True)
        with client(target, timeout, guard) as s3:
            s3.put_object(Bucket=target.bucket, Key=target.key(name), Body=file, ContentType=CONTENT_TYPE)
    return target.location(name)
