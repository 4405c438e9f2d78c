"""Between a switch and its services, in the switch's place: what a service has the switch do is noted, and
whose the switch then is by what it says of itself.

It listens as long as the switch runs, so that from outside there is no difference: a switch that is killed
refuses connections, and one that stands still takes them and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent import socket
from gevent.server import StreamServer

from vsi_esl.sandbox import wire

CHUNK = 65_536
TAIL = 128
"""Bytes at the end of what was read in which an answer may have begun that is not whole."""
ANSWER = re.compile(rb"Content-Length: ([0-9]{1,3})\n\n")
FENCE = re.compile(rb"(?![0-9]{8}-[0-9a-f]{4}-[0-9a-f]{4}-)([0-9]{1,15})-([A-Za-z0-9_.-]{1,64})")
"""What `global_getvar vsi_fence` is answered with; a UUID is another answer."""
SHOWING = ("api global_setvar vsi_fence=", "api global_setvar vsi_doubt=")
"""Done only in place of what was read before; what comes of it is read again. The other is a note for who has
it, which others are to leave there."""
ASKING = re.compile(
    r"(?:auth|event|nixevent|noevents|filter|exit|log|nolog)\b"
    r"|api (?:version|status|show|global_getvar|module_exists|uuid_exists|uuid_dump|uuid_getvar|xml_locate"
    r"|sofia (?:status|xmlstatus)|conference (?:\S+ )?(?:json_list|xml_list|list))\b"
)
"""Whoever has lost a switch may still look what is there."""

Note = Callable[..., None]


def acts(line: str) -> bool:
    """Whether something is changed by it."""
    return not ASKING.match(line) and not line.startswith(SHOWING)


class Tap:
    """Passes on what comes to `address` to the switch at `behind`. `note(what, **more)` is told of each line,
    and of each fence that the switch shows."""

    def __init__(self, address: tuple[str, int], behind: tuple[str, int], note: Note) -> None:
        self._address, self._behind, self._note = address, behind, note
        self._shown = b""
        self._server: StreamServer | None = None
        self._served: set[gevent.Greenlet] = set()

    def start(self) -> None:
        """The switch runs."""
        self._server = StreamServer(self._address, self._serve)
        self._server.start()

    def stop(self) -> None:
        """It does not any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        gevent.killall(list(self._served))

    def _serve(self, near: socket.socket, peer: tuple[str, int]) -> None:
        this = gevent.getcurrent()
        self._served.add(this)
        try:
            with suppress(OSError), socket.create_connection(self._behind) as far:
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = gevent.spawn(self._answers, far, near)
                try:
                    self._commands(near, far, peer[0])
                finally:
                    back.kill()
        finally:
            self._served.discard(this)
            near.close()

    def _commands(self, near: socket.socket, far: socket.socket, of: str) -> None:
        reader = wire.CommandReader()
        while data := near.recv(CHUNK):
            for command in reader.feed(data):
                if acts(command.line):
                    self._note("command", of=of, line=command.line[:200])
            far.sendall(data)

    def _answers(self, far: socket.socket, near: socket.socket) -> None:
        tail = b""
        with suppress(OSError):
            while data := far.recv(CHUNK):
                self._look(tail + data)
                tail = (tail + data)[-TAIL:]
                near.sendall(data)
        with suppress(OSError):  # the other direction ends by it
            near.shutdown(socket.SHUT_RDWR)

    def _look(self, data: bytes) -> None:
        for head in ANSWER.finditer(data):
            shown = FENCE.fullmatch(data, head.end(), head.end() + int(head[1]))
            if shown is not None and len(data) >= head.end() + int(head[1]) and shown[0] != self._shown:
                self._shown = shown[0]
                self._note("shown", number=int(shown[1]), service=shown[2].decode())
