"""Speech and agents of others: one module each in `stt`, `tts` and `agents`, found by its name.

They run in the media workers (asyncio) and know nothing of the service. A provider is its module: it has
PROVIDER, a class derived from the one in `base` that is of its kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

STT, TTS, AGENTS = "stt", "tts", "agents"


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of the providers of a kind, sorted. Imports none of them."""
    package = importlib.import_module(f"{__name__}.{kind}")
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__)))


@cache
def find(kind: str, name: str) -> Any:
    """A provider's class. KeyError when there is none of this name."""
    if name not in names(kind):
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{kind}.{name}").PROVIDER
