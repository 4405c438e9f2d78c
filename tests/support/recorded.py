"""The files of recordings, as a test looks at them."""

from __future__ import annotations

import os
import re
import wave

NAME = re.compile(r"\d{8}_\d{6}_[0-9a-f]{8}\.wav")
MULTI_NAME = re.compile(r"\d{8}_\d{6}_multichannel_[0-9a-f]{8}\.wav")


def shape(path: str) -> tuple[int, int]:
    """Channels and rate; the file has to be whole."""
    with wave.open(path) as file:
        assert file.getsampwidth() == 2
        assert len(file.readframes(file.getnframes())) == file.getnframes() * 2 * file.getnchannels()
        return file.getnchannels(), file.getframerate()


def seconds(path: str) -> float:
    with wave.open(path) as file:
        return file.getnframes() / file.getframerate()


def hidden(path: str) -> list[str]:
    """What is left of temporary files beside a recording."""
    return [name for name in os.listdir(os.path.dirname(path)) if name.startswith(".")]
