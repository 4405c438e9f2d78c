"""How a setting is declared: once, with all that is to be known of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any


def setting(
    env: str,
    parse: Callable[[Any], Any],
    default: Any,
    help_text: str,
    *,
    secret: bool = False,
    live: bool = False,
    default_text: str = "",
    example: str = "",
) -> Any:
    """A dataclass field that is a setting; its key is its place in the dataclasses.

    `default` is a value, or a function of the environment that makes one; `default_text` then says what it
    makes, and `example` stands in the example file. A `live` one takes effect while the service runs
    (SIGHUP): it is asked for anew at each use, or can be put in place of what was there. Everything else is
    in connections, files, queues and listeners that are made once, at the start.
    """
    metadata = {
        "env": env,
        "parse": parse,
        "help": help_text,
        "secret": secret,
        "live": live,
        "default": default,
        "default_text": default_text,
        "example": example,
    }
    if callable(default):
        return field(default_factory=lambda: default(os.environ), metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def default_state_path(environ: Mapping[str, str]) -> str:
    """The state database in the default directory."""
    return os.path.join(state_directory(environ), "state.sqlite3")


def state_directory(environ: Mapping[str, str]) -> str:
    """systemd's state directory (systemd.exec), else the user's (XDG base directories)."""
    directory = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if not directory:
        home = environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(home):  # the XDG specification: a relative path is to be ignored
            home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
        directory = os.path.join(home, "vsi_esl")
    return directory
