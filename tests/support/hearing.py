"""Who hears whom, on a real switch."""

from __future__ import annotations

import time

from .drivers import eventually

HEARD = 2000
SILENT = 60
"""Amplitudes of a tone sent at 8000: clearly there, and clearly not."""


def in_room(client, agent, frequency: float, room: str = "r", **join: str):
    """A caller with a tone of its own, in a room."""
    call = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("add_leg_to_room", room_id=room, leg_id=leg, **join)
    client.event("leg.joined_room", leg_id=leg)
    call.wait("200")
    call.rtp.frequency = frequency
    return call, leg


def hears(call, frequency: float, wanted: bool) -> None:
    """Until the last half second that this peer received has the tone, or has it not.

    A peer that we hold gets no RTP at all, which is silence too.
    """
    call.rtp.forget()
    started, packets = time.monotonic(), call.rtp.received

    def settled() -> bool:
        if len(call.rtp._heard) < 25:
            quiet = call.rtp.received - packets <= 2 and time.monotonic() - started > 0.5
            return quiet and not wanted
        level = call.rtp.level(frequency)
        return level > HEARD if wanted else level < SILENT

    eventually(settled, f"{frequency} Hz {'heard' if wanted else 'not heard'}", 8)
