"""The VSI events of digits and real-time text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .base import LegEvent


@dataclass(slots=True, frozen=True, kw_only=True)
class DtmfReceived(LegEvent):
    """One digit; `seq` counts from 1 per leg."""

    type = "dtmf.received"
    digit: Annotated[str, "One of 0-9 * # A-D."]
    seq: int


@dataclass(slots=True, frozen=True, kw_only=True)
class RttReceived(LegEvent):
    """Real-time text of the peer; `seq` counts from 1 per leg."""

    type = "rtt.received"
    text: Annotated[str, "A line, with its line end."]
    seq: int
    loss_marker: Annotated[bool | None, "Whether text was lost before it; never sent by this server."] = None
