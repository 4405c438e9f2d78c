"""The end of processes that did not start well."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_on_error(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    """Do not leave the process behind when waiting for it fails: nobody else has it yet."""
    try:
        yield
    except BaseException:
        process.kill()
        process.communicate()
        raise
