"""Settings of the console."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section


@section("console")
@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The page for the people on duty."""

    enabled: bool = setting(
        "VSI_ESL_CONSOLE",
        values.boolean,
        True,
        "Whether there is a page for people at /console. It needs no token, what it shows and does does.",
        live=True,
    )
