"""Whether call detail records can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..config import Config
from ..ops.findings import FAIL, OK, Check, machine_check, writable
from .settings import CdrSettings

NAME = "call detail records"


@machine_check(NAME)
def file(config: Config) -> Iterator[Check]:
    """The file, or the directory it is to be made in."""
    path = config.section(CdrSettings).path
    if not path:
        yield Check(NAME, OK, "none are written (cdr.path)")
    elif os.path.exists(path):
        good = os.path.isfile(path) and os.access(path, os.R_OK | os.W_OK)
        hint = "it has to be a file of the user the service runs as"
        yield Check(NAME, OK, path) if good else Check(NAME, FAIL, f"{path} cannot be written", hint)
    else:
        yield writable(NAME, os.path.dirname(os.path.abspath(path)), FAIL)
