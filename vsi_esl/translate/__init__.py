"""One small function per switch event: what it means for the model and for VSI clients.

The functions run in the reader of the event connection, in wire order, and never wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..calls.context import Context

SwitchEvent = dict[str, Any]
Translator = Callable[["Context", SwitchEvent], None]

_translators: dict[str, Translator] = {}


def on_event(name: str) -> Callable[[Translator], Translator]:
    """Register the translator of an event name, or of a CUSTOM event's subclass."""

    def register(translator: Translator) -> Translator:
        if name in _translators:
            raise ValueError(f"two translators for {name}")
        _translators[name] = translator
        return translator

    return register


def translate(ctx: Context, event: SwitchEvent) -> None:
    """Hand a switch event to its translator; an event without one means nothing to us."""
    name = event.get("Event-Name")
    kind = event.get("Event-Subclass") if name == "CUSTOM" else name
    if isinstance(kind, str) and isinstance(event.get("Unique-ID", ""), str) and kind in _translators:
        _translators[kind](ctx, event)


from . import conference, dtmf, hangup, legs, signalling, sound, text  # noqa: E402  (they register themselves)

__all__ = ["conference", "dtmf", "hangup", "legs", "on_event", "signalling", "sound", "text", "translate"]
