"""`python -m vsi_esl.providers.recogniser`: understands English on its input, as far as pocketsphinx does.

Raw audio comes in (mono, 16 bit, 16 kHz), a line of JSON goes out for each text: {"text", "final"}. The first
line is {"ready": true}, or {"error"} when there can be none. A process of its own, as pocketsphinx keeps all
other threads from running while it thinks, for up to half a second. It ends with its input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

RATE = 16000
CHUNK_BYTES = RATE * 2 // 5
"""What is read at a time, and then told of: 200 ms."""
TELEPHONE = "44,28,-28,46,-17,4,15,-26,17,-11,3,13,-10"
"""The mean cepstrum of speech that has come over a telephone, which it adapts from: measured. With what comes
with the model, a good microphone's, it takes some sentences until it understands anything."""
NICE = 10
NOT_INSTALLED = "pocketsphinx is not installed: pip install 'vsi_esl[local]'"


class Recogniser:
    """Of one speaker."""

    def __init__(self, pocketsphinx: Any) -> None:
        self._decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
        self._decoder.set_cmn(TELEPHONE)
        self._ends = pocketsphinx.Endpointer(sample_rate=RATE)
        self._rest = b""
        self._guess = ""

    def take(self, pcm: bytes) -> list[tuple[str, bool]]:
        """What was understood with this audio, and whether it is final."""
        found: list[tuple[str, bool]] = []
        audio, size = self._rest + pcm, self._ends.frame_bytes
        whole = len(audio) - len(audio) % size
        for at in range(0, whole, size):
            self._frame(audio[at : at + size], found)
        self._rest = audio[whole:]
        if self._ends.in_speech and (text := self._text()) != self._guess:
            self._guess = text
            found.append((text, False))
        return found

    def end(self) -> list[tuple[str, bool]]:
        """What was being said when the audio ended."""
        if not self._ends.in_speech:
            return []
        if speech := self._ends.end_stream(self._rest):
            self._decoder.process_raw(speech)
        return [self._finished()]

    def _frame(self, frame: bytes, found: list[tuple[str, bool]]) -> None:
        before = self._ends.in_speech
        speech = self._ends.process(frame)
        if speech is None:
            return
        if not before:
            self._decoder.start_utt()
        self._decoder.process_raw(speech)
        if not self._ends.in_speech:
            found.append(self._finished())

    def _finished(self) -> tuple[str, bool]:
        self._decoder.end_utt()
        self._guess = ""
        return self._text(), True

    def _text(self) -> str:
        guess = self._decoder.hyp()
        return "" if guess is None else str(guess.hypstr)


def tell(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Until the input ends."""
    os.nice(NICE)  # calls go first
    try:
        recogniser = Recogniser(importlib.import_module("pocketsphinx"))
    except ImportError:
        tell(error=NOT_INSTALLED)
        return
    tell(ready=True)
    while audio := os.read(0, CHUNK_BYTES):
        for text, final in recogniser.take(audio):
            tell(text=text, final=final)
    for text, final in recogniser.end():
        tell(text=text, final=final)


if __name__ == "__main__":
    main()
