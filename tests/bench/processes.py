"""The parties of a benchmark, each a process of its own: the sandbox switch and the service."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.ports import free_port
from vsi_esl.switch.esl.client import EslClient

START_TIMEOUT_S = 60


class Process:
    """A vsi-esl command and its log."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vsi_esl", *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
            )
        self.info = psutil.Process(self._process.pid)

    def wait_for(self, text: str) -> str:
        """Wait until the log has this; returns the log."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while text not in (log := self.log.read_text()):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"no {text!r} in: {log[-2000:]}")
            time.sleep(0.01)
        return log

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(timeout=15)


class Sandbox(Process):
    """The simulated switch."""

    def __init__(self) -> None:
        self.port = free_port()
        super().__init__("sandbox", "--port", str(self.port))
        self.wait_for("sandbox switch on")

    def client(self) -> EslClient:
        client = EslClient("127.0.0.1", self.port, "ClueCon", timeout=30)
        client.connect()
        return client


class Service(Process):
    """The service on a switch."""

    def __init__(self, port: int, state: Path, password: str = "ClueCon", **environ: str) -> None:
        http = free_port()
        self.address = f"127.0.0.1:{http}"
        super().__init__(
            "serve",
            HTTP_ADDR=self.address,
            VSI_ESL_SWITCH_PORT=str(port),
            VSI_ESL_SWITCH_PASSWORD=password,
            VSI_ESL_STATE_PATH=str(state),
            VSI_ESL_LOG_FORMAT="json",
            **{"VSI_EVENT_BUFFER_SIZE": "65536", **environ},
        )
        self.wait_for("switch ready")

    @property
    def readopted_seconds(self) -> float:
        """How long re-adoption took, by its own account."""
        return float(
            re.findall(r'"seconds":([0-9.e-]+),"event":"calls re-adopted"', self.log.read_text())[-1]
        )
