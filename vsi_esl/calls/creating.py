"""The types of create_leg, and who makes a leg of each: the core for `sip`, features for theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..model.leg import LegView
from .context import Context

Maker = Callable[[Context, dict[str, Any]], LegView]
"""Makes a leg of the members of the request (all that create_leg knows, with their defaults); raises what the
command is to answer. What becomes of the leg comes by events."""

_makers: dict[str, Maker] = {}


def creates(leg_type: str) -> Callable[[Maker], Maker]:
    """Register the decorated function as the one that makes legs of a type of create_leg."""

    def register(maker: Maker) -> Maker:
        if leg_type in _makers:
            raise ValueError(f"two makers of {leg_type}")
        _makers[leg_type] = maker
        return maker

    return register


def maker_of(leg_type: str) -> Maker | None:
    """Who makes legs of this type; None when nobody does."""
    return _makers.get(leg_type)
