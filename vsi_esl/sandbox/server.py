"""The sandbox switch: its event socket, its channels, and the way of an event to the clients."""

from __future__ import annotations

import socket
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import gevent
import orjson
from gevent.event import Event as Signal
from gevent.server import StreamServer

from . import api, tethers, unicast, wire
from .calls import Calls
from .channels import Channel
from .conference import Conferences
from .connection import Connection
from .dialplan import Dialplan
from .farend import FarEnds
from .fork import Forks
from .live import Live
from .recording import Recordings
from .refer import Refers
from .sofia import Sofia
from .timers import Timers
from .verto import Verto

MAX_CHANNELS = 10_000
REMEMBERED_CALLS = 1000


class SandboxSwitch:
    """A simulated FreeSWITCH on an event socket. Says `sandbox` when asked for its version.

    `heartbeat_s` is the time between HEARTBEAT events, in seconds; `without` are modules that it has not.
    `tether` is the address by which other sandboxes of this process call it.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = "ClueCon",  # noqa: S107  (FreeSWITCH's own default, on loopback)
        heartbeat_s: float = 20.0,
        without: Collection[str] = (),
        *,
        tether: str = "",
    ) -> None:
        self.password = password
        self.tether = tether
        """Address and port of its profile for tethers; empty for none."""
        self.core_uuid = str(uuid.uuid4())
        self.globals = {
            "core_uuid": self.core_uuid,
            "sip_watch_headers": "Refer-To,CSeq,Subscription-State",
            "intercept_unanswered_only": "true",
        }
        self.installed = api.MODULES - {name.removeprefix("mod_") for name in without}
        self.modules = set(self.installed)
        self.began = time.monotonic()
        self.max_channels = MAX_CHANNELS
        self.created = self.peak = 0
        self.channels: dict[str, Channel] = {}
        self.buried: OrderedDict[str, Channel] = OrderedDict()
        self.timers = Timers()
        self.calls = Calls(self)
        self.dialplan = Dialplan(self)
        self.conferences = Conferences(self)
        self.far_ends = FarEnds(self)
        self.refers = Refers(self)
        self.sofia = Sofia(self)
        self.recordings = Recordings(self)
        self.live = Live(self)
        self.forks = Forks()
        self.verto = Verto(self, host)
        self.dropped_clients = 0
        self.moving = Signal()
        """Cleared while it stands still."""
        self.moving.set()
        self.astray: list[str] = []
        """What becomes of the next internal channels that are originated: calls.GONE or calls.STUCK."""
        self._connections: set[Connection] = set()
        self._fired: list[tuple[str, str, dict[str, Any]]] = []
        self._sequence = 0
        self._heartbeat_s = heartbeat_s
        self._heart: gevent.Greenlet | None = None
        self._server = StreamServer((host, port), self._accept)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._server.address[:2]
        return host, port

    def start(self) -> None:
        """Listen. OSError when the address cannot be had."""
        self._server.start()
        tethers.listen(self)
        if "verto" in self.modules:
            self.verto.start()
        self._heart = gevent.spawn(self._beat)

    def stop(self) -> None:
        """End everything at once, calls included; nothing of it runs any more afterwards."""
        self.recordings.close(finished=True)
        self.forks.halt(politely=True)
        self._halt()

    def crash(self) -> None:
        """Be gone, as after kill -9: no event, no BYE, and files whose headers nobody has completed."""
        self.recordings.close(finished=False)
        self.forks.halt(politely=False)
        tethers.crashed(self)
        self._fired.clear()
        for connection in list(self._connections):
            connection.close()
        self._halt()
        self.channels.clear()
        self.conferences.by_name.clear()

    def freeze(self) -> None:
        """Stand still towards its clients, as a stopped process does: the system still takes what they send,
        and it is read and done only after `thaw`. The calls' other ends live on."""
        self.moving.clear()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self.moving.set()

    def garble(self, data: bytes) -> None:
        """Send these bytes to whoever takes events, between two frames."""
        for connection in self._connections:
            if connection.subscription.wants("HEARTBEAT", "", self.stamp()):
                connection.send(data)

    def _halt(self) -> None:
        self.thaw()
        if self._heart is not None:
            self._heart.kill()
        self._server.stop(timeout=0.5)
        tethers.close(self)
        self.verto.stop()
        self.timers.cancel()
        self.live.halt()
        for channel in self.channels.values():
            channel.timers.cancel()
            unicast.end(channel)
        for conference in self.conferences.by_name.values():
            conference.timers.cancel()
        for connection in list(self._connections):
            connection.close()
        gevent.killall([connection.greenlet for connection in self._connections], timeout=1)

    @property
    def disk_full(self) -> bool:
        """Whether recordings have stopped growing. Set it to fill the disk."""
        return self.recordings.disk_full

    @disk_full.setter
    def disk_full(self, full: bool) -> None:
        self.recordings.disk_full = full

    # -- channels --------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether no more channels can be had."""
        return len(self.channels) >= self.max_channels

    def add(self, channel: Channel) -> None:
        """A new channel."""
        self.channels[channel.uuid] = channel
        self.created += 1
        self.peak = max(self.peak, len(self.channels))

    def remove(self, channel: Channel) -> None:
        """A channel is over; it is kept for a while for those who ask what its peer saw."""
        if self.channels.get(channel.uuid) is channel:
            del self.channels[channel.uuid]
        self.buried[channel.uuid] = channel
        while len(self.buried) > REMEMBERED_CALLS:
            self.buried.popitem(last=False)

    # -- events ----------------------------------------------------------------------------------------------

    def stamp(self) -> dict[str, str]:
        """The headers every event has."""
        self._sequence += 1
        return {
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": "sandbox",
            "FreeSWITCH-Switchname": "sandbox",
            "Event-Date-Timestamp": str(time.time_ns() // 1000),
            "Event-Sequence": str(self._sequence),
        }

    def wanted(self, name: str, subclass: str = "", action: str = "") -> bool:
        """Whether anybody asked for such events: what nobody reads need not be written."""
        headers = {"Core-UUID": self.core_uuid, "Action": action}
        return any(one.subscription.wants(name, subclass, headers) for one in self._connections)

    def fire(self, name: str, headers: dict[str, Any], body: str = "", subclass: str = "") -> None:
        """Fire an event. It goes out when the greenlet that runs pauses: the reply to a command that fires
        it is queued by then, so that replies go before events."""
        event = {"Event-Name": name, **self.stamp(), **headers}
        if subclass:
            event["Event-Subclass"] = subclass
        if body:
            event["Content-Length"] = str(len(body.encode("utf-8", "replace")))
            event["_body"] = body
        if not self._fired:
            gevent.get_hub().loop.run_callback(self.flush)
        self._fired.append((name, subclass, event))

    def flush(self) -> None:
        """Send the events fired so far to whoever asked for them, now."""
        fired, self._fired = self._fired, []
        for name, subclass, event in fired:
            takers = [one for one in self._connections if one.subscription.wants(name, subclass, event)]
            if takers:
                frame = wire.json_event(orjson.dumps(event))
                for connection in takers:
                    connection.send(frame)

    @property
    def unsent_bytes(self) -> int:
        """What the slowest client has still to take."""
        return max((one.unsent_bytes for one in self._connections), default=0)

    @staticmethod
    def json(value: Any) -> str:
        """JSON as the switch answers with it."""
        return orjson.dumps(value).decode()

    def _accept(self, sock: socket.socket, _: Any) -> None:
        self.moving.wait()
        connection = Connection(self, sock)
        self._connections.add(connection)
        try:
            connection.run()
        finally:
            self._connections.discard(connection)
            connection.close()

    def _beat(self) -> None:
        while True:
            gevent.sleep(self._heartbeat_s)
            self.fire(
                "HEARTBEAT",
                {
                    "Event-Info": "System Ready",
                    "Heartbeat-Interval": str(max(1, round(self._heartbeat_s))),
                    "Session-Count": str(len(self.channels)),
                    "Max-Sessions": str(self.max_channels),
                },
            )
