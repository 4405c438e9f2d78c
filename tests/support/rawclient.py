"""A sandbox, and an event socket client that decodes what it needs by itself."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vsi_esl.sandbox import SandboxSwitch

Event = dict[str, Any]


class RawClient:
    """An event socket client that decodes what it needs by itself. Every read has a deadline."""

    def __init__(self, port: int, password: str | None = "ClueCon") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._buffer = b""
        self.events: list[Event] = []
        self.order: list[str] = []
        assert self.frame()[0]["Content-Type"] == "auth/request"
        if password is not None:
            assert self.command(f"auth {password}") == "+OK accepted"

    def close(self) -> None:
        self.socket.close()

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode())

    def frame(self) -> tuple[dict[str, str], bytes]:
        """The next frame: its headers and body. EOFError when there is none any more."""
        while b"\n\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\n\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        length = int(headers.get("Content-Length", 0))
        while len(self._buffer) < length:
            self._receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return headers, body

    def _receive(self) -> None:
        data = self.socket.recv(262144)
        if not data:
            raise EOFError
        self._buffer += data

    def answer(self) -> str:
        """The next reply or response; events on the way are kept."""
        while True:
            headers, body = self.frame()
            kind = headers["Content-Type"]
            if kind == "text/event-json":
                self._note(json.loads(body))
            else:
                self.order.append(kind)
                return headers.get("Reply-Text") or body.decode()

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self.order.append(event["Event-Name"])

    def command(self, text: str) -> str:
        self.send(text + "\n\n")
        return self.answer()

    def api(self, text: str) -> str:
        return self.command(f"api {text}").rstrip("\n")

    def sandbox(self, **request: Any) -> str:
        return self.api(f"sandbox {json.dumps(request)}").removeprefix("+OK ")

    def far(self, channel: str) -> Event:
        return json.loads(self.sandbox(do="far", uuid=channel))

    def listed(self, count: int) -> list[Event]:
        """The switch's list of channels, once it has so many: it is behind."""
        deadline = time.monotonic() + 20
        while len(rows := json.loads(self.api("show channels as json")).get("rows", [])) != count:
            assert time.monotonic() < deadline, f"not {count}: {rows}"
        return rows

    def event(self, wanted: Callable[[Event], bool] | str) -> Event:
        """Wait for an event that is so, or of that name; events already here count."""
        matches = (lambda one: one["Event-Name"] == wanted) if isinstance(wanted, str) else wanted
        for one in self.events:
            if matches(one):
                return one
        while True:
            headers, body = self.frame()
            assert headers["Content-Type"] == "text/event-json", headers
            event = json.loads(body)
            self._note(event)
            if matches(event):
                return event

    def names(self, channel: str) -> list[str]:
        """What happened to a channel, in short, in order."""
        return [shown(one) for one in self.events if one.get("Unique-ID") == channel]


def shown(event: Event) -> str:
    """An event in one word: conference action, subclass, application, or name without CHANNEL_."""
    name = event["Event-Name"].removeprefix("CHANNEL_")
    if name == "CUSTOM":
        return event.get("Action") or event["Event-Subclass"].partition("::")[2]
    return f"{name}:{event['Application']}" if "Application" in event else name


@contextmanager
def running(**options: Any) -> Iterator[SandboxSwitch]:
    switch = SandboxSwitch(**options)
    switch.start()
    try:
        yield switch
    finally:
        switch.stop()


@contextmanager
def connected(*events: str, **options: Any) -> Iterator[tuple[SandboxSwitch, RawClient]]:
    """A sandbox, and a client subscribed to these events."""
    with running(**options) as switch:
        client = RawClient(switch.address[1])
        if events:
            assert client.command(f"event json {' '.join(events)}") == "+OK event listener enabled json"
        try:
            yield switch, client
        finally:
            client.close()
