"""A bundle: a tar.gz for its owner only, with what was collected, what was not, and how to look at it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .collect import MAX_TEXT, Asked, NotHere, Part
from .masking import Mask

MODE = 0o600
METRICS = "metrics.txt"

README = """\
A bundle of vsi-esl support, for a bug report.

Look through it before you send it, with any pager. Taken out, and shown as [secret] or [number 3], are: the
secrets of the settings, of the environment and of webhooks; what stands behind words such as password, token
and key; user names, paths and queries of URLs; phone numbers and the users of SIP addresses. What is the same
number has the same name throughout.

Not taken out are: host names, IP addresses, paths of files, names of gateways and profiles, and the ids of
legs, rooms and applications. Nothing in here is audio, a transcript, a text or the body of an event.

manifest.json says what each file is, and why one that you expect is missing.
"""


@dataclass(frozen=True, slots=True)
class File:
    """One file of it, or why there is none."""

    part: Part
    body: bytes = b""
    failure: str = ""


def gathered(parts: Iterable[Part], asked: Asked, mask: Mask, told: Callable[[int, str], None]) -> list[File]:
    """What can be collected, without secrets. What fails is told in its place."""
    files = []
    for number, part in enumerate(parts):
        told(number, part.name)
        try:
            found = part.made(asked)
            files.append(File(part, _hidden(part, found, mask).encode("utf-8", "replace")))
        except Exception as error:
            # whatever it is: the rest is worth having, and the reason is a part of the report
            reason = str(error) if isinstance(error, NotHere) else f"{type(error).__name__}: {error}"
            files.append(File(part, failure=mask.text(reason)))
    return files


def _hidden(part: Part, found: Any, mask: Mask) -> str:
    if not isinstance(found, str):
        return json.dumps(mask.data(found), indent=2, ensure_ascii=False) + "\n"
    text = found[-MAX_TEXT:]
    if part.name == METRICS:
        return "\n".join(_series(line, mask) for line in text.splitlines()) + "\n"
    return mask.text(text, numbers=not part.figures) + "\n"


def _series(line: str, mask: Mask) -> str:
    """A line of /metrics: its value is a figure, however many digits it has."""
    if line.startswith("#"):
        return line
    name, blank, value = line.rpartition(" ")
    return mask.text(name) + blank + value


def manifest(files: list[File], mask: Mask) -> dict[str, Any]:
    """What is in a bundle."""
    return {
        "files": {
            one.part.name: {
                "about": one.part.about,
                "bytes": len(one.body),
                "sha256": hashlib.sha256(one.body).hexdigest(),
            }
            for one in files
            if not one.failure
        },
        "not_collected": {one.part.name: one.failure for one in files if one.failure},
        "hidden": mask.hidden,
    }


def write(path: str, files: list[File], mask: Mask) -> int:
    """Write it; its size in bytes. OSError when there is something of that name, or it cannot be written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    base = os.path.basename(path).removesuffix(".tar.gz")
    about = json.dumps(manifest(files, mask), indent=2) + "\n"
    contents = {"README.txt": README.encode(), "manifest.json": about.encode()}
    contents |= {one.part.name: one.body for one in files if not one.failure}
    try:
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as tar:
            for name, body in contents.items():
                entry = tarfile.TarInfo(f"{base}/{name}")
                entry.size, entry.mode, entry.mtime = len(body), MODE, int(time.time())
                tar.addfile(entry, io.BytesIO(body))
    except BaseException:
        os.unlink(path)
        raise
    return os.path.getsize(path)
