"""What each command's payload can have, from a file beside this module: the registry itself would take
seconds, and a shell waits. The file is made by `making.py`, and a test keeps it so."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypedDict

FILE = Path(__file__).with_name("payloads.json")


class Member(TypedDict):
    """One member: what it is, the values that are known beforehand, and the path that lists live ones."""

    help: str
    values: list[str]
    path: str


class Payload(TypedDict):
    """One command: what it does, and its members."""

    help: str
    members: dict[str, Member]


@cache
def payloads() -> dict[str, Payload]:
    """By command."""
    found: dict[str, Payload] = json.loads(FILE.read_text())
    return found
