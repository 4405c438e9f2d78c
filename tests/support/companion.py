"""`vsi-esl companion` as a process of its own, with directories that the service knows nothing of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsi_esl.config.settings import CompanionLink

from .certs import Authority
from .ending import ended_on_error
from .lines import COMPANION, SERVICE
from .ports import free_port
from .waiting import eventually

START_TIMEOUT_S = 60


def companion_environ(
    authority: Authority, listen: str, *, uploads: Path, recordings: Path, spool: Path
) -> dict[str, str]:
    """The settings of a companion with a certificate of this authority, which takes our services."""
    certificate, key = authority.sign(COMPANION)
    return {
        "VSI_ESL_COMPANION_LISTEN": listen,
        "VSI_ESL_COMPANION_CA": authority.ca,
        "VSI_ESL_COMPANION_CERTIFICATE": certificate,
        "VSI_ESL_COMPANION_KEY": key,
        "VSI_ESL_COMPANION_SERVICES": SERVICE,
        "VSI_ESL_COMPANION_UPLOADS_DIR": str(uploads),
        "RECORDING_DIR": str(recordings),
        "VSI_ESL_SPOOL_DIR": str(spool),
        "VSI_ESL_ALLOW_PRIVATE_URLS": "true",
        "VSI_ESL_LOG_FORMAT": "json",
    }


def switch_with_companion(link: CompanionLink) -> str:
    """The settings of a service whose one switch has this companion."""
    return f"""
switches:
  - name: east
    companion:
      address: {link.address}
      ca: {link.ca}
      certificate: {link.certificate}
      key: {link.key}
      name: {link.name}
"""


class CompanionProcess:
    """Starting it again finds what it has left. `environ` are settings of its own. With `host` it is at
    another address than loopback; `there` is the command that has programs run on another machine."""

    def __init__(
        self,
        home: Path,
        authority: Authority,
        host: str = "127.0.0.1",
        there: Sequence[str] = (),
        **environ: str,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.recordings, self.spool, self.uploads = home / "recordings", home / "spool", home / "uploads"
        self.port = free_port()
        self._host, self._there = host, list(there)
        self._authority = authority
        listen = f"{host}:{self.port}"
        folders = {"uploads": self.uploads, "recordings": self.recordings, "spool": self.spool}
        self._environ = {**companion_environ(authority, listen, **folders), **environ}
        self._log = home / "companion.log"
        self._process: subprocess.Popen[bytes] | None = None

    def link(self, **other: Any) -> CompanionLink:
        """What the service is told of it."""
        certificate, key = self._authority.sign(SERVICE)
        known = {
            "address": f"{self._host}:{self.port}",
            "ca": self._authority.ca,
            "certificate": certificate,
            "key": key,
            "name": COMPANION,
        }
        return CompanionLink(**{**known, **other})

    def start(self) -> None:
        """Start, and wait until it listens."""
        before = self.log().count('"listening"')
        with self._log.open("ab") as log:
            command = [*self._there, sys.executable, "-m", "vsi_esl", "companion"]
            self._process = subprocess.Popen(
                command, env={**os.environ, **self._environ}, stdout=log, stderr=log
            )
        with ended_on_error(self._process):
            eventually(
                lambda: self.log().count('"listening"') > before or self._process.poll() is not None,
                "the companion listens",
                START_TIMEOUT_S,
            )
            assert self._process.poll() is None, self.log()

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait until it is gone; nothing when it is."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            process.wait(20)

    def freeze(self) -> None:
        """Have it stand still until it is ended."""
        os.kill(self.pid, signal.SIGSTOP)
