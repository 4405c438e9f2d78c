"""The end of processes that did not start well, and of those whose test run is killed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

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
