"""Media workers that a companion runs for services: the switch brings them its audio on this machine, what
they and the service say to each other goes over the line. They end with the connection of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import structlog

from ..live.beside import GONE, SAID, SAY, START, STOP
from ..live.process import MediaWorker
from ..media import messages
from ..media.messages import Open, Pong
from ..speech.tts.settings import TtsSettings
from ..wire.frames import Message
from ..wire.server import Peer

log = structlog.get_logger(__name__)

LEVELS = ("debug", "info", "warn", "error")


class Workers:
    """At most `most` for each service. Speech that is kept is so by this machine's settings, whatever the
    service says."""

    def __init__(self, most: int, tts: TtsSettings) -> None:
        self.most = most
        self._tts = tts
        self._of: dict[Peer, dict[int, MediaWorker]] = {}

    def told(self, peer: Peer, message: Message) -> None:
        """What a service says of its workers."""
        kind = message["kind"]
        if kind == START:
            self._start(peer, int(message["number"]), str(message.get("log_level", "info")))
            return
        worker = self._of.get(peer, {}).get(int(message["number"]) if kind in (SAY, STOP) else 0)
        if worker is None:
            return
        if kind == SAY:
            worker.send(self._confined(messages.of_plain(dict(message["message"]))))
        elif kind == STOP:
            del self._of[peer][int(message["number"])]
            gevent.spawn(worker.stop)

    def left(self, peer: Peer) -> None:
        """The service is gone, or out of reach: it begins its sessions anew when it is back."""
        for worker in self._of.pop(peer, {}).values():
            gevent.spawn(worker.stop)

    def stop(self) -> None:
        """End all of them, and wait for that, for a moment."""
        workers = [worker for mine in self._of.values() for worker in mine.values()]
        self._of.clear()
        gevent.joinall([gevent.spawn(worker.stop) for worker in workers])

    def _start(self, peer: Peer, number: int, log_level: str) -> None:
        mine = self._of.setdefault(peer, {})
        if number in mine:
            return
        if len(mine) >= self.most:
            peer.send({"kind": GONE, "number": number, "why": "there are as many as there may be"})
            return

        def heard(_: Any, message: Any) -> None:
            peer.send({"kind": SAID, "number": number, "message": messages.plain(message)})

        def gone(worker: MediaWorker, why: str) -> None:
            if mine.pop(number, None) is not None:
                log.error("media worker lost", pid=worker.pid, why=why, service=peer.service)
                peer.send({"kind": GONE, "number": number, "why": why})

        level = log_level if log_level in LEVELS else "info"
        try:
            mine[number] = Answering(heard, gone, log_level=level)
        except OSError as error:
            log.error("media worker not started", error=str(error))
            peer.send({"kind": GONE, "number": number, "why": "it cannot be started"})

    def _confined(self, message: Any) -> Any:
        """Nothing of the service's directories is in what a worker is told."""
        if isinstance(message, Open) and message.parameters.get("cache") is not None:
            message.parameters["cache"] = self._tts.cache()
        return message


class Answering(MediaWorker):
    """One whose answers to pings are passed on as well: they have its figures."""

    def __init__(
        self, heard: Callable[[Any, Any], None], gone: Callable[[MediaWorker, str], None], **more: str
    ) -> None:
        self._answered = heard
        super().__init__(heard, gone, **more)  # type: ignore[arg-type]

    def answered(self, pong: Pong) -> None:
        self._answered(self, pong)
