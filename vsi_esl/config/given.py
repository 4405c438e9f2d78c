"""What was given for a setting, and for which; secrets may be in files of their own."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Any

from ..access import tokens

HIDDEN = "******"
MAX_SECRET_BYTES = 65536
MAX_SHOWN = 80
CREDENTIAL = "credential:"
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\Z")

Settings = dict[str, Field[Any]]


@dataclass(frozen=True, slots=True)
class Given:
    """A value, as text or whatever was written."""

    origin: str
    """The key or variable, as the user wrote it."""
    value: Any


def meant(name: str, known: Settings, suffix: str) -> tuple[str | None, bool]:
    """Which known name is meant, and whether by the name of a file that holds the secret."""
    if name in known:
        return name, False
    base = name.removesuffix(suffix)
    if base != name and base in known and known[base].metadata["secret"]:
        return base, True
    return None, False


def take(name: str, origin: str, value: Any, from_file: bool, twice: bool) -> Given:
    """What was given as `origin` for the setting `name`. Raises ValueError, with the whole problem."""
    if twice:
        suffix = "_FILE" if name.isupper() else "_file"
        raise ValueError(f"{name}{suffix}: {name} is given as well")
    if not from_file:
        return Given(origin, value)
    try:
        return Given(origin, _read_secret(_secret_path(value)))
    except (OSError, ValueError) as error:
        # what is neither an absolute path nor a credential may be the secret itself, under the wrong name
        named = isinstance(value, str) and (os.path.isabs(value) or value.startswith(CREDENTIAL))
        path = value if named and not tokens.may_be_secret(value) else "the file"
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{origin}: cannot read {path}: {why}") from None


def _secret_path(value: Any) -> str:
    """The file that is named: by its path, or, with `credential:` before it, by the name under which systemd
    has it for this process (LoadCredential=)."""
    if not isinstance(value, str):
        raise ValueError("must be a path")
    if not value.startswith(CREDENTIAL):
        return value
    name, directory = value.removeprefix(CREDENTIAL), os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not CREDENTIAL_NAME.match(name):
        raise ValueError("must be the name of a credential")
    if not directory:
        raise ValueError(
            "systemd has not started this; root finds those of the running service with"
            " CREDENTIALS_DIRECTORY=/run/credentials/vsi_esl.service"
        )
    return os.path.join(directory, name)


def _read_secret(path: str) -> str:
    with open(path, "rb") as file:
        raw = file.read(MAX_SECRET_BYTES + 1)
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError("too long for a secret")
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None


def unknown(kind: str, name: str, known: Mapping[str, str]) -> str:
    """`known` maps each name that could be meant to the right one."""
    near = [name] if name in known else difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'; did you mean "{known[near[0]]}"?' if near else ""
    return f'unknown {kind} "{tokens.shown(name)}"{hint}'
