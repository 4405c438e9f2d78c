"""One small function per switch event: what it means for the model and for VSI clients.

The functions run in the reader of the event connection, in wire order, and never wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..work import clock

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

SwitchEvent = dict[str, Any]
Translator = Callable[["Context", "Node", SwitchEvent], None]

_translators: dict[str, Translator] = {}
_of_conferences: dict[str, Translator] = {}


def on_event(name: str) -> Callable[[Translator], Translator]:
    """Register the translator of an event name, or of a CUSTOM event's subclass."""
    return _registrar(_translators, name)


def on_conference_event(action: str) -> Callable[[Translator], Translator]:
    """Register the translator of an action of conference::maintenance that is not about a leg."""
    return _registrar(_of_conferences, action)


def _registrar(translators: dict[str, Translator], name: str) -> Callable[[Translator], Translator]:
    def register(translator: Translator) -> Translator:
        if name in translators:
            raise ValueError(f"two translators for {name}")
        translators[name] = translator
        return translator

    return register


def translated() -> list[str]:
    """The names of the events that have a translator: all that the switch is asked for."""
    return list(_translators)


UNHEARD = frozenset(
    "conference-create conference-destroy floor-change video-floor-change mute-member unmute-member"
    " deaf-member undeaf-member dtmf-member hold-member unhold-member kick-member play-file play-file-member"
    " play-file-member-done start-recording stop-recording volume-in-member volume-out-member".split()
)
"""Actions of conference::maintenance that follow from what we did ourselves, or that nobody here needs."""


def unheard() -> frozenset[str]:
    """The actions of conferences that the switch need not tell: those of `UNHEARD` without a translator."""
    return UNHEARD - _of_conferences.keys()


def translate(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Hand an event of this switch to its translator; an event without one means nothing to us."""
    name = event.get("Event-Name")
    kind = event.get("Event-Subclass") if name == "CUSTOM" else name
    if isinstance(kind, str) and isinstance(event.get("Unique-ID", ""), str) and kind in _translators:
        clock.deal_with(node.clock.time_of(event, "Event-Date-Timestamp"))
        try:
            _translators[kind](ctx, node, event)
        finally:
            clock.deal_with(0.0)


def translate_conference(ctx: Context, node: Node, action: str, event: SwitchEvent) -> bool:
    """Hand an action of a conference to its translator; False when it has none."""
    translator = _of_conferences.get(action)
    if translator is None:
        return False
    translator(ctx, node, event)
    return True


def text_of(event: SwitchEvent, header: str) -> str:
    """A header's text; empty when absent. A caller's text that looks like an array of the switch's comes
    as one, and is put together again."""
    value = event.get(header, "")
    if isinstance(value, str):
        return value
    return "ARRAY::" + "|:".join(map(str, value)) if isinstance(value, list) else ""
