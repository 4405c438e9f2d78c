"""`vsi-esl` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import gevent

from .ending import ended_on_error
from .ports import free_port

DEADLINE_S = 60
"""A start alone may take 10 s on a machine that has much else to do."""
START_TIMEOUT_S = 60
"""A second or two on a machine that has nothing else to do."""


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "vsi_esl", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "COLUMNS": "200", **environ},
        check=False,
    )


class Running:
    """`vsi-esl serve --sandbox` on a free port."""

    def __init__(
        self,
        *options: str,
        port: int = 0,
        stdin: int = subprocess.DEVNULL,
        program: Sequence[str] = (sys.executable, "-m", "vsi_esl"),
        cwd: str | None = None,
        **environ: str,
    ) -> None:
        port = port or free_port()
        self.url = f"ws://127.0.0.1:{port}/v1/vsi"
        self.process = subprocess.Popen(
            [*program, "serve", "--sandbox", *options],
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "HTTP_ADDR": f"127.0.0.1:{port}",
                "VSI_ESL_LOG_FORMAT": "json",
                "VSI_ESL_MEDIA_SPARE_WORKER": "false",
                **environ,
            },
        )
        with ended_on_error(self.process):
            self.text = self._start()
            self.sandbox_port = self.text.partition("sandbox call --port ")[2].split()[0]

    def _start(self) -> str:
        """What it says until the switch is ready."""
        said: list[str] = []
        assert self.process.stdout is not None
        with gevent.Timeout(START_TIMEOUT_S, False):
            for line in self.process.stdout:
                said.append(line)
                if '"switch ready"' in line:
                    return "".join(said)
        raise AssertionError(f"it ended, or was not ready within {START_TIMEOUT_S} s: {said}")

    def line(self, part: str) -> dict[str, Any]:
        """The next line of its log with this in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if part in line:
                return json.loads(line)
        raise AssertionError(f"the service ended without {part}")

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("call", "--url", self.url, *arguments)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=60)
        return rest
