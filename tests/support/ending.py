"""The end of processes that did not start well, and of those whose test run is killed."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_S = 20
SETPRIV = shutil.which("setpriv")


def ending_with_us() -> list[str]:
    """The begin of a command: what it starts is killed when this process is gone, however that came (Linux;
    elsewhere it is left). Only from the main thread, which has to be there for as long."""
    return [] if SETPRIV is None else [SETPRIV, "--pdeathsig", "KILL"]


@contextmanager
def ended_on_error(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    """Do not leave the process behind when waiting for it fails: nobody else has it yet."""
    try:
        yield
    except BaseException:
        process.kill()
        process.communicate()
        raise


def ends_whole(run: subprocess.Popen[bytes], ours: int, theirs: int) -> None:
    """Kill `run` when somebody in it has written "there" into `theirs`: then nobody has that end of the pipe
    any more, whose other one is `ours`. Closes both."""
    os.close(theirs)
    with open(ours, "rb", buffering=0) as held:
        for expected in (b"there\n", b""):
            assert select.select([held], [], [], LIMIT_S)[0], "somebody has the other end all the same"
            assert held.read(16) == expected
            run.kill()
