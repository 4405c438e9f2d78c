"""Services on one Redis, as far as their events go: a history, a bus and what shares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import orjson

from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.config.cluster import RedisSettings
from vsi_esl.config.web import ReplaySettings
from vsi_esl.delivery.bus import EventBus
from vsi_esl.delivery.filters import AppFilter
from vsi_esl.delivery.history import History
from vsi_esl.events.text import DtmfReceived
from vsi_esl.sharing.events import SharedEvents
from vsi_esl.sharing.past import since
from vsi_esl.storage.thread import StorageThread
from vsi_esl.web.replay import EventStream, Turns

from .drivers import eventually as waited_for

PATIENCE_S = 20.0
"""What takes a moment alone takes seconds beside other work."""


def eventually(condition: Callable[[], object], what: str = "it is so") -> None:
    """Wait until something is so."""
    waited_for(lambda: bool(condition()), what, PATIENCE_S)


REPLAY = ReplaySettings(max_events=10_000, max_age=3600.0, max_bytes=64 << 20)


class Client:
    """Reads all events of a service; `got` has (leg, number) in order, `ids` their ids."""

    def __init__(self, side: Side, last: str = "", pattern: str = "", size: int = 100_000) -> None:
        past = since(side.events, last) if last else None
        vsi = SimpleNamespace(event_buffer_size=size)
        ctx: Any = SimpleNamespace(bus=side.bus, config=SimpleNamespace(vsi=vsi))
        self.stream = EventStream(ctx, AppFilter(pattern), past, Turns())
        self.got: list[tuple[str, int]] = []
        self.ids: list[str] = []
        self.dropped = 0
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        while True:
            for frame in self.stream.take(256):
                event = orjson.loads(frame)
                if event["type"] == "events_dropped":
                    self.dropped += event["count"]
                else:
                    self.got.append((event["leg_id"], event["seq"]))
                    self.ids.append(event["event_id"])

    def has(self, count: int) -> list[tuple[str, int]]:
        """What it got when that is at least so many events."""
        eventually(lambda: len(self.got) >= count, f"{count} events")
        return self.got

    def close(self) -> None:
        self._reader.kill()
        self.stream.close()


class Facts(dict[str, str]):
    """Those of the state, in memory."""

    def fact(self, name: str) -> str | None:
        return self.get(name)

    def save_fact(self, name: str, value: str) -> None:
        self[name] = value


class Side:
    """One service, of this name, with its history at `path`."""

    def __init__(
        self,
        name: str,
        path: Path,
        settings: RedisSettings,
        replay: ReplaySettings = REPLAY,
        facts: Facts | None = None,
    ) -> None:
        self.name = name
        self._thread = StorageThread()
        self.redis = RedisConnection(settings)
        self.history = History(
            str(path / f"{name}.sqlite3"),
            replay.max_events,
            replay.max_age,
            replay.max_bytes,
            self._thread,
        )
        self.bus = EventBus(name, self.history.next_id)
        self.bus.add_sink(self.history.keep)
        self.mark = ""
        self.facts = Facts() if facts is None else facts
        self.events = SharedEvents(
            self.redis,
            self.history,
            self.bus,
            replay,
            service=name,
            marked=lambda event: self.mark,
            facts=self.facts,
        )
        self._clients: list[Client] = []
        self._number = 0
        self.redis.start()
        self.events.start()

    def ready(self) -> Side:
        """Returns when it reads the stream."""
        eventually(lambda: self.events.read is not None and not self.events.apart)
        return self

    def publish(self, count: int = 1, app_id: str = "") -> None:
        """So many events of one leg of this service."""
        for _ in range(count):
            self._number += 1
            self.bus.publish(
                DtmfReceived(leg_id=self.name, digit="1", seq=self._number, app_id=app_id or None)
            )

    def client(self, last: str = "", pattern: str = "", size: int = 100_000) -> Client:
        self._clients.append(Client(self, last, pattern, size))
        return self._clients[-1]

    def kill(self) -> None:
        """As kill -9 would, but for what the history has in memory."""
        for client in self._clients:
            client.close()
        gevent.killall(self.events._greenlets)
        self.history.abandon()
        self.redis.stop()
        self._thread.stop(1)

    def stop(self) -> None:
        self.events.stop()
        self.kill()


def mine(name: str, count: int, first: int = 1) -> list[tuple[str, int]]:
    """The events of a service's leg."""
    return [(name, number) for number in range(first, first + count)]


def of(name: str, got: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [one for one in got if one[0] == name]
