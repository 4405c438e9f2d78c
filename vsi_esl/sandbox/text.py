"""Real-time text (T.140) in the sandbox: what a peer is sent, and what it types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .channels import now_us

if TYPE_CHECKING:
    from .server import SandboxSwitch

TICK_US = 100_000
"""Packets of one tick have the same RTP timestamp."""
LINE_BREAKS = ("\r", "\n", "\u2028")


def uuid_send_text(switch: SandboxSwitch, rest: str) -> str:
    """`uuid_send_text UUID TEXT`: a success whether or not there is anybody to read it."""
    channel_id, _, text = rest.partition(" ")
    if not channel_id or not text:
        return "-USAGE: <uuid> <text>\n"
    channel = switch.channels.get(channel_id)
    if channel is None:
        return f"-ERR No such channel {channel_id}!\n"
    if channel.text_possible:
        channel.far.texts.append(text)
        channel.far.text_ticks.append(now_us() // TICK_US)
    return "+OK\n"


def is_complete(text: str) -> bool:
    """Whether the switch reports this text now: it waits for the end of a line."""
    return any(mark in text for mark in LINE_BREAKS)
