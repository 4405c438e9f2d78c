"""What `vsi-esl doctor` finds."""

from __future__ import annotations

import os
from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it stands, and what to do about it."""

    name: str
    status: str
    detail: str
    hint: str = ""


def writable(name: str, path: str, severity: str) -> Check:
    """Whether a directory can be written, or made; `severity` when not."""
    existing = path
    while not os.path.exists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    if os.path.isdir(existing) and os.access(existing, os.W_OK):
        return Check(name, OK, path)
    return Check(name, severity, f"{path} cannot be written", "create it, for the user the service runs as")
