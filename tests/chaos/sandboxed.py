"""A sandbox as a process at an address of its own: `python -m tests.chaos.sandboxed ADDRESS PORT`.

With CHAOS_WATCH set it notes what its clients have it do, so that it can be seen who acted.
"""

from __future__ import annotations

from .party import note, orders

# isort: split
import os
import re
import sys

from vsi_esl.sandbox import SandboxSwitch, wire
from vsi_esl.sandbox.connection import Connection

HEARTBEAT_S = 1.0
WATCH = "CHAOS_WATCH"
FENCE = re.compile(r"api global_setvar vsi_fence=([0-9]+)-")
ASKS = ("auth", "event", "nixevent", "exit", "api sandbox", "api show", "api uuid_exists", "api uuid_dump")


def _asks(line: str) -> bool:
    """Whether nothing is changed by it; whoever has lost a switch may still look what is there."""
    return line.partition(" ")[2].startswith(
        ("version", "global_getvar", "module_exists", "conference json_list")
    )


def watch(address: str) -> None:
    """Note the commands of all connections that come from elsewhere."""
    serve = Connection._serve

    def watched(connection: Connection, command: wire.Command) -> None:
        peer = connection._socket.getpeername()[0]
        if peer != address and not command.line.startswith(ASKS):
            number = FENCE.match(command.line)
            fence = int(number[1]) if number else 0
            note(
                "sandbox", "command", of=peer, line=command.line[:200], fence=fence, asks=_asks(command.line)
            )
        serve(connection, command)

    Connection._serve = watched


def main(address: str, port: int) -> None:
    if WATCH in os.environ:
        watch(address)
    switch = SandboxSwitch(address, port, heartbeat_s=HEARTBEAT_S)
    switch.start()
    note("sandbox", "listening")
    for _ in orders():
        pass
    switch.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
