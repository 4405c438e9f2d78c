"""The switch's side of the event socket protocol, written apart from the service's own decoder, so that a
mistake there is not mirrored here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_BLOCK_BYTES = 256 * 1024
END_OF_BLOCK = re.compile(rb"\n\r*\n")
LINE_ENDS = re.compile(rb"[\r\n]+")
LENGTH = re.compile(r"[0-9]{1,7}\Z")


class WireError(Exception):
    """The client sent something that can be no command."""


@dataclass(slots=True)
class Command:
    """One command: its first line, the headers below it (names in lower case), and its body if it has one."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


class CommandReader:
    """Bytes of a client in, commands out. Raises WireError for a command or body longer than is accepted."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._open: Command | None = None
        self._missing = 0

    def feed(self, data: bytes) -> list[Command]:
        """Take bytes and return the commands they complete."""
        self._buffer += data
        found = []
        while (command := self._next()) is not None:
            found.append(command)
        return found

    def _next(self) -> Command | None:
        if self._open is None and not self._read_head():
            return None
        if self._open is None or len(self._buffer) < self._missing:
            return None
        command, self._open = self._open, None
        command.body = self._take(self._missing)
        return command

    def _read_head(self) -> bool:
        if (blank := LINE_ENDS.match(self._buffer)) is not None:
            del self._buffer[: blank.end()]
        end = END_OF_BLOCK.search(self._buffer, self._searched)
        if (end.start() if end else len(self._buffer)) > MAX_BLOCK_BYTES:
            raise WireError("command too long")
        if end is None:
            # a separator may be cut at the end of what has arrived
            self._searched = max(0, len(self._buffer) - 2)
            return False
        self._searched = 0
        first, *lines = self._take(end.end()).replace("\r", "").rstrip("\n").split("\n")
        command = Command(first.strip(" "))
        for line in lines:
            name, _, value = line.partition(":")
            command.headers[name.strip(" ").lower()] = value.strip(" ")
        length = command.headers.get("content-length", "0")
        if not LENGTH.match(length) or int(length) > MAX_BLOCK_BYTES:
            raise WireError("bad content-length")
        self._open, self._missing = command, int(length)
        return True

    def _take(self, count: int) -> str:
        text = self._buffer[:count].decode("utf-8", "replace")
        del self._buffer[:count]
        return text


def reply(text: str, **headers: str) -> bytes:
    """A command/reply frame."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"Content-Type: command/reply\nReply-Text: {text}\n{extra}\n".encode("utf-8", "replace")


def response(body: str) -> bytes:
    """An api/response frame."""
    return _frame(b"api/response", body.encode("utf-8", "replace"))


def goodbye() -> bytes:
    """What a client reads last."""
    return _frame(b"text/disconnect-notice", b"Disconnected, goodbye.\n")


def json_event(body: bytes) -> bytes:
    """A text/event-json frame."""
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body


def _frame(kind: bytes, body: bytes) -> bytes:
    return b"Content-Type: %b\nContent-Length: %d\n\n" % (kind, len(body)) + body
