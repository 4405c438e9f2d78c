"""Tests of what runs in the media workers: `@in_asyncio` makes a test of a coroutine function.

It is run in a process beside, on uvloop and without gevent's patches, as in a worker; one such process
serves all tests of a run. What it gets (fixtures, parameters) goes there pickled, and nothing else does.
It fails as other tests do, and also when it leaves a task or something unclosed behind, or takes longer than
`LONGEST_S`.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import gc
import importlib
import os
import pickle
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

LONGEST_S = 80.0
LEFT_S = 1.0
"""How long tasks may take to end after the test."""
HERE = "VSI_ESL_TEST_IN_ASYNCIO"

Test = Callable[..., Coroutine[Any, Any, None]]


def in_asyncio(test: Test) -> Callable[..., Any]:
    """A test of a coroutine function at the top of its module."""
    if HERE in os.environ:
        return test

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        outcome, text = _beside().run(test.__module__, test.__name__, args, kwargs)
        if outcome == "skipped":
            pytest.skip(text)
        if outcome != "passed":
            pytest.fail(text, pytrace=False)

    return run


class Beside:
    """The process, from the outside."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(LONGEST_S + 30)
        self._link = Link(ours)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.inasyncio", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[2],
                env={**os.environ, HERE: "1"},
            )
        atexit.register(self.end)

    def run(self, *test: Any) -> tuple[str, str]:
        self._link.send(test)
        answer = self._link.receive()
        if answer is None:
            _beside.cache_clear()
            return "failed", "the process of the test ended"
        return answer

    def end(self) -> None:
        self._link.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)


@functools.cache
def _beside() -> Beside:
    return Beside()


class Link:
    """Values between the two."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = sock.makefile("rb")

    def send(self, value: Any) -> None:
        self._sock.sendall(pickle.dumps(value))

    def receive(self) -> Any:
        """The next value; None when the other end is gone."""
        try:
            return pickle.load(self._reader)
        except EOFError:
            return None

    def close(self) -> None:
        self._reader.close()
        self._sock.close()


# -- in the process beside ----------------------------------------------------------------------------------


class Serve:
    """Runs what it is told, instead of pytest's own loop: pytest is there for how it explains assertions."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._unraisable: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self) -> int:
        sys.unraisablehook = lambda one: self._unraisable.append(f"{one.exc_value!r} in {one.object!r}")
        while (told := self._link.receive()) is not None:
            self._link.send(self._outcome(*told))
        return 0

    def _outcome(self, module: str, name: str, args: Any, kwargs: Any) -> tuple[str, str]:
        import uvloop

        self._unraisable.clear()
        try:
            test = getattr(importlib.import_module(module), name)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(bounded(test(*args, **kwargs)))
                del runner
                gc.collect()
        except pytest.skip.Exception as skipped:
            return "skipped", str(skipped)
        except BaseException:
            return "failed", traceback.format_exc()
        if self._unraisable:
            return "failed", "left behind: " + "; ".join(self._unraisable)
        return "passed", ""


async def bounded(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(LONGEST_S):
        await test
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=LEFT_S)
    assert not left, f"tasks were left: {left}"


def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    options = ["--noconftest", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:capture"]
    sys.exit(pytest.main(options, plugins=[Serve(Link(sock))]))


if __name__ == "__main__":
    main()
