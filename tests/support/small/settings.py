"""Settings of the small feature."""

from __future__ import annotations

from dataclasses import dataclass

from vsi_esl.config import values
from vsi_esl.config.declare import setting
from vsi_esl.config.sections import section


@section("small")
@dataclass(frozen=True, slots=True)
class SmallSettings:
    """The small feature."""

    limit: float = setting("VSI_ESL_SMALL_LIMIT", values.duration, 5.0, "Longest small thing.", live=True)
