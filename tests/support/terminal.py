"""A command on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

from gevent import select

DEADLINE_S = 60
LAST = 3000
"""Characters of what it showed that a failure tells."""


class Terminal:
    """`vsi-esl` with these arguments, on a terminal of 80 columns and 24 lines."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self._ours, self._theirs = pty.openpty()
        termios.tcsetwinsize(self._theirs, (24, 80))
        self.before = termios.tcgetattr(self._theirs)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vsi_esl", *arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**os.environ, "TERM": "xterm", **environ},
        )

    def until(self, text: str) -> None:
        """Wait until it has shown this."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen[-LAST:]!r}"
            if select.select([self._ours], [], [], left)[0]:
                self.seen += os.read(self._ours, 65536).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Press keys; what was shown before is forgotten."""
        self.seen = ""
        os.write(self._ours, keys.encode())

    def ended(self) -> int:
        """Its exit code, once it has left the alternate screen and the terminal as they were."""
        self.until("\x1b[?1049l")
        code = self.process.wait(DEADLINE_S)
        assert "\x1b[?25h" in self.seen, "the cursor"
        assert self.as_before()
        return code

    def stopped(self) -> bool:
        """Whether it waits for a SIGCONT."""
        there = Path(f"/proc/{self.process.pid}/stat")
        if there.exists():
            return there.read_text().rpartition(")")[2].split()[0] == "T"
        command = ["ps", "-o", "stat=", "-p", str(self.process.pid)]  # where there is no /proc
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("T")

    def as_before(self) -> bool:
        """Whether the terminal is set as it was before."""
        return termios.tcgetattr(self._theirs) == self.before

    def close(self) -> None:
        """Whatever became of it, it is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)
