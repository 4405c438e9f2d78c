"""A program of a benchmark that is told things, and answers, by lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gevent


class Party:
    """`python -m tests.bench.MODULE`; it ends when nobody tells it anything any more."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, **order: Any) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self, timeout: float = 60.0) -> Any:
        """What it answers next. gevent.Timeout when that takes so many seconds."""
        assert self._process.stdout is not None
        with gevent.Timeout(timeout):
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} has ended")
        return json.loads(line)

    def ask(self, timeout: float = 60.0, **order: Any) -> Any:
        """Have it do something, and hear what came of it."""
        self.tell(**order)
        return self.hear(timeout)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
