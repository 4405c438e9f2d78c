"""`vsi-esl` in the tests' own process: one of its own takes a second to start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from vsi_esl.cli import main
from vsi_esl.ops import logs


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def say(monkeypatch, capsys) -> Callable[..., Said]:
    """Runs a command line with these arguments and variables."""
    monkeypatch.setattr(logs, "setup", lambda *arguments: None)

    def run_here(*arguments: str, **environ: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["vsi-esl", *arguments])
        code = 0
        with monkeypatch.context() as now:
            for name, value in environ.items():
                now.setenv(name, value)
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return run_here
