"""What the programs of a run have in common: they are told things by lines of JSON, and note things the same
way. To be imported first: it patches the standard library for gevent."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import Any  # noqa: E402

from gevent.fileobject import FileObject  # noqa: E402


def note(who: str, what: str, **more: Any) -> None:
    """Note something."""
    line = json.dumps({"t": time.monotonic(), "who": who, "what": what, **more})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def orders() -> Iterator[dict[str, Any]]:
    """What it is told, until nobody tells it anything any more."""
    for line in FileObject(sys.stdin.fileno(), "r", closefd=False):
        yield json.loads(line)
