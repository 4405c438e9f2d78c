"""What `vsi-esl doctor` tries of sound, on an internal channel without a call; nothing is left behind."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

from ..audio import MediaError
from ..errors import BadArgument
from ..ops.findings import FAIL, WARN, Ask, Check
from ..storage import folders
from ..switch.lines import builder

RATE = 8000
LENGTH_S = 0.2
ENOUGH_MS = 100
PATIENCE_S = 3.0
POLL_S = 0.02
HINT = "give the switch and the service a common group: see docs/deploy.md"
FOLDER_HINT = "move it, or give it to the service with mode 2770: see docs/deploy.md"


def attempt(
    ask: Ask, name: str, directory: str, what: Callable[[Ask, str, str, str], Check]
) -> Iterator[Check]:
    """Try `what(ask, name, channel, directory)` with a channel that it may make, and the directory made."""
    channel = f"doctor-{secrets.token_hex(6)}"
    try:
        folders.make(directory)
        yield what(ask, name, channel, directory)
    except (OSError, MediaError, BadArgument) as error:
        yield Check(name, FAIL, _reason(error), f"make {directory} writable for the service")
    finally:
        ask(builder.kill(channel, "NORMAL_CLEARING"))


def folder(name: str, directory: str) -> Iterator[Check]:
    """Where a directory is, and who else can get there."""
    for risk in folders.risks(directory):
        yield Check(name, WARN, f"{directory}: {risk}", FOLDER_HINT)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _reason(error: OSError | MediaError | BadArgument) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return error.message
