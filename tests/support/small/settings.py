"""Settings of the small feature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vsi_esl.config import values
from vsi_esl.config.declare import setting
from vsi_esl.config.sections import section


@section("small")
@dataclass(frozen=True, slots=True)
class SmallSettings:
    """The small feature."""

    limit: float = setting("VSI_ESL_SMALL_LIMIT", values.duration, 5.0, "Longest small thing.", live=True)
    longest: float = setting("VSI_ESL_SMALL_LONGEST", values.duration, 60.0, "The longest that may be.")

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not go together."""
        if self.limit > self.longest:
            yield (
                ("limit", "longest"),
                f"{self.limit:g}s: must not be above small.longest ({self.longest:g}s)",
            )
