"""The service as a process of its own, to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import gevent

from .drivers import Driver
from .ending import ended_on_error
from .vsi import VsiClient

START_TIMEOUT_S = 60


class ServiceProcess:
    """`vsi-esl serve` with these settings, and a client of it that goes on after the event `since`."""

    def __init__(
        self,
        environ: dict[str, str],
        since: str = "",
        command: Sequence[str] = (sys.executable, "-m", "vsi_esl", "serve"),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(
            command,
            pass_fds=pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environ},
        )
        with ended_on_error(self._process):
            address = self._address()
            self._rest = gevent.spawn(self._process.stdout.read)
            self.client = VsiClient(address, f"?since={since}")

    def _address(self) -> str:
        """Where it listens, once the switch is ready."""
        address = ""
        said: list[str] = []
        with gevent.Timeout(START_TIMEOUT_S, False):
            for line in self._process.stdout:
                said.append(line)
                if '"listening"' in line:
                    address = line.partition('"address":"')[2].partition('"')[0]
                if '"switch ready"' in line:
                    return address
        raise AssertionError(f"the service did not start, and said: {''.join(said) or 'nothing'}")
        return address

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait until it is gone. Once it is, nothing more is done."""
        if self._process.stdout.closed:
            return
        self._process.send_signal(number)
        self._process.wait(20)
        self.client.closed.wait(20)
        self.client.close()
        self._rest.join(20)
        self._process.stdout.close()


def environ_of(switch: Driver, directory: Path) -> dict[str, str]:
    """Settings for a service on a switch, with its files in a directory."""
    return {
        "VSI_ESL_SWITCH_HOST": switch.host,
        "VSI_ESL_SWITCH_PORT": str(switch.port),
        "VSI_ESL_SWITCH_PASSWORD": switch.password,
        "VSI_ESL_STATE_PATH": str(directory / "state.sqlite3"),
        "VSI_ESL_WEBHOOK_ALLOW_PRIVATE": "true",
        "VSI_ESL_WEBHOOK_BACKOFF_MIN": "0.05",
        "VSI_ESL_LOG_FORMAT": "json",
        "VSI_ESL_MEDIA_SPARE_WORKER": "false",
        "RECORDING_DIR": str(directory / "recordings"),
        "HTTP_ADDR": "127.0.0.1:0",
    }
