"""S3 operations in native threads, by boto3: the client, what goes out, and how a failure is told.

boto3 waits and computes (credentials, hashing, file reads), so all of it happens in threads and never on the
gevent loop. A socket opened in such a thread belongs to that thread's own gevent hub: each job makes its
client, uses it and closes it, and hands back plain values only. An exception would take the frames, and with
them the sockets, along.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import boto3.session
import botocore.exceptions
import botocore.loaders
import botocore.session
import gevent
from botocore import UNSIGNED
from botocore.config import Config
from gevent.threadpool import ThreadPool

from ..later import Within
from ..net.guard import AddressGuard, Forbidden
from .s3direct import WHAT, Direct

if TYPE_CHECKING:
    from .s3 import S3Target

SHARED_THREADS = 16
"""How many probes can be under way; a hung endpoint holds a thread until the probe's deadline."""
INSIST_S = 1.0
"""After the deadline, of a job whose libraries took it for something that they can go on from."""
REGION_HEADER = "x-amz-bucket-region"

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Failure:
    """What a job hands back instead of an exception.

    `final`: repeating it would not help. `forbidden`: the endpoint's address must not be used.
    """

    reason: str
    status: int = 0
    errno: int = 0
    final: bool = False
    forbidden: bool = False


class Redirected(Exception):
    """The store answered with a redirect, and is not followed."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@cache
def shared_pool() -> ThreadPool:
    """The threads of the probes."""
    return ThreadPool(SHARED_THREADS)


def in_thread(pool: ThreadPool, timeout: float, work: Callable[..., T], *args: Any) -> T | Failure:
    """Run `work(*args)` in a thread of the pool; at the deadline the thread is left to itself."""
    outcome: T | Failure = _late(timeout)
    with Within(timeout, False):
        outcome = pool.spawn(_guarded, time.monotonic() + timeout, timeout, work, args).get()
    return outcome


def _guarded(deadline: float, timeout: float, work: Callable[..., T], args: tuple[Any, ...]) -> T | Failure:
    remaining = deadline - time.monotonic()
    if remaining <= 0:  # it waited for a thread for so long that nobody waits for it any more
        return _late(timeout)
    try:
        # in this thread's own hub; botocore's timeouts begin anew at every byte, this one does not. It is an
        # OSError at first: for that urllib3 and gevent close a socket that is being connected, for anything
        # else they leave it to the collector
        with gevent.Timeout(remaining + INSIST_S), gevent.Timeout(remaining, TimeoutError):
            return work(*args)
    except gevent.Timeout:
        return _late(timeout)
    except Exception as error:
        return _late(timeout) if time.monotonic() >= deadline else _failure(error, timeout)


def _late(timeout: float) -> Failure:
    return Failure(f"no answer within {timeout:g} s")


@cache
def _loader() -> Any:
    """The description of the S3 API, read once: a client then costs some 15 ms instead of 50."""
    return botocore.loaders.create_loader()


@contextmanager
def client(target: S3Target, timeout: float, guard: AddressGuard) -> Iterator[Any]:
    """A client of boto3 for one job.

    An endpoint that a request named is connected to by us, past the guard, and gets no credentials but those
    of the request: without any, what it gets is not signed.
    """
    core = botocore.session.Session()
    core.register_component("data_loader", _loader())
    session = boto3.session.Session(botocore_session=core)
    paths = _loader().search_paths
    paths[:] = dict.fromkeys(paths)  # each session appends boto3's own
    foreign = target.named_by == "request" and bool(target.endpoint)
    keys = (target.access_key, target.secret_key)
    anonymous = foreign and not all(keys)
    config = Config(
        signature_version=UNSIGNED if anonymous else "s3v4",
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # many stores that are not AWS refuse the checksums that are the default now
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if target.endpoint else "auto"},
    )
    if anonymous:
        keys = ("-", "-")  # nothing is signed with them; without any, the credential chain would be asked
    made = session.client(
        "s3",
        region_name=target.region or None,
        endpoint_url=target.endpoint or None,
        aws_access_key_id=keys[0] or None,
        aws_secret_access_key=keys[1] or None,
        config=config,
    )
    made.meta.events.register("before-parse.s3", _no_redirects(bool(target.endpoint)))
    if foreign:
        direct = Direct(guard, timeout, core.get_config_variable("ca_bundle") or "")
        made.meta.events.register("before-send.s3", direct.send)
    try:
        yield made
    finally:
        made.close()


def _no_redirects(of_others: bool) -> Callable[..., None]:
    """For a redirect, botocore asks where the bucket is, and for the redirect of that again, 80 times.

    Only AWS itself says where (a bucket in another region), and that once.
    """

    def check(response_dict: dict[str, Any], **_: Any) -> None:
        status = int(response_dict["status_code"])
        if 300 <= status < 400 and (of_others or REGION_HEADER not in response_dict["headers"]):
            raise Redirected(status)

    return check


NO_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
)
TIMEOUTS = (botocore.exceptions.ConnectTimeoutError, botocore.exceptions.ReadTimeoutError)


def _failure(error: Exception, timeout: float) -> Failure:
    """Why it failed, in a few words of our own: texts of libraries can hold headers, and those the keys."""
    if isinstance(error, botocore.exceptions.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = re.sub(r"[^A-Za-z0-9._-]", "", str(error.response.get("Error", {}).get("Code", "")))[:60]
        return Failure(f"S3 answered {status}" + (f" {code}" if code != str(status) else ""), status)
    if isinstance(error, Redirected):
        return Failure(f"S3 answered {error.status}, redirects are not followed", error.status)
    if isinstance(error, Forbidden):
        return Failure(error.message.removeprefix(f"{WHAT}: "), forbidden=True)
    if isinstance(error, NO_CREDENTIALS):
        return Failure("no credentials")
    if isinstance(error, TIMEOUTS):
        return _late(timeout)
    cause = _system_error(error)
    if isinstance(error, botocore.exceptions.SSLError):
        return Failure(f"TLS failed{cause}")
    if isinstance(error, botocore.exceptions.ProxyConnectionError):
        return Failure(f"cannot connect to the proxy{cause}")
    if isinstance(error, botocore.exceptions.EndpointConnectionError):
        return Failure(f"cannot connect{cause}")
    if isinstance(error, botocore.exceptions.ConnectionError | botocore.exceptions.HTTPClientError):
        return Failure(f"the connection failed{cause}")
    return Failure(type(error).__name__)


def _system_error(error: BaseException | None) -> str:
    """What the system said at the root of it, such as ": Connection refused"."""
    found = ""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            found = f": {error.strerror}"
        error = error.__cause__ or error.__context__
    return found
