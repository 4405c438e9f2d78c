"""The VSI events of answering machine detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from ..events.base import LegEvent

Result = Literal["human", "machine", "no_speech", "not_sure"]
RESULTS: tuple[str, ...] = get_args(Result)


@dataclass(slots=True, frozen=True, kw_only=True)
class AmdResult(LegEvent):
    """The verdict, once per detection, unless another one takes its place. Times are multiples of 20 ms."""

    type = "amd.result"
    result: Annotated[
        Result,
        "not_sure when the time was up, the leg ended, or nothing could be heard.",
    ]
    initial_silence_ms: Annotated[int, "Silence before the greeting."]
    greeting_duration_ms: Annotated[int, "Speech of the greeting; 0 for no_speech."]
    total_analysis_ms: Annotated[int, "How much was listened to."]


@dataclass(slots=True, frozen=True, kw_only=True)
class AmdBeep(LegEvent):
    """A machine's beep, when `beep_timeout` asked for it and it came in time."""

    type = "amd.beep"
    beep_ms: Annotated[int, "From the verdict to 80 ms of tone."]
