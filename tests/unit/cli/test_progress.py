"""Progress is for terminals, on standard error."""

from __future__ import annotations

import io
import sys

import pytest

from vsi_esl.cli.progress import progress


class Screen(io.StringIO):
    """A terminal, as far as that can be told."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def seen_on(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch, **options: bool) -> str:
    """What such a standard error gets of four steps of ten."""
    with monkeypatch.context() as now:
        now.setattr(sys, "stderr", screen)  # in the test itself: pytest has its own before each
        with progress("replaying", 10, **options) as told:
            told(4, "(4 done)")
    return screen.getvalue()


def test_a_terminal_sees_how_far_it_is(monkeypatch, capsys):
    seen = seen_on(Screen(), monkeypatch)
    assert "replaying (4 done)" in seen
    assert "4/10" in seen
    assert seen.endswith("\x1b[2K"), "nothing of it is left"
    assert capsys.readouterr().out == ""


def test_a_terminal_without_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    seen = seen_on(Screen(), monkeypatch)
    assert "4/10" in seen
    assert "\x1b[3" not in seen


def test_nobody_else_sees_it(monkeypatch):
    assert seen_on(Screen(), monkeypatch, shown=False) == ""
    assert seen_on(io.StringIO(), monkeypatch) == ""
    monkeypatch.setenv("TERM", "dumb")
    assert seen_on(Screen(), monkeypatch) == ""
