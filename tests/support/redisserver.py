"""A Redis server of a test's own, on loopback or a Unix socket, in a directory of its own.

It can be stopped and started again with what it has kept, killed, and made to stand still.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from vsi_esl.config.cluster import RedisSettings

from .ending import ended_on_error
from .ports import free_port

START_S = 20.0


def find_redis() -> str:
    """The program redis-server, or valkey-server; the test is skipped where there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("no redis-server on this machine (Debian: apt install redis-server)")
    return found


class RedisServer:
    """Running from the start; `extra` are more options, such as ("--requirepass", "x"). `tls` is a directory
    with certificates (see `certs`), `conf` the file of a Sentinel."""

    def __init__(
        self,
        directory: Path,
        *extra: str,
        unix: bool = False,
        tls: Path | None = None,
        conf: Path | None = None,
    ) -> None:
        self._program, self._directory, self._extra = find_redis(), directory, extra
        self.port = 0 if unix else free_port()
        self._short = tempfile.mkdtemp(prefix="redis-") if unix else ""
        self.socket = f"{self._short}/s" if unix else ""
        self._tls, self._conf = tls, conf
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        """For `redis.url`."""
        if self.socket:
            return f"unix://{self.socket}"
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"

    @property
    def settings(self) -> RedisSettings:
        """Those of a service on it, which waits less than usual."""
        return RedisSettings(url=self.url, connect_timeout=1.0, command_timeout=0.5)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, with what it had when it was stopped; returns when it answers."""
        port = ["--port", "0", "--tls-port"] if self._tls else ["--port"]
        command = [self._program, *port, str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        if self._conf:
            command = [self._program, str(self._conf), "--sentinel", *command[1:]]
        else:
            command += "--save  --appendonly yes --appendfsync no".split(" ")
        if self._tls:
            own = str(self._tls / "agent.pem")
            command += ["--tls-cert-file", own, "--tls-key-file", own]
            command += ["--tls-ca-cert-file", str(self._tls / "cafile.pem")]
        if self.socket:
            command += ["--unixsocket", self.socket]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._extra], stdout=log, stderr=log)
        with ended_on_error(self._process):
            deadline = time.monotonic() + START_S
            while not self._answers():
                assert self._process.poll() is None, (self._directory / "log").read_text()
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def _answers(self) -> bool:
        family = socket.AF_UNIX if self.socket else socket.AF_INET
        with socket.socket(family) as client:
            client.settimeout(1.0)
            try:
                client.connect(self.socket or ("127.0.0.1", self.port))
                if self._tls:
                    return True  # it listens when it has read all it needs
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def command(self, *words: str) -> Any:
        """Ask it something, as an operator would."""
        options: dict[str, Any] = {}
        if self._tls:
            own = str(self._tls / "agent.pem")
            options = {"ssl": True, "ssl_certfile": own, "ssl_keyfile": own}
            options["ssl_ca_certs"] = str(self._tls / "cafile.pem")
        at = {"unix_socket_path": self.socket} if self.socket else {"host": "127.0.0.1", "port": self.port}
        with redis.Redis(**at, **options, decode_responses=True) as one:
            return one.execute_command(*words)

    def stop(self) -> None:
        """Have it end by itself; what it had is there when it is started again."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it stand still: connections stay up, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Start it anew with nothing in it, as a replica that was promoted too early would be."""
        self.kill()
        shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)
        self.start()

    def close(self) -> None:
        """End it, and leave nothing."""
        self.kill()
        if self._short:
            shutil.rmtree(self._short, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        process.wait(20)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of this test's own."""
    server = RedisServer(tmp_path / "redis")
    yield server
    server.close()
