"""The composition root: builds the parts of the service and wires them. Nothing else constructs them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import gevent
import structlog

from . import features
from .calls import draining
from .calls.context import Context
from .calls.nodes import Node, Nodes
from .cdr.settings import CdrSettings
from .config import Config, ConfigError
from .config.loading import listen_host
from .config.settings import ListedSwitch
from .delivery.bus import EventBus
from .delivery.history import History
from .delivery.webhooks.targets import Router
from .delivery.webhooks.webhooks import Webhooks
from .model.channel import DEFAULT_NODE
from .model.stores import Legs, Rooms
from .net.addresses import host_port
from .ops.disk import DiskWatch
from .ops.journal import Journal
from .ops.looplag import LoopWatch
from .ops.metrics import OBSERVED, Metrics
from .sound.playback.settings import PlaybackSettings
from .sound.recording.settings import RecordingSettings
from .storage.database import MEMORY
from .storage.state import StateStore
from .storage.thread import StorageThread
from .translate import SwitchEvent, adoption, giving_up, sweep, tethers, translate, translated, unheard
from .web.http import HttpFace
from .work import clock
from .work.timers import Timers
from .work.workers import Workers

if TYPE_CHECKING:
    from .sharing.several import Several

log = structlog.get_logger(__name__)

EVENTS_FILE = "events.sqlite3"
WEBHOOKS_FILE = "webhooks.sqlite3"
DRAIN_POLL_S = 0.05
MIN_WEBHOOK_STOP_S = 1.0
STORAGE_STOP_S = 1.0


class Alone:
    """The part of a service that shares nothing: all switches are its own. Others have `sharing.several`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def restore(self) -> None:
        """Have what the process before has left."""
        adoption.restore(self._ctx)
        draining.restore(self._ctx)

    def start(self) -> None:
        """There is nobody to hear of."""

    def take_part(self) -> None:
        """Connect to the switches, and deliver webhooks."""
        self._ctx.webhooks.start()
        for node in self._ctx.nodes:
            giving_up.await_return(self._ctx, node)
        self._ctx.nodes.start()

    def leave(self) -> None:
        """There is nobody to tell."""

    def stop(self, limit: float) -> None:
        """The next process has everything."""


class Service:
    """One running service: `start`, then `stop`. Calls outlive it."""

    def __init__(self, config: Config) -> None:
        # who has begun a greenlet nobody asks; to note it down takes as long as to begin it
        gevent.config.track_greenlet_tree = False
        host, problem = listen_host(config)
        if problem:
            raise ConfigError([f"http.addr: {config.http.addr!r}: {problem}"])
        if config.redis.enabled:
            from .sharing import several  # noqa: PLC0415  (one service alone needs nothing of it)

            several.check(config)
        features.declare()
        with ExitStack() as opened:
            self._build(config, host, opened)
            opened.pop_all()  # by now `stop` closes it

    def _build(self, config: Config, host: str, opened: ExitStack) -> None:
        """Make the parts; `opened` is told how those with files let go of them, should another part fail."""
        thread = self._thread = StorageThread()
        opened.callback(thread.stop, STORAGE_STOP_S)
        # first: it makes this the only service on what is beside it
        state = StateStore(config.state.path, thread)
        opened.callback(state.abandon)
        clock.carry_on(state)
        self.config = config
        self.stopped = False
        listed = config.switches or (ListedSwitch(DEFAULT_NODE, config.switch),)
        nodes = Nodes([self._node(config, one) for one in listed])
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
        self.ctx.provide(self._journal)
        self.ctx.bus.add_sink(self._journal.keep)
        self.ctx.bus.add_sink(self.ctx.metrics.observe, *OBSERVED)
        self.ctx.bus.add_sink(self.ctx.webhooks.offer)
        self._part = self._alone_or_not(config)
        features.register(self.ctx)
        self._part.restore()
        self._sweepers: list[gevent.Greenlet] = []
        self._loop_watch = LoopWatch(self.ctx.metrics.loop_lag)
        self._disks = DiskWatch(_places(config))
        self.ctx.metrics.show(self._disks.series)
        self.http = HttpFace(self.ctx, host)

    def _alone_or_not(self, config: Config) -> Alone | Several:
        if not config.redis.enabled:
            return Alone(self.ctx)
        from .sharing.several import Several  # noqa: PLC0415

        return Several(self.ctx)

    def _node(self, config: Config, listed: ListedSwitch) -> Node:
        return Node(
            listed,
            config.media.rtp_timeout,
            events=[name for name in translated() if name != tethers.CONNECTED or _tethered(config)],
            unheard=unheard(),
            on_event=self._on_event,
            resync=self._resync,
            on_lost=self._on_lost,
        )

    def start(self) -> None:
        """Listen and connect. Returns at once; `ctx.nodes.wait_ready` says when the switches are there."""
        self._loop_watch.start()
        self._disks.start()
        self._part.start()
        self.http.start()
        self._part.take_part()
        self._sweepers = sweep.start(self.ctx)
        log.info("listening", address=host_port(self.config.http.host, self.http.server.server_port))

    def reload(self, config: Config) -> None:
        """Take over settings of which only some (config.live) differ from those there were."""
        self.config = self.ctx.config = config
        self.ctx.nodes.reload(config.switches)
        self.ctx.webhooks.reload(config.webhooks)
        self.ctx.moments.reload(self.ctx)
        self.http.reload(config)

    def stop(self) -> None:
        """Shut down within the configured time: no new calls, clients told (1001), work under way finished.

        Nothing is hung up; the next process re-adopts the calls.
        """
        ctx = self.ctx
        ctx.draining = True
        self._part.leave()
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
        self._part.stop(max(0.5, deadline - time.monotonic()))
        ctx.history.close()
        ctx.state.close()
        self._thread.stop(STORAGE_STOP_S)
        self._loop_watch.stop()
        self._disks.stop()
        self.stopped = True
        self._journal.close()
        log.info("stopped", calls_left_up=len(ctx.legs))

    def _on_event(self, node: Node, event: SwitchEvent) -> None:
        self.ctx.metrics.switch_event(event)
        translate(self.ctx, node, event)

    def _resync(self, node: Node) -> Callable[[], None]:
        finish = adoption.resync(self.ctx, node)

        def back() -> None:
            if finish is not None:
                finish()
            giving_up.returned(self.ctx, node)

        return back

    def _on_lost(self, node: Node) -> None:
        adoption.lost(self.ctx, node)
        giving_up.await_return(self.ctx, node)


def _tethered(config: Config) -> bool:
    return any(one.tether for one in config.switches)


def _history(config: Config, thread: StorageThread) -> History:
    path, replay = history_path(config), config.replay
    return History(path, replay.max_events, replay.max_age, replay.max_bytes, thread)


def _webhooks(config: Config, legs: Legs, rooms: Rooms) -> Webhooks:
    settings = config.webhooks
    return Webhooks(settings, webhook_path(config), Router(legs, rooms, bool(settings.url)))


def _places(config: Config) -> dict[str, str]:
    """The directories that the service, or the switch for it, writes to."""
    places = {
        "state": "" if config.state.path == MEMORY else os.path.dirname(os.path.abspath(config.state.path)),
        "recordings": "" if config.all_elsewhere else config.section(RecordingSettings).dir,
        "spool": "" if config.all_elsewhere else config.section(PlaybackSettings).spool_dir,
        "cdr": os.path.dirname(config.section(CdrSettings).path),
    }
    return {name: path for name, path in places.items() if path}


def history_path(config: Config) -> str:
    """Where the events for ?since= are."""
    return _beside_state(config, EVENTS_FILE)


def webhook_path(config: Config) -> str:
    """Where the webhook outbox is."""
    return config.webhooks.path or _beside_state(config, WEBHOOKS_FILE)


def _beside_state(config: Config, name: str) -> str:
    """A file beside the state database, as both are about the same calls."""
    path = config.state.path
    return path if path == MEMORY else os.path.join(os.path.dirname(path), name)
