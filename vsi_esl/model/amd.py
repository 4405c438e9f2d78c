"""Answering machine detection: the thresholds of one call, and which of them make sense together.

Source: section 28 of the protocol's behaviour; the rules are those of the reference of August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

from ..errors import Invalid

FRAME_MS = 20
SPEECH_ON_FRAMES = 2
"""Voiced frames in a row that begin speech."""
SPEECH_OFF_FRAMES = 4
"""Unvoiced frames in a row that end it; they count as part of it."""


@dataclass(slots=True, frozen=True)
class AmdParameters:
    """Thresholds in milliseconds."""

    initial_silence_timeout: int = 2500
    """Silence from the start that means no_speech."""
    greeting_duration: int = 1500
    """Speech that means machine."""
    after_greeting_silence: int = 800
    """Silence behind speech that means human."""
    total_analysis_time: int = 5000
    """The end of it all: not_sure."""
    minimum_word_length: int = 100
    """Shorter bursts are noise."""
    beep_timeout: int = 0
    """How long a beep is waited for behind the verdict machine; 0 for not at all."""

    @classmethod
    def of(cls, wanted: Mapping[str, int]) -> AmdParameters:
        """The client's thresholds, with the default for each that is 0. Invalid when no verdict could come of
        them."""
        parameters = cls(**{name: value for name, value in wanted.items() if value})
        if problem := parameters._problem():
            raise Invalid(f"invalid AMD params: {problem}")
        return parameters

    @classmethod
    def from_text(cls, text: str) -> AmdParameters:
        """Those that `text` was of. ValueError when it is none."""
        values = [int(value) for value in text.split("-")]
        if len(values) != len(fields(cls)):
            raise ValueError(f"not {len(fields(cls))} thresholds: {text}")
        return cls(*values)

    @property
    def text(self) -> str:
        """All of them, to be remembered."""
        return "-".join(map(str, astuple(self)))

    def _problem(self) -> str:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                must = "not be negative" if field.name == "beep_timeout" else "be positive"
                return f"{field.name} must {must}"
        # the end of the analysis is looked at before the verdict of the same frame
        if self.total_analysis_time <= min(self._no_speech_at, self._machine_at, self._human_at):
            return "total_analysis_time is too short to reach any verdict; every call would end not_sure"
        return ""

    @property
    def _no_speech_at(self) -> int:
        return _whole_frames(self.initial_silence_timeout)

    @property
    def _machine_at(self) -> int:
        # the first frame of speech is no greeting yet, however little would do
        spoken = max(_whole_frames(self.greeting_duration), 2 * FRAME_MS)
        return spoken + (SPEECH_ON_FRAMES - 1) * FRAME_MS

    @property
    def _human_at(self) -> int:
        burst = max(_whole_frames(self.minimum_word_length), SPEECH_OFF_FRAMES * FRAME_MS)
        return burst + (SPEECH_ON_FRAMES - 1) * FRAME_MS + _whole_frames(self.after_greeting_silence)


def _whole_frames(milliseconds: int) -> int:
    """Rounded up to the frame in which the threshold is reached."""
    return -(-milliseconds // FRAME_MS) * FRAME_MS
