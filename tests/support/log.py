"""The service's log as a test sees it: every line, at level debug."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from vsi_esl.ops import logs, privacy


class Log:
    """What has been logged so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def above_debug(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["level"] != "debug"]

    def named(self, event: str) -> list[dict[str, Any]]:
        """The lines above debug with this text."""
        return [line for line in self.above_debug if line["event"] == event]


@contextmanager
def recorded_log(*, numbers: bool = False) -> Iterator[Log]:
    """Have everything logged to where a test can read it; with `numbers`, who called whom as well."""
    root = logging.getLogger()
    before = structlog.get_config(), list(root.handlers), root.level
    log = Log()
    logs.setup("debug", "json", log.stream, numbers=numbers)
    try:
        yield log
    finally:
        structlog.configure(**before[0])
        root.handlers[:] = before[1]
        root.setLevel(before[2])
        privacy.show_numbers(False)
