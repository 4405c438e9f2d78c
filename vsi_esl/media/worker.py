"""A worker: the sessions that the service opened in it."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import aiohttp
import structlog

from . import logs
from .ears import Ears
from .forks import Forks
from .handover import Handovers
from .link import Link
from .messages import Close, Closed, Open, Ping, Pong, Renew, Tell
from .metronome import Metronome
from .session import Session

log = structlog.get_logger(__name__)

END_S = 1.0
"""How long sessions may take to let go of what they have, when the worker ends."""
CONNECT_S = 10.0
SILENCE_S = 30.0
"""To a provider, and of one that is to answer: unless the provider's module says otherwise."""


class Worker:
    """Does what the service says over its link, until the link ends."""

    def __init__(self) -> None:
        self._total: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self, sock: socket.socket, handed: socket.socket) -> None:
        """Serve the link over one socket, and take connections that are handed over from another; returns
        when the service is gone or `end` was called."""
        loop = asyncio.get_running_loop()
        self._metronome = Metronome(loop)
        self._ears = Ears(self._metronome)
        self._forks = Forks(self._count, self._ears)
        await self._forks.start()
        self._handovers = Handovers(handed)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._http:
            self._link = Link(self._told, self.end)
            await loop.create_unix_connection(lambda: self._link, sock=sock)
            await self._ended.wait()
            for life in self._lives:
                life.cancel()
            if self._lives:
                await asyncio.wait(self._lives, timeout=END_S)
        self._handovers.close()
        await self._forks.stop()
        self._ears.close()

    def end(self, why: str) -> None:
        """End everything at once."""
        if not self._ended.is_set():
            self._ended.set()
            log.info("media worker ends", why=why, sessions=len(self._sessions))

    def _count(self, name: str) -> None:
        self._total[name] = self._total.get(name, 0) + 1

    # -- what the service says -------------------------------------------------------------------------------

    def _told(self, message: Any) -> None:
        match message:
            case Ping():
                self._link.send(self._pong(message.number))
            case Open():
                self._open(message)
            case Renew():
                if message.session in self._sessions:
                    self._sessions[message.session].renew(message)
            case Close():
                if message.session in self._sessions:
                    self._sessions[message.session].close(message.grace_s)
            case Tell():
                if message.session in self._sessions:
                    self._sessions[message.session].hear(message.what, message.value)

    def _open(self, message: Open) -> None:
        if message.session in self._sessions or self._ended.is_set():
            self._link.send(Closed(session=message.session, reason="error", error="it cannot be opened"))
            return
        try:
            session = Session(
                message,
                ears=self._ears,
                forks=self._forks,
                metronome=self._metronome,
                http=self._http,
                handovers=self._handovers,
                tell=self._link.send,
            )
        except Exception as fault:
            log.error("fault", session=message.session, task=message.task, **logs.described(fault))
            self._link.send(Closed(session=message.session, reason="error", error=type(fault).__name__))
            return
        self._sessions[message.session] = session
        life = asyncio.create_task(self._live(message.session, session))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _live(self, name: str, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[name]
            session.figures.add_to(self._total)

    def _pong(self, number: int) -> Pong:
        figures = self._total.copy()
        for session in self._sessions.values():
            session.figures.add_to(figures)
        figures["tasks"] = len(asyncio.all_tasks())
        figures["cpu_s"] = time.process_time()
        figures["latest_ms"] = self._metronome.latest_s * 1000
        self._metronome.latest_s = 0.0
        return Pong(number=number, sessions=len(self._sessions), figures=figures)
