"""A WebSocket that carries what is heard and what is said: a leg's peer, or somebody in a room.

Parameters: `wire`, binary or json_base64; `rate`; either `url`, `headers`, `limit_s`, `allow_private` and
`allowed` (networks) of one to open, or `welcome`, the first message of one that is handed over; `texts`,
whether texts are reported; `running`, whether all that is heard is sent from the start, and `sounds`, whether
what is not silent is sent meanwhile; `read_s` and `write_s`, its deadlines.

Reports: `open`, when it is open and has its audio; `text` (text); `over` (reason), last. It is told `text` (a
text for the peer) and `running` (whether all that is heard is sent).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from ...net.guard import AddressGuard
from ..dial import DialError, dial
from ..surplus import Surplus, is_silent
from ..websocket import ERROR, READ_S, WRITE_S, WebSocket, taken_over
from . import Task, Work

log = structlog.get_logger(__name__)

BINARY = "binary"
PING_S = 30.0
MOST_MS = 1000
"""Of audio that waits to be heard; a message that would be too much is dropped whole."""
LATE_MS = 100
"""With more of it waiting, what comes is late as long as the peer says something, and silence is left out:
a network that stood still for a moment is not to delay all that follows. Of less `surplus` takes care."""
LONGEST_TEXT = 16_384
"""Characters of a text; longer ones are dropped."""
TEXTS_AT_ONCE = 200
TEXTS_A_SECOND = 50
"""More texts are dropped: nobody types so many."""
PAUSE_S = 1.0
"""Silence of that length is still a part of what was heard before."""
NOTHING = b"\xff"
"""What the switch sends for each byte when a channel has no frame."""


class Conversation(Task):
    """Until either side ends it."""

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        self._binary = parameters["wire"] == BINARY
        self._rate: int = parameters["rate"]
        self._surplus = Surplus(self._rate)
        self._running: bool = parameters.get("running", True)
        self._sounds: bool = parameters.get("sounds", False)
        self._sounding_until = 0.0
        self._deadlines = {
            "read_s": parameters.get("read_s", READ_S),
            "write_s": parameters.get("write_s", WRITE_S),
        }
        self._connection: WebSocket | None = None
        self._open = False
        self._early: list[str] = []
        """Texts that came before it was open to the service; bounded as all are."""
        self._allowance, self._counted = float(TEXTS_AT_ONCE), time.monotonic()

    async def run(self) -> None:
        parts: list[asyncio.Task[None]] = []
        reason = ERROR
        try:
            self._connection = one = await self._connect()
            reason = await self._begun(one)
            if not reason:
                self._open = True
                self.work.report("open")
                for text in self._early:
                    self.work.report("text", text=text)
                self._early.clear()
                parts = [asyncio.create_task(part) for part in (self._hear(one), self._ping(one))]
                reason = await self._ended(one, parts)
        except DialError as error:
            reason = str(error)
        except (TimeoutError, OSError):
            reason = ERROR  # it was not handed over, or was gone by then
        finally:
            self._open = False
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            if self._connection is not None:
                self._connection.close()
        self.work.report("over", reason=reason)

    async def _connect(self) -> WebSocket:
        given = self.parameters
        if "url" in given:
            allowed = [ipaddress.ip_network(one) for one in given["allowed"]]
            guard = AddressGuard(given["allow_private"], allowed)
            return await dial(
                given["url"],
                given["headers"],
                guard,
                self._heard,
                limit_s=given["limit_s"],
                **self._deadlines,
            )
        connection, read = await self.work.handed_over()
        return await taken_over(connection, read, self._heard, **self._deadlines)

    async def _begun(self, one: WebSocket) -> str:
        """Wait for the audio, and say welcome. Why it ended meanwhile; empty when it did not."""
        attached = asyncio.ensure_future(self.work.attached())
        try:
            both: list[asyncio.Future[Any]] = [attached, one.ended]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            attached.cancel()
        if one.ended.done():
            return one.ended.result()
        attached.result()
        if welcome := self.parameters.get("welcome"):
            one.send_text(orjson.dumps(welcome, option=orjson.OPT_SORT_KEYS))
        return ""

    @staticmethod
    async def _ended(one: WebSocket, parts: list[asyncio.Task[None]]) -> str:
        """Why it ended. What goes wrong in a part is raised: nobody would hear anything any more."""
        running: set[asyncio.Future[Any]] = {one.ended, *parts}
        while not one.ended.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for part in done - {one.ended}:
                part.result()
        return one.ended.result()

    # -- to the peer -------------------------------------------------------------------------------------

    async def _hear(self, one: WebSocket) -> None:
        while (frame := await self.work.audio.get()) is not None:
            if frame.count(NOTHING) == len(frame):
                frame = bytes(len(frame))
            if not (self._running or (self._sounds and self._sounding(frame))):
                continue
            if one.crowded:
                self.work.count("frames_left_out")
                continue
            if self._binary:
                one.send_binary(frame)
            else:
                one.send_text(b'{"audio":"' + b64encode(frame) + b'"}')

    def _sounding(self, frame: bytes) -> bool:
        """Whether there is sound, or was a moment ago: pauses in it are sent, too."""
        now = time.monotonic()
        if frame.count(0) != len(frame):
            self._sounding_until = now + PAUSE_S
        return now < self._sounding_until

    async def _ping(self, one: WebSocket) -> None:
        number = 0
        while True:
            await asyncio.sleep(PING_S)
            number += 1
            one.send_text(orjson.dumps({"type": "ping", "event_id": number}))

    def told(self, what: str, value: Any) -> None:
        if what == "running":
            self._running = bool(value)
        elif what == "text" and self._open and self._connection is not None:
            if self._connection.crowded:
                self.work.count("texts_dropped")
            else:
                self._connection.send_text(orjson.dumps({"type": "text", "text": value}))

    # -- of the peer -------------------------------------------------------------------------------------

    def _heard(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if self._binary:
                self._say(message)
            return
        try:
            found = orjson.loads(message)
        except orjson.JSONDecodeError:
            self._malformed("a text that is no JSON")
            return
        if not isinstance(found, dict):
            self._malformed("a text that is no JSON object")
            return
        kind, audio = found.get("type", ""), found.get("audio")
        if audio and kind in ("", "audio"):
            self._encoded(audio)
        elif kind == "text":
            self._text(found.get("text", ""))
        elif kind == "ping":
            self._pong(found.get("event_id", 0))
        elif kind in ("hangup", "stop") and self._connection is not None:
            self._connection.close()

    def _encoded(self, audio: Any) -> None:
        if self._binary:
            return
        try:
            self._say(b64decode(audio, validate=True))
        except (NotBase64, TypeError, ValueError):
            self._malformed("audio that is no base64")

    def _say(self, pcm: bytes) -> None:
        if len(pcm) & 1:
            self._malformed("audio of half a sample")
            return
        if not self._open:
            self.work.count("frames_early")  # nobody is there yet to hear it
            return
        waiting = self.work.voice.waiting_ms
        if waiting + len(pcm) * 500 / self._rate > MOST_MS:
            self.work.count("overruns")
            return
        if waiting > LATE_MS and is_silent(pcm):
            self.work.count("caught_up_s", len(pcm) / 2 / self._rate)
            return
        pcm = self._surplus.trim(pcm, waiting)
        if self._surplus.silence_ms:
            self.work.count("caught_up_s", self._surplus.silence_ms / 1000)
        if self._surplus.sound_ms:
            self.work.count("cut_s", self._surplus.sound_ms / 1000)
        if pcm:
            self.work.voice.say(pcm, self._rate)

    def _text(self, text: Any) -> None:
        if not self.parameters["texts"]:
            return
        if not isinstance(text, str):
            self._malformed("a text that is none")
            return
        now = time.monotonic()
        self._allowance += (now - self._counted) * TEXTS_A_SECOND
        self._allowance, self._counted = min(self._allowance, TEXTS_AT_ONCE), now
        if self._allowance < 1 or len(text) > LONGEST_TEXT:
            self.work.count("texts_dropped")
            return
        self._allowance -= 1
        if self._open:
            self.work.report("text", text=text)
        else:
            self._early.append(text)

    def _pong(self, number: Any) -> None:
        if not isinstance(number, int) or abs(number) >= 1 << 63:
            self._malformed("a ping whose number is none")
            return
        if self._connection is not None:
            numbered = {"event_id": number} if number else {}
            self._connection.send_text(orjson.dumps({"type": "pong", **numbered}))

    def _malformed(self, what: str) -> None:
        """One line a connection; more are counted."""
        self.work.count("malformed")
        if not self._complained:
            self._complained = True
            log.warning("a message of a WebSocket was ignored", what=what)

    _complained = False


TASK = Conversation
