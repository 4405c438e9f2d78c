"""The switch's side of the event socket protocol, written apart from the service's own decoder, so that a
mistake there is not mirrored here."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_BLOCK_BYTES = 256 * 1024


class WireError(Exception):
    """The client sent something that can be no command."""


@dataclass(slots=True)
class Command:
    """One command: its first line, the headers below it, and a body if it announced one."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


class CommandReader:
    """Bytes of a client in, commands out."""

    def __init__(self) -> None:
        self._buffer = b""
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
        if self._open is None:
            self._buffer = self._buffer.lstrip(b"\r\n")
            block, separator, rest = self._buffer.partition(b"\n\n")
            if len(block) > MAX_BLOCK_BYTES:
                raise WireError("command too long")
            if not separator:
                return None
            self._buffer = rest
            first, *lines = block.decode("utf-8", "replace").replace("\r", "").split("\n")
            command = Command(first.strip())
            for line in lines:
                name, _, value = line.partition(":")
                command.headers[name.strip().lower()] = value.strip()
            length = command.headers.get("content-length", "0")
            if not length.isdigit() or int(length) > MAX_BLOCK_BYTES:
                raise WireError("bad content-length")
            self._open, self._missing = command, int(length)
        if len(self._buffer) < self._missing:
            return None
        command, self._open = self._open, None
        command.body = self._buffer[: self._missing].decode("utf-8", "replace")
        self._buffer = self._buffer[self._missing :]
        return command


def reply(text: str, **headers: str) -> bytes:
    """A command/reply frame."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return f"Content-Type: command/reply\nReply-Text: {text}\n{extra}\n".encode()


def response(body: str) -> bytes:
    """An api/response frame."""
    data = body.encode("utf-8", "replace")
    return b"Content-Type: api/response\nContent-Length: %d\n\n" % len(data) + data


def json_event(body: bytes) -> bytes:
    """A text/event-json frame."""
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body
