"""A webhook receiver for tests, with everything that a receiver can do wrong."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event as Signal
from gevent.server import StreamServer

TIMEOUT_S = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Received:
    """One request. `headers` have lower-case names."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["x-event-id"]


class Receiver:
    """Answers 200, or as `behave` says for the path.

    Behaviours: ok, 500, 404, redirect, hang, slow, cut, reset, long, early (an interim answer before it).
    `behave` maps a path to a behaviour, "" is for all others; a behaviour may be a function of the request.
    `taken` are the requests that got a whole 2xx answer, `received` are all.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.received: list[Received] = []
        self.taken: list[Received] = []
        self.behave: dict[str, str | Callable[[Received], str]] = {}
        self.connections = 0
        self._changed = Signal()
        self.released = Signal()
        """Set: those that hang go on."""
        self._sockets: set[socket.socket] = set()
        self._server = StreamServer((host, port), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """Be down: no port, no connections."""
        self._server.stop(timeout=0)
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection."""
        for one in list(self._sockets):
            _close(one)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = TIMEOUT_S) -> Any:
        """Wait for what a request brings about."""
        with gevent.Timeout(timeout, False):
            while not (found := condition()):
                self._changed.clear()
                self._changed.wait(0.05)
            return found
        types = [one.event.get("type") for one in self.taken[-20:]]
        raise AssertionError(f"no {what} within {timeout} s; taken: {types}, received: {len(self.received)}")

    def event(self, kind: str, path: str = "", timeout: float = TIMEOUT_S, **members: Any) -> Received:
        """The first request taken with an event of this type and with these members."""

        def find() -> Received | None:
            for one in self.taken:
                event = one.event
                fits = event["type"] == kind and (not path or one.path == path)
                if fits and all(event.get(name) == value for name, value in members.items()):
                    return one
            return None

        return self.wait(find, f"{kind} {members}", timeout)

    def types(self, path: str = "", **members: Any) -> list[str]:
        """The types of the events taken, without repetitions."""
        first = {one.id: one for one in reversed(self.taken) if not path or one.path == path}
        events = [one.event for one in reversed(first.values())]
        return [e["type"] for e in events if all(e.get(name) == value for name, value in members.items())]

    def _serve(self, sock: socket.socket, _: Any) -> None:
        self.connections += 1
        self._sockets.add(sock)
        stream = sock.makefile("rb")
        try:
            while (request := _read(stream)) is not None:
                self.received.append(request)
                self._changed.set()
                if not self._answer(sock, request):
                    break
        except OSError:
            pass
        finally:
            stream.close()
            self._sockets.discard(sock)
            _close(sock)

    def _answer(self, sock: socket.socket, request: Received) -> bool:
        how = self.behave.get(request.path, self.behave.get("", "ok"))
        if callable(how):
            how = how(request)
        if how in ("hang", "slow"):
            self.released.wait(20 if how == "hang" else 0.15)
            how = "ok"
        if how == "reset":
            return False
        if how == "cut":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
            return False
        if how == "redirect":
            target = self.url("/elsewhere").encode()
            sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n")
            return True
        if how == "long":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(200_000))
            self._take(request)
            return False
        if how == "early":
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
            how = "ok"
        if how != "ok":
            sock.sendall(f"HTTP/1.1 {how} No\r\nContent-Length: 2\r\n\r\nno".encode())
            return True
        sock.sendall(OK)
        self._take(request)
        return True

    def _take(self, request: Received) -> None:
        self.taken.append(request)
        self._changed.set()


def _read(stream: Any) -> Received | None:
    line = stream.readline()
    if not line:
        return None
    headers = {}
    while (header := stream.readline().strip()) != b"":
        name, _, value = header.decode().partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "-1"))
    body = stream.read(max(0, length))
    if len(body) != length:
        return None  # whoever sent it is gone
    return Received(line.split()[1].decode(), headers, body)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
