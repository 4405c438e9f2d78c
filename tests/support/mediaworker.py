"""Media workers and sessions for tests.

Three ways to test what runs in a worker:

* a provider: a coroutine under `@in_asyncio` (tests.support.inasyncio), against a server of `scripted`
  (tests.support.scripted);
* a task: the same with `Session`, which stands for the worker;
* a worker: `MediaWorker`, a real one, from the tests' own process; `Fork` and `Unicast` are the switch.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import aiohttp
import websocket

from vsi_esl.media import messages
from vsi_esl.media.tasks import FRAME_BYTES, Task, find

WAIT_S = 20.0
PROTOCOL = "audio.drachtio.org"


# -- a session without a worker (under @in_asyncio) ---------------------------------------------------------


class HeardAudio:
    """What the test has the task hear."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ended = False

    def feed(self, pcm: bytes) -> None:
        """Audio at 16 kHz, cut into frames; the last one is filled up with silence."""
        for at in range(0, len(pcm), FRAME_BYTES):
            self._frames.put_nowait(pcm[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))

    def end(self) -> None:
        self._frames.put_nowait(None)

    async def get(self) -> bytes | None:
        if self._ended:
            return None
        frame = await self._frames.get()
        self._ended = frame is None
        return frame

    def take_all(self) -> bytes:
        taken = []
        while not self._frames.empty() and not self._ended:
            frame = self._frames.get_nowait()
            self._ended = frame is None
            taken.append(frame or b"")
        return b"".join(taken)


class SaidVoice:
    """What the task says, as a list; heard at once unless the test clears `heard`."""

    def __init__(self) -> None:
        self.pieces: list[tuple[bytes, int]] = []
        self.waiting_ms = 0.0
        """Set by the test."""
        self.hushed = 0
        self.gain = 1.0
        self.heard = asyncio.Event()
        """Cleared by the test for a voice that is still speaking."""
        self.heard.set()
        self.free = asyncio.Event()
        """Cleared by the test for one with no room."""
        self.free.set()

    @property
    def pcm(self) -> bytes:
        """All that was said and not hushed."""
        return b"".join(pcm for pcm, _ in self.pieces)

    @property
    def said_ms(self) -> int:
        return int(sum(len(pcm) / 2 / rate for pcm, rate in self.pieces) * 1000)

    def say(self, pcm: bytes, rate: int) -> None:
        self.pieces.append((bytes(pcm), rate))

    def hush(self) -> None:
        self.hushed += 1
        self.heard.set()

    def set_gain(self, factor: float) -> None:
        self.gain = factor

    async def room(self) -> None:
        await self.free.wait()

    async def said(self) -> None:
        await self.heard.wait()


class Session:
    """A session in memory: `async with Session() as session: ... session.start("stt", {...})`."""

    def __init__(self) -> None:
        self.audio = HeardAudio()
        self.voice = SaidVoice()
        self.http: aiohttp.ClientSession
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.figures: dict[str, float] = {}
        self.counters: Counter[str] = Counter()
        self.brought = asyncio.Event()
        """Set: the switch has brought the audio. The test may clear it first."""
        self.brought.set()
        self.task: Task
        self.running: asyncio.Task[None]
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Session:
        self.http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if hasattr(self, "running"):
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self.http.close()

    def start(self, name: str, parameters: dict[str, Any]) -> Task:
        """Begin the task of this name. Its end: `await session.running`."""
        self.task = find(name)(self, parameters)
        self.running = asyncio.create_task(self.task.run())
        return self.task

    async def reported(self, what: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until `what` was reported so often; the data of all of them."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [data for one, data in self.reports if one == what]) < count:
                self._changed.clear()
                changed = asyncio.create_task(self._changed.wait())
                running = [self.running] if hasattr(self, "running") else []
                await asyncio.wait([changed, *running], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if running and running[0].done() and not self._changed.is_set():
                    raise AssertionError(f"no {what!r}: the task ended ({running[0]!r}); {self.reports}")
        return found

    def report(self, what: str, **data: Any) -> None:
        self.reports.append((what, data))
        self._changed.set()

    def measure(self, name: str, value: float) -> None:
        self.figures.setdefault(name, value)

    def count(self, name: str, by: float = 1) -> None:
        self.counters[name] += by

    async def attached(self) -> None:
        await self.brought.wait()


# -- a worker -----------------------------------------------------------------------------------------------


class MediaWorker:
    """A worker in a process of its own, and the service's end of its link."""

    def __init__(self, program: str = "vsi_esl.media", **environ: str) -> None:
        self.link, theirs = socket.socketpair()
        self.handing, taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with theirs, taking:
            numbers = [theirs.fileno(), taking.fileno()]
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, *map(str, numbers)],
                pass_fds=numbers,
                stderr=subprocess.PIPE,
                env={**os.environ, **environ},
            )
        self.messages: list[Any] = []
        """All that came and was not yet expected."""

    def __enter__(self) -> MediaWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> str:
        """Close the link; what it logged."""
        self.link.close()
        self.handing.close()
        try:
            return self.process.communicate(timeout=WAIT_S)[1].decode()
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            raise

    def hand_over(self, session: str, connection: socket.socket, read: bytes = b"") -> None:
        """Give a session a connection, and let go of it."""
        with connection:
            socket.send_fds(self.handing, [session.encode() + b"\0" + read], [connection.fileno()])

    def send(self, message: messages.ToWorker) -> None:
        self.link.sendall(messages.pack(message))

    def expect(self, kind: type, session: str = "", what: str = "") -> Any:
        """The next message of this kind, for this session; others stay for later."""
        deadline = time.monotonic() + WAIT_S
        looked = 0
        while True:
            for at in range(looked, len(self.messages)):
                one = self.messages[at]
                if (
                    isinstance(one, kind)
                    and session in ("", getattr(one, "session", ""))
                    and what in ("", getattr(one, "what", ""))
                ):
                    return self.messages.pop(at)
            looked = len(self.messages)
            self.link.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                self.messages.append(self._receive())
            except TimeoutError:
                raise AssertionError(f"no {kind.__name__} {session} {what} in {self.messages}") from None

    def _receive(self) -> Any:
        head = self._bytes(messages.LENGTH.size)
        return messages.unpack(self._bytes(messages.LENGTH.unpack(head)[0]))

    def _bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self.link.recv(count - len(found))
            if not piece:
                logged = self.process.communicate()[1].decode()
                raise AssertionError(f"the worker ended; there are {self.messages}; it logged {logged}")
            found += piece
        return found

    def opened(self, session: str, task: str, **more: Any) -> messages.Opened:
        """Open a session, which waits for its audio as long as a test does, and where that is to go."""
        self.send(messages.Open(session=session, task=task, **{"patience_s": WAIT_S, **more}))
        opened: messages.Opened = self.expect(messages.Opened, session)
        return opened


class Fork:
    """The switch's end of a fork."""

    def __init__(self, url: str, metadata: str = "{}", protocol: str = PROTOCOL) -> None:
        self.socket = websocket.create_connection(url, timeout=WAIT_S, subprotocols=[protocol])
        self.socket.send(metadata)

    def send(self, pcm: bytes) -> None:
        """One message, of any size."""
        self.socket.send_binary(pcm)

    def gone(self) -> bool:
        """Wait until the worker closes it."""
        try:
            return self.socket.recv() in ("", b"")
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return True

    def close(self) -> None:
        self.socket.close()
        self.socket.shutdown()  # closed by the worker, it still has its socket


class Unicast:
    """The switch's end of a unicast session."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_S)
        self.peer = ("127.0.0.1", port)

    def send(self, pcm: bytes) -> None:
        self.socket.sendto(pcm, self.peer)

    def receive(self) -> bytes:
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()
