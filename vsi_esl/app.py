"""The composition root: builds the parts of the service and wires them. Nothing else constructs them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import gevent
import structlog

from . import features
from .calls.context import Context
from .calls.nodes import Node, Nodes
from .config import Config, ConfigError
from .config.loading import listen_host
from .config.settings import SwitchSettings
from .delivery.bus import EventBus
from .delivery.history import History
from .delivery.webhooks.targets import Router
from .delivery.webhooks.webhooks import Webhooks
from .model.channel import DEFAULT_NODE
from .model.stores import Legs, Rooms
from .ops.journal import Journal
from .ops.looplag import LoopWatch
from .ops.metrics import Metrics
from .storage.state import StateStore
from .storage.thread import StorageThread
from .translate import SwitchEvent, adoption, sweep, translate, translated
from .web.http import HttpFace
from .work import clock
from .work.timers import Timers
from .work.workers import Workers

log = structlog.get_logger(__name__)

EVENTS_FILE = "events.sqlite3"
WEBHOOKS_FILE = "webhooks.sqlite3"
DRAIN_POLL_S = 0.05
MIN_WEBHOOK_STOP_S = 1.0
STORAGE_STOP_S = 1.0


class Service:
    """One running service: `start`, then `stop`. Calls outlive it.

    `switches` are by name, in order, and never none; without them there is the one of the settings.
    """

    def __init__(self, config: Config, switches: Mapping[str, SwitchSettings] | None = None) -> None:
        host, problem = listen_host(config)
        if problem:
            raise ConfigError([f"http.addr: {config.http.addr!r}: {problem}"])
        features.declare()
        with ExitStack() as opened:
            self._build(config, host, switches or {DEFAULT_NODE: config.switch}, opened)
            opened.pop_all()  # by now `stop` closes it

    def _build(
        self, config: Config, host: str, switches: Mapping[str, SwitchSettings], opened: ExitStack
    ) -> None:
        """Make the parts; `opened` is told how those with files let go of them, should another part fail."""
        thread = self._thread = StorageThread()
        opened.callback(thread.stop, STORAGE_STOP_S)
        # first: it makes this the only service on what is beside it
        state = StateStore(config.state.path, thread)
        opened.callback(state.abandon)
        clock.carry_on(state)
        self.config = config
        self.stopped = False
        nodes = Nodes([self._node(config, name, settings) for name, settings in switches.items()])
        history = _history(config, thread)
        opened.callback(history.abandon)
        legs, rooms = Legs(), Rooms()
        webhooks = _webhooks(config, legs, rooms)
        opened.callback(webhooks.abandon)
        self.ctx = Context(
            config=config,
            legs=legs,
            rooms=rooms,
            bus=EventBus(config.instance_id, history.next_id),
            history=history,
            nodes=nodes,
            workers=Workers(),
            timers=Timers(),
            state=state,
            metrics=Metrics(),
            webhooks=webhooks,
        )
        self.ctx.bus.add_sink(history.keep)
        self._journal = Journal()
        self.ctx.bus.add_sink(self._journal.keep)
        self.ctx.bus.add_sink(self.ctx.metrics.observe)
        self.ctx.bus.add_sink(self.ctx.webhooks.offer)
        features.register(self.ctx)
        adoption.restore(self.ctx)
        self._sweepers: list[gevent.Greenlet] = []
        self._loop_watch = LoopWatch(self.ctx.metrics.loop_lag)
        self.http = HttpFace(self.ctx, host)

    def _node(self, config: Config, name: str, settings: SwitchSettings) -> Node:
        return Node(
            name,
            settings,
            config.media.rtp_timeout,
            events=translated(),
            on_event=self._on_event,
            resync=self._resync,
            on_lost=self._on_lost,
        )

    def start(self) -> None:
        """Listen and connect. Returns at once; `ctx.nodes.wait_ready` says when the switches are there."""
        self._loop_watch.start()
        self.http.start()
        self.ctx.webhooks.start()
        self.ctx.nodes.start()
        self._sweepers = sweep.start(self.ctx)
        log.info("listening", address=f"{self.config.http.host}:{self.http.server.server_port}")

    def reload(self, config: Config) -> None:
        """Take over settings of which only some (config.live) differ from those there were."""
        self.config = self.ctx.config = config
        self.ctx.webhooks.reload(config.webhooks)
        self.ctx.moments.reload(self.ctx)
        self.http.reload(config)

    def stop(self) -> None:
        """Shut down within the configured time: no new calls, clients told (1001), work under way finished.

        Nothing is hung up; the next process re-adopts the calls.
        """
        ctx = self.ctx
        ctx.draining = True
        deadline = time.monotonic() + self.config.http.shutdown_timeout
        while len(ctx.workers) and time.monotonic() < deadline - 3:
            gevent.sleep(DRAIN_POLL_S)
        self.http.close_sessions()
        self.http.stop(timeout=max(0.1, min(2.0, deadline - time.monotonic())))
        gevent.killall(self._sweepers, block=False)
        ctx.timers.stop()
        ctx.moments.stop(ctx)
        ctx.workers.stop()
        ctx.nodes.stop()
        ctx.webhooks.stop(max(MIN_WEBHOOK_STOP_S, deadline - time.monotonic()))
        ctx.history.close()
        ctx.state.close()
        self._thread.stop(STORAGE_STOP_S)
        self._loop_watch.stop()
        self.stopped = True
        self._journal.close()
        log.info("stopped", calls_left_up=len(ctx.legs))

    def _on_event(self, node: Node, event: SwitchEvent) -> None:
        self.ctx.metrics.switch_event(event)
        translate(self.ctx, node, event)

    def _resync(self, node: Node) -> Callable[[], None] | None:
        return adoption.resync(self.ctx, node)

    def _on_lost(self, node: Node) -> None:
        adoption.lost(self.ctx, node)


def _history(config: Config, thread: StorageThread) -> History:
    path, replay = _beside_state(config, EVENTS_FILE), config.replay
    return History(path, replay.max_events, replay.max_age, replay.max_bytes, thread)


def _webhooks(config: Config, legs: Legs, rooms: Rooms) -> Webhooks:
    settings = config.webhooks
    return Webhooks(settings, webhook_path(config), Router(legs, rooms, bool(settings.url)))


def webhook_path(config: Config) -> str:
    """Where the webhook outbox is."""
    return config.webhooks.path or _beside_state(config, WEBHOOKS_FILE)


def _beside_state(config: Config, name: str) -> str:
    """A file beside the state database, as both are about the same calls."""
    path = config.state.path
    return path if path == ":memory:" else os.path.join(os.path.dirname(path), name)
