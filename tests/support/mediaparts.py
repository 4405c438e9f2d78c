"""Parts of a media worker, and what they hear: for tests within its loop."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from vsi_esl.media.tasks import TASK_RATE
from vsi_esl.media.websocket import WebSocket, taken_over


def sound(milliseconds: int, frequency: int = 0) -> bytes:
    """A tone, or silence."""
    samples = np.arange(milliseconds * TASK_RATE // 1000)
    return (8000 * np.sin(samples * 2 * np.pi * frequency / TASK_RATE)).round().astype("<i2").tobytes()


HUMAN = sound(200) + sound(400, 440) + sound(860)
"""An answer of a person: a short word, and then silence."""


def result(name: str, silence: int, greeting: int, total: int) -> tuple[str, dict[str, Any]]:
    members = {"initial_silence_ms": silence, "greeting_duration_ms": greeting, "total_analysis_ms": total}
    return "result", {"result": name, **members}


async def open_one(
    heard: Callable[[str | bytes], None], **deadlines: float
) -> tuple[WebSocket, socket.socket]:
    """One that is open, and the socket of its peer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    theirs.setblocking(False)
    return await taken_over(ours, b"", heard, **deadlines), theirs
