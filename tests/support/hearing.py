"""Who hears whom: tones in the last half second that somebody received."""

from __future__ import annotations

import time
import wave
from collections.abc import Callable

import numpy as np

from . import listen
from .sipua import Call
from .waiting import eventually

HEARD = 2000
SILENT = 60
"""Amplitudes of a tone sent at 8000: clearly there, and clearly not."""
HALF_SECOND = 25
"""Frames."""


def in_room(client, agent, frequency: float, room: str = "r", rtt: bool = False, **join: str):
    """A caller with a tone of its own, in a room; with `rtt` one that has real-time text."""
    call = agent.call(codecs=["PCMU"], rtt=rtt)
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("add_leg_to_room", room_id=room, leg_id=leg, **join)
    client.event("leg.joined_room", leg_id=leg)
    call.wait("200")
    call.rtp.frequency = frequency
    return call, leg


def hears(call: Call, frequency: float, wanted: bool = True) -> None:
    """Until the last half second that this peer received has the tone, or has it not."""
    call.rtp.forget()
    started, packets = time.monotonic(), call.rtp.received

    def received() -> np.ndarray | None:
        if len(call.rtp.last) < HALF_SECOND:
            quiet = call.rtp.received - packets <= 2 and time.monotonic() - started > 0.5
            return np.zeros(0) if quiet else None
        return listen.heard(list(call.rtp.last)[-HALF_SECOND:])

    until(received, frequency, wanted)


def until(received: Callable[[], np.ndarray | None], frequency: float, wanted: bool) -> None:
    """Until half a second of samples at 8 kHz has the tone, or has it not. `received` says None while it is
    not enough of them.

    A peer that we hold gets no RTP at all, which is silence too.
    """

    def settled() -> bool:
        samples = received()
        if samples is None:
            return False
        level = listen.levels(samples, 8000, frequency, 500).max(initial=0.0)
        return level > HEARD if wanted else level < SILENT

    eventually(settled, f"{frequency} Hz {'heard' if wanted else 'not heard'}")


def said(file: str) -> float:
    """How loud 440 Hz is in the first channel of a recording at 8 kHz, which is what its leg says."""
    with wave.open(file) as found:
        samples = np.frombuffer(found.readframes(found.getnframes()), np.int16).reshape(-1, 2)
    return float(np.median(listen.levels(samples[:, 0].astype(float), 8000, 440)))
