"""What the people at the other end say: a tone, a file, or words, spoken by a program of this machine."""

from __future__ import annotations

import shutil
import subprocess
import wave
from functools import lru_cache
from io import BytesIO
from typing import IO, Any

import numpy as np

from .samples import Samples, Voice, tone

PATIENCE_S = 10.0
LONGEST_TEXT = 1000


def voice(request: dict[str, Any]) -> Voice | None:
    """The voice that a request asks for: `frequency` in Hz, `file`, or `text`. None is silence.

    ValueError for what cannot be said.
    """
    if "frequency" in request:
        frequency = float(request["frequency"])
        if not 0 <= frequency < 4000:
            raise ValueError("frequency must be below 4000 Hz")
        return tone(frequency) if frequency else None
    if "file" in request:
        try:
            with open(str(request["file"]), "rb") as file:
                return Voice(*read(file))
        except (OSError, EOFError, wave.Error) as error:
            raise ValueError(f"cannot read the file: {error}") from None
    if "text" in request:
        spoken = words(str(request["text"]))
        if spoken is None:
            raise ValueError("nothing here can speak: install flite or espeak-ng")
        return spoken
    return None


def words(text: str) -> Voice | None:
    """A text as flite or espeak-ng speaks it; None without either."""
    spoken = _spoken(text[:LONGEST_TEXT].replace("\0", " "))
    return None if spoken is None else Voice(*spoken)


@lru_cache(maxsize=16)
def _spoken(text: str) -> tuple[Samples, int] | None:
    if shutil.which("flite"):
        command = ["flite", "-voice", "slt", "-t", text, "-o", "/dev/stdout"]
    elif shutil.which("espeak-ng"):
        command = ["espeak-ng", "--stdout", "--", text]
    else:
        return None
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)  # noqa: S603
        return read(BytesIO(done.stdout))
    except (OSError, EOFError, subprocess.SubprocessError, wave.Error):
        return None


def read(file: IO[bytes]) -> tuple[Samples, int]:
    """The first channel of a WAV file of 16 bits, and its rate. Raises wave.Error, EOFError."""
    with wave.open(file) as sound:
        if sound.getsampwidth() != 2:
            raise wave.Error("not of 16 bits")
        data = sound.readframes(sound.getnframes())
        samples = np.frombuffer(data, dtype="<i2").reshape(-1, sound.getnchannels())[:, 0]
        return samples.astype(np.int16), sound.getframerate()
