"""The event of the small feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vsi_esl.events.base import LegEvent


@dataclass(slots=True, frozen=True, kw_only=True)
class SmallResult(LegEvent):
    """An analysis was begun."""

    type = "small.result"
    limit: Annotated[float, "For how long, in seconds."]
