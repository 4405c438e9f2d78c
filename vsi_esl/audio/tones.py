"""The call progress tones: a table, and their samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import MediaError
from .wav import Samples

PEAK = 23_000
RAMP_MS = 2

# name, Hz, modulation in Hz, cadence in ms
TABLE = """
us_ringback   440+480  -  2000/4000
us_busy       480+620  -  500/500
us_dial       350+440  -  -
us_congestion 480+620  -  250/250
gb_ringback   400+450  -  400/200/400/2000
gb_busy       400      -  375/375
gb_dial       350+440  -  -
gb_congestion 400      -  400/350/225/525
de_ringback   425      -  1000/4000
de_busy       425      -  480/480
de_dial       425      -  -
de_congestion 425      -  240/240
fr_ringback   440      -  1500/3500
fr_busy       440      -  500/500
fr_dial       440      -  -
fr_congestion 440      -  250/250
au_ringback   400      17 400/200/400/2000
au_busy       400      -  375/375
au_dial       400+450  -  -
au_congestion 400      -  375/375
jp_ringback   400      16 1000/2000
jp_busy       400      -  500/500
jp_dial       400      -  -
jp_congestion 400      -  250/250
it_ringback   425      -  1000/4000
it_busy       425      -  500/500
it_dial       425      -  -
it_congestion 425      -  200/200
in_ringback   400      25 400/200/400/2600
in_busy       400      -  750/750
in_dial       400      -  -
in_congestion 400      -  250/250
br_ringback   425      -  1000/4000
br_busy       425      -  250/250
br_dial       425      -  -
br_congestion 425      -  250/250
pl_ringback   425      -  1000/4000
ru_ringback   425      -  800/3200
ru_busy       425      -  350/350
ru_dial       425      -  -
ru_congestion 425      -  175/175
"""


@dataclass(slots=True, frozen=True)
class Tone:
    """A tone: frequencies and modulation in Hz (0 = none), cadence in ms on/off (empty = continuous)."""

    name: str
    frequencies: tuple[int, ...]
    modulation: int
    cadence: tuple[int, ...]


def _parse(line: str) -> Tone:
    name, frequencies, modulation, cadence = line.split()
    return Tone(
        name,
        tuple(int(part) for part in frequencies.split("+")),
        0 if modulation == "-" else int(modulation),
        () if cadence == "-" else tuple(int(part) for part in cadence.split("/")),
    )


TONES = {tone.name: tone for tone in map(_parse, TABLE.strip().splitlines())}


def find(name: str) -> Tone:
    """The tone of this name: `<country>_<type>`, or `<type>` for the American one. Raises MediaError."""
    wanted = name.strip().lower()
    if "_" not in wanted:
        wanted = f"us_{wanted}"
    elif wanted.startswith("uk_"):
        wanted = f"gb_{wanted.removeprefix('uk_')}"
    tone = TONES.get(wanted)
    if tone is None:
        raise MediaError(f'unknown tone "{name}", available: {", ".join(sorted(TONES))}')
    return tone


def render(tone: Tone, rate: int = 8000, seconds: float = 600) -> Samples:
    """Mono samples of at least `seconds`, which can be repeated without a click or a step in the cadence.

    The period is a multiple of the cadence and of 1 s, after which every whole frequency is back at its
    first phase.
    """
    period_ms = math.lcm(sum(tone.cadence) or 1, 1000)
    time = np.arange(period_ms * rate // 1000) / rate
    wave = np.mean([np.sin(2 * np.pi * hertz * time) for hertz in tone.frequencies], axis=0)
    if tone.modulation:
        wave *= 0.5 + 0.5 * np.sin(2 * np.pi * tone.modulation * time)
    if tone.cadence:
        cycle = _envelope(tone.cadence, rate, period_ms)
        wave *= cycle
    period = np.round(wave * PEAK).astype(np.int16)
    return np.tile(period, max(1, math.ceil(seconds * 1000 / period_ms)))


def _envelope(cadence: tuple[int, ...], rate: int, period_ms: int) -> np.ndarray:
    """The loudness (0..1) over one period; ramps lie inside the audible parts."""
    level = np.zeros(period_ms * rate // 1000)
    ramp = np.linspace(0, 1, RAMP_MS * rate // 1000, endpoint=False)
    start_ms = 0
    while start_ms < period_ms:
        for index, length_ms in enumerate(cadence):
            begin, end = (at * rate // 1000 for at in (start_ms, start_ms + length_ms))
            if index % 2 == 0:
                level[begin:end] = 1
                level[begin : begin + len(ramp)] = ramp
                level[end - len(ramp) : end] = ramp[::-1]
            start_ms += length_ms
    return level
