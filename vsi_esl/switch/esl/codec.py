"""The event socket's wire format, without any I/O.

A frame is a block of `Name: value` lines, an empty line, and a body when there is a Content-Length
(FreeSWITCH, mod_event_socket). Bytes go in as they arrive, frames come out. Events are accepted as JSON
only: in `event plain` a caller's display name holding `%0A` decodes to a header line that was never sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

import orjson

MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Largest body accepted. `show channels as json` needs about 1 kB a channel, a single event under 100 kB."""


class CodecError(Exception):
    """The peer does not speak the event socket's protocol; the connection is of no further use."""


@dataclass(slots=True)
class Frame:
    """One message of the switch: its outer headers (names as sent) and its raw body."""

    headers: dict[str, str]
    body: bytes = b""

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")

    def text(self) -> str:
        """The body as text. Callers' bytes reach us unchanged, so a bad sequence is replaced, not refused."""
        return self.body.decode("utf-8", "replace")


class Decoder:
    """Turns a byte stream into frames. `feed` bytes, then iterate `frames()` until it is empty."""

    def __init__(self, max_header: int = MAX_HEADER_BYTES, max_body: int = MAX_BODY_BYTES) -> None:
        self._max_header = max_header
        self._max_body = max_body
        self._buffer = bytearray()
        self._offset = 0
        self._headers: dict[str, str] | None = None
        self._need = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self._buffer += data

    @property
    def pending(self) -> int:
        """Bytes received that do not make a whole frame yet."""
        return len(self._buffer) - self._offset

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes come. CodecError when there can be no next one."""
        if self._offset == len(self._buffer) and self._headers is None:
            return None  # as it is after most replies
        headers = self._headers or self._read_headers()
        if headers is None:
            return None
        start, end = self._offset, self._offset + self._need
        if end > len(self._buffer):
            self._compact()
            return None
        frame = Frame(headers, bytes(memoryview(self._buffer)[start:end]))
        self._headers, self._need, self._offset = None, 0, end
        if end == len(self._buffer):
            self._buffer.clear()
            self._offset = 0
        elif end > MAX_HEADER_BYTES:
            self._compact()
        return frame

    def _read_headers(self) -> dict[str, str] | None:
        buffer = self._buffer
        while buffer.startswith(b"\n", self._offset):  # stray line ends between frames
            self._offset += 1
        end = buffer.find(b"\n\n", self._offset)
        size = (len(buffer) if end < 0 else end) - self._offset
        if size > self._max_header:
            raise CodecError(f"header block of more than {self._max_header} bytes")
        if end < 0:
            self._compact()
            return None
        block = buffer[self._offset : end].decode("utf-8", "replace")
        headers = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(":")
            if not colon:
                raise CodecError(f"not a header line: {line[:80]!r}")
            headers[name.strip()] = value.strip()
        if "%" in block:
            headers = {name: unquote(value) for name, value in headers.items()}
        self._offset = end + 2
        length = headers.get("Content-Length")
        self._need = 0 if length is None else self._body_length(length)
        self._headers = headers
        return headers

    def _body_length(self, text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise CodecError(f"bad Content-Length: {text[:40]!r}")
        length = int(text[:12])
        if length > self._max_body:
            raise CodecError(f"body of {length} bytes; the limit is {self._max_body}")
        return length

    def _compact(self) -> None:
        if self._offset:
            del self._buffer[: self._offset]
            self._offset = 0


def decode_event(body: bytes) -> dict[str, str]:
    """The headers of a `text/event-json` body; the event's own body is under `_body`.

    Values are text, except a variable that FreeSWITCH holds as an array, which is a list. Bytes that are
    not UTF-8 (a caller chose them) are replaced. Raises CodecError when it is not one JSON object.
    """
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            event = orjson.loads(body.decode("utf-8", "replace"))
        except orjson.JSONDecodeError as error:
            raise CodecError(f"event is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise CodecError("event is not a JSON object")
    return event


def encode_command(command: str, headers: dict[str, str] | None = None, body: str = "") -> bytes:
    """One command block. A line end inside the command or a header would start another: ValueError."""
    lines = [command, *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body:
        lines.append(f"content-length: {len(body.encode())}")
    for line in lines:
        if "\n" in line or "\r" in line or "\0" in line:
            raise ValueError("an event socket command is one line")
    return ("\n".join(lines) + "\n\n" + body).encode("utf-8", "surrogatepass")
