"""S3 for tests: moto's server in a process of its own, and small servers that misbehave in a given way."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import boto3.session
import gevent
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.event import Event as Signal
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from vsi_esl.storage.s3 import S3Target

from .ending import ended_on_error
from .ports import free_port

ACCESS_KEY = "AKIATESTTESTTESTTEST"
SECRET_KEY = "do-not-show-this-secret"
START_SECONDS = 30.0


def clean_environment(patch: pytest.MonkeyPatch) -> None:
    """No AWS settings, credentials or proxies but those of the test."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            patch.delenv(name)
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def target(endpoint: str, **more: str) -> S3Target:
    """A target with static keys at this endpoint."""
    members = {"bucket": "recordings", "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **more}
    return S3Target.from_dict({"endpoint": endpoint, **members})


def make_certificate(path: Path) -> str:
    """Write a certificate for 127.0.0.1, signed by its own key, and that key; the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    return str(path)


class MotoServer:
    """`moto_server` on a port that stays the same over `stop` and `start`; its content does not."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = str(Path(sys.executable).with_name("moto_server"))
        self._process = subprocess.Popen(
            [program, "-H", self._host, "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with ended_on_error(self._process):
            self._wait(self._process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((self._host, self.port), 1.0).close()
                return
            except OSError:
                assert process.poll() is None, "moto_server ended at once"
                assert time.monotonic() < deadline, f"moto_server does not answer after {START_SECONDS:g} s"
                gevent.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def call(self, operation: str, **arguments: Any) -> Any:
        """An S3 operation as the operator would do it, such as `call("create_bucket", Bucket="b")`."""
        client = boto3.session.Session().client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="operator",
            aws_secret_access_key="operator",
            config=Config(s3={"addressing_style": "path"}),
        )
        try:
            answer = getattr(client, operation)(**arguments)
            if "Body" in answer:
                with closing(answer["Body"]) as body:
                    answer["Body"] = body.read()
            return answer
        finally:
            client.close()


@contextmanager
def moto(host: str = "127.0.0.1") -> Iterator[MotoServer]:
    """A running moto server with the bucket `recordings`."""
    server = MotoServer(host)
    try:
        server.start()
        server.call("create_bucket", Bucket="recordings")
        yield server
    finally:
        server.stop()


class ScriptedS3:
    """Answers the requests with the given statuses in turn, then with 200, and keeps what it got."""

    def __init__(self, statuses: Iterable[int], location: str = "") -> None:
        self._statuses = list(statuses)
        self._location = location
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        request = {name: value for name, value in environ.items() if isinstance(value, str)}
        request["body"] = environ["wsgi.input"].read()
        self.requests.append(request)
        status = self._statuses.pop(0) if self._statuses else 200
        headers = [("Content-Length", "0"), ("ETag", '"0"')]
        if self._location and 300 <= status < 400:
            headers.append(("Location", self._location))
        start_response(f"{status} Scripted", headers)
        return [b""]


@contextmanager
def scripted(
    *statuses: int, certificate: str = "", location: str = "", host: str = "127.0.0.1"
) -> Iterator[ScriptedS3]:
    """A server that gives these answers, by TLS if there is a certificate; `location` is for redirects."""
    application = ScriptedS3(statuses, location)
    tls = {}
    if certificate:
        tls["ssl_context"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls["ssl_context"].load_cert_chain(certificate)
    server = WSGIServer((host, 0), application, log=None, error_log=None, **tls)
    server.start()
    application.url = f"http{'s' if tls else ''}://{host}:{server.server_port}"
    try:
        yield application
    finally:
        server.stop(timeout=1)


@contextmanager
def hung() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    never = Signal()

    def wait(connection: Any, _: Any) -> None:
        with connection:
            never.wait()

    with _served(wait) as url:
        yield url
        never.set()


@contextmanager
def unheard() -> Iterator[str]:
    """The URL of a server that nobody gets a connection to: its queue is full."""
    with socket.socket() as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def dribbling() -> Iterator[str]:
    """The URL of a server whose answer goes on for ever, a byte at a time."""

    def dribble(connection: Any, _: Any) -> None:
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while True:
                    connection.sendall(b"x")
                    gevent.sleep(0.02)
            except OSError:
                pass

    with _served(dribble) as url:
        yield url


@contextmanager
def endless() -> Iterator[str]:
    """The URL of a server whose error has a body without end."""

    def go_on(connection: Any, _: Any) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 500 No\r\nContent-Type: text/html\r\n\r\n")
            while True:
                connection.sendall(bytes(65536))

    with _served(go_on) as url:
        yield url


@contextmanager
def _served(handle: Callable[[Any, Any], None]) -> Iterator[str]:
    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stop(timeout=1)
