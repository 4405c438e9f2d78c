"""What passes between the service and a media worker: one JSON object a message, behind its length.

A worker is started as `python -m vsi_esl.media FD`, where FD is its end of a stream socket pair; it ends when
the other end is closed. Both ends are ours and of one version; a message that cannot be read is a fault, and
ends the worker.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import orjson

LENGTH = struct.Struct(">I")
LONGEST = 8 << 20
"""Bytes of one message."""

# -- where audio comes from and goes to ------------------------------------------------------------------

FORK = "fork"
"""A WebSocket that the switch opens (mod_audio_fork): what one leg says."""
UNICAST = "unicast"
"""Raw audio over UDP, both ways (`unicast` of the core): what an internal channel hears and says."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Ear:
    """Where the session's audio comes from. It is handed to the task in frames of 20 ms."""

    kind: str
    rate: int
    """Samples a second on the way from the switch."""
    heard_at: int = 16000
    """Samples a second of what the task is handed."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Mouth:
    """Where what the task says goes to, by UDP; with a unicast ear over the same socket, unless it is
    `apart`."""

    rate: int
    apart: bool = False
    """Of a channel of its own: what comes from there is not heard, and it has a port of its own."""
    lead_ms: int = 60
    """How far what is sent is ahead of the clock."""
    longest_s: float = 60.0
    """How much may wait to be said; more is an overrun, counted and dropped."""


# -- from the service ------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True, kw_only=True)
class Open:
    """Begin a session. The worker answers with `Opened` at once, and starts the task."""

    kind: ClassVar = "open"
    session: str
    task: str
    """Name of the task, a module in `media.tasks`."""
    parameters: dict[str, Any] = field(default_factory=dict)
    ear: Ear | None = None
    mouth: Mouth | None = None
    patience_s: float = 2.0
    """How long the switch may take to bring the audio before the session ends with `no_audio`."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Renew:
    """The switch brings a session's audio anew, at another rate or by other ways: those there were are let
    go of, and `Opened` says the new ones. The task goes on, and what waits to be said stays."""

    kind: ClassVar = "renew"
    session: str
    ear: Ear | None = None
    mouth: Mouth | None = None
    patience_s: float = 2.0


@dataclass(slots=True, frozen=True, kw_only=True)
class Close:
    """End a session; its task may take `grace_s` more for what is on its way. `Closed` follows."""

    kind: ClassVar = "close"
    session: str
    grace_s: float = 0.0


@dataclass(slots=True, frozen=True, kw_only=True)
class Tell:
    """Something for a running task: `what` is the task's word, such as "message", "digits" or "gain"."""

    kind: ClassVar = "tell"
    session: str
    what: str
    value: Any = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Ping:
    """Are you alive? `Pong` answers."""

    kind: ClassVar = "ping"
    number: int


# -- from the worker ---------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True, kw_only=True)
class Opened:
    """Where the switch is to bring the session's audio."""

    kind: ClassVar = "opened"
    session: str
    url: str = ""
    """WebSocket of a fork, with the session's token in it; good for one connection."""
    port: int = 0
    """UDP port on loopback."""
    mouth_port: int = 0
    """That of a mouth that is `apart`."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Report:
    """Something happened: `what` is "attached" (the first audio came), "renewed" (the first of a `Renew`),
    "detached" (a fork ended), or a word of the task's."""

    kind: ClassVar = "report"
    session: str
    what: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True, kw_only=True)
class Closed:
    """The end of a session, once. Nothing follows."""

    kind: ClassVar = "closed"
    session: str
    reason: str
    """done (the task's own end), closed (as told), no_audio, provider (it ended or failed), error (a
    fault)."""
    error: str = ""
    """For people; never holds a key or a text."""
    category: str = ""
    """Of a provider's failure, `vsi_esl.providers.base`."""
    figures: dict[str, float] = field(default_factory=dict)
    """What was measured: first_audio_ms, first_text_ms, flush_ms, late_frames, overruns, reconnects, ..."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Pong:
    """Alive, with this many sessions; and what was counted since the start of the process."""

    kind: ClassVar = "pong"
    number: int
    sessions: int
    figures: dict[str, float] = field(default_factory=dict)


ToWorker = Open | Renew | Close | Tell | Ping
FromWorker = Opened | Report | Closed | Pong

_KINDS: dict[str, Any] = {
    one.kind: one for one in (Open, Renew, Close, Tell, Ping, Opened, Report, Closed, Pong)
}
_PARTS: dict[str, Any] = {"ear": Ear, "mouth": Mouth}


def plain(message: ToWorker | FromWorker) -> dict[str, Any]:
    """A message as JSON has it."""
    return {"kind": message.kind, **asdict(message)}


def pack(message: ToWorker | FromWorker) -> bytes:
    """A message as it is sent. ValueError when it is too long."""
    body = orjson.dumps(plain(message))
    if len(body) > LONGEST:
        raise ValueError(f"a message of {len(body)} bytes")
    return LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """The message in a body. ValueError (TypeError) when there is none."""
    return of_plain(orjson.loads(body))


def of_plain(data: dict[str, Any]) -> Any:
    """The message that `plain` has given; KeyError, TypeError or ValueError when there is none."""
    kind = _KINDS[data.pop("kind")]
    for name, part in _PARTS.items():
        if data.get(name) is not None:
            data[name] = part(**data[name])
    return kind(**data)
