"""Media that is encrypted: the end of its DTLS handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import SwitchEvent, on_event, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node


@on_event("CALL_SECURE")
def call_secure(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A DTLS handshake is over; told for each of the two directions. The channel answers at the same time,
    unless it was moved before: then it has answered already, and nothing but this tells."""
    ctx.moments.secured(ctx, text_of(event, "caller-unique-id"))
