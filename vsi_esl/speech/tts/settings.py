"""Settings of text to speech."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config import values
from ...config.declare import setting, state_directory
from ...config.sections import section


def default_directory(environ: Mapping[str, str]) -> str:
    """Below the state directory."""
    return os.path.join(state_directory(environ), "tts_cache")


@section("tts")
@dataclass(frozen=True, slots=True)
class TtsSettings:
    """Text to speech."""

    per_owner: int = setting(
        "VSI_ESL_TTS_PER_OWNER",
        values.integer(1, 64),
        8,
        "Most texts that one leg, or one room, is being told at once.",
        live=True,
    )
    cache_enabled: bool = setting(
        "TTS_CACHE_ENABLED",
        values.boolean,
        False,
        "Keep what was synthesised, and synthesise no text twice.",
        live=True,
    )
    cache_dir: str = setting(
        "TTS_CACHE_DIR",
        values.directory,
        default_directory,
        "Directory of it, made with mode 0700.",
        live=True,
        default_text="tts_cache in $STATE_DIRECTORY, else in ~/.local/state/vsi_esl",
        example="/var/lib/vsi_esl/tts_cache",
    )
    cache_include_api_key: bool = setting(
        "TTS_CACHE_INCLUDE_API_KEY",
        values.boolean,
        False,
        "Keep it for each key by itself: a voice of the same name may be another one.",
        live=True,
    )
    cache_bytes: int = setting(
        "VSI_ESL_TTS_CACHE_BYTES",
        values.disk_size,
        1 << 30,
        "Largest size of that directory; what was not used for the longest goes.",
        live=True,
    )

    def cache(self) -> dict[str, Any] | None:
        """As the task is told of it; None for keeping nothing."""
        if not self.cache_enabled:
            return None
        return {
            "directory": self.cache_dir,
            "bytes": self.cache_bytes,
            "with_key": self.cache_include_api_key,
        }
