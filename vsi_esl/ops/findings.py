"""What `vsi-esl doctor` finds, and the checks that features have it make.

A feature's checks are functions in a module that its `feature` imports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import Config

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


Ask = Callable[[str], str]
"""Runs an api command of the switch and returns its answer."""
OnSwitch = Callable[["Config", Ask], Iterable[Check]]
OnMachine = Callable[["Config"], Iterable[Check]]

Tell = Callable[[str, dict[str, str]], str]
"""Tells a channel something (`sendmsg`) and returns the answer."""
OnRequest = Callable[["Config", Ask, Tell], Iterable[Check]]

ON_SWITCH: dict[str, OnSwitch] = {}
"""Checks that ask the switch, by name: made when it can be asked."""
ON_MACHINE: dict[str, OnMachine] = {}
"""Checks of this machine, and of what the service reaches from it."""
ON_REQUEST: dict[str, OnRequest] = {}
"""Checks that try something on the switch for a second or two, made when they are asked for (`--live`)."""


ELSEWHERE: dict[str, OnMachine] = {}
"""Checks of what is reached on the machines of others, made when they are asked for (`--providers`)."""


def switch_check(name: str) -> Callable[[OnSwitch], OnSwitch]:
    """Register the decorated function as a check that asks the switch."""

    def register(check: OnSwitch) -> OnSwitch:
        _register(ON_SWITCH, name, check)
        return check

    return register


def machine_check(name: str) -> Callable[[OnMachine], OnMachine]:
    """Register the decorated function as a check of this machine."""

    def register(check: OnMachine) -> OnMachine:
        _register(ON_MACHINE, name, check)
        return check

    return register


def live_check(name: str) -> Callable[[OnRequest], OnRequest]:
    """Register the decorated function as a check that is made on request, and tries something live."""

    def register(check: OnRequest) -> OnRequest:
        _register(ON_REQUEST, name, check)
        return check

    return register


def elsewhere_check(name: str) -> Callable[[OnMachine], OnMachine]:
    """Register the decorated function as a check that is made on request, of what others run."""

    def register(check: OnMachine) -> OnMachine:
        _register(ELSEWHERE, name, check)
        return check

    return register


def _register(checks: dict[str, Any], name: str, check: Any) -> None:
    if name in {*ON_SWITCH, *ON_MACHINE, *ON_REQUEST, *ELSEWHERE}:
        raise ValueError(f"two checks {name!r}")
    checks[name] = check
