"""`python -m vsi_esl.media LINK HANDED`: a media worker, with its link to the service on a socket that it
inherits, and connections that are handed over on another."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

import structlog
import uvloop

from . import logs
from .worker import Worker

LEVEL = "VSI_ESL_LOG_LEVEL"
PRIORITY = -10
"""Before what can wait a moment, where the system lets us."""
EXIT_S = 3.0
"""How long the process may live after the service is gone, whatever it is doing."""


def main() -> None:
    logs.setup(os.environ.get(LEVEL, "info"))
    number, handed = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the service's, which ends its workers
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    threading.Thread(target=end_with, args=(os.dup(number),), daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=number), socket.socket(fileno=handed)))
    os._exit(0)  # no thread of a library holds it up


async def serve(sock: socket.socket, handed: socket.socket) -> None:
    worker = Worker()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.end, "told by a signal")
    await worker.run(sock, handed)


def end_with(number: int) -> None:
    """End the process soon after the other end of the link is closed, also when the loop is stuck."""
    poll = select.poll()
    events = 0  # macOS tells the hang-up of a local socket unasked
    if sys.platform == "linux":
        events = select.POLLRDHUP
    poll.register(number, events)
    poll.poll()
    time.sleep(EXIT_S)
    try:
        structlog.get_logger(__name__).error("media worker was stuck")
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
