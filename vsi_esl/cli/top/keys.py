"""The keys of `vsi-esl top`, and what each does to the choice of what is shown."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .view import SORTS, Choice

ESCAPE = "\x1b"
SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOA": "up",
    "\x1bOB": "down",
}
KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])|.", re.DOTALL)
READ_BYTES = 1024
LONGEST_FILTER = 60
FAR = 1 << 30


@contextmanager
def single_keys(terminal: int) -> Iterator[Callable[[], None]]:
    """Have the terminal give each key at once, without showing it; as it was before in the end.

    Gives a function that has it as it was before, for as long as somebody else has the terminal.
    """
    before = termios.tcgetattr(terminal)

    def usual() -> None:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    try:
        tty.setcbreak(terminal)
        yield usual
    finally:
        usual()


def pressed(terminal: int, seconds: float) -> list[str]:
    """The keys that were pressed, waiting this long for one; none in vain. A terminal that is gone quits."""
    ready, _, _ = select.select([terminal], [], [], max(0.0, seconds))
    if not ready:
        return []
    try:
        typed = os.read(terminal, READ_BYTES)
    except OSError:
        typed = b""
    if not typed:
        return ["q"]
    return [SEQUENCES.get(key, key) for key in KEY.findall(typed.decode("utf-8", "ignore"))]


def has_keys() -> bool:
    """Whether somebody can press keys."""
    return sys.stdin is not None and sys.stdin.isatty()


def act(choice: Choice, key: str, page: int) -> bool:
    """Do what the key says; `page` rows are a page. False when it says to quit."""
    if choice.typing is not None:
        _type(choice, key)
        return True
    moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page, " ": page}
    moves |= {"home": -FAR, "end": FAR}
    if key in ("q", "Q"):
        return False
    if key in moves:
        choice.row = max(0, choice.row + moves[key])
    elif key == "p":
        choice.paused = not choice.paused
    elif key == "s":
        names = list(SORTS)
        choice.sort = names[(names.index(choice.sort) + 1) % len(names)]
    elif key == "r":
        choice.rooms, choice.row = not choice.rooms, 0
    elif key == "/":
        choice.typing = choice.filter
    elif key == ESCAPE:
        choice.filter = ""
    return True


def _type(choice: Choice, key: str) -> None:
    typing = choice.typing or ""
    if key in ("\r", "\n"):
        choice.filter, choice.typing, choice.row = typing, None, 0
    elif key == ESCAPE:
        choice.typing = None
    elif key in ("\x7f", "\b"):
        choice.typing = typing[:-1]
    elif len(key) == 1 and key.isprintable() and len(typing) < LONGEST_FILTER:
        choice.typing = typing + key
