"""The sandbox's event socket: connections, subscriptions, and the switch behind them."""

from __future__ import annotations

import socket
import time
import uuid
from collections import OrderedDict, deque
from contextlib import suppress
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import Event as Flag
from gevent.server import StreamServer

from . import api, wire
from .calls import Calls
from .channels import Channel
from .conference import Conferences
from .farend import FarEnds

log = structlog.get_logger(__name__)

MAX_OUTPUT_FRAMES = 200_000
"""A client that reads so much slower than the switch speaks is dropped."""
REMEMBERED_CALLS = 1000


class SandboxSwitch:
    """A simulated FreeSWITCH on an event socket. Says `sandbox` when asked for its version."""

    PENDING = "\0pending"
    """What `originate` returns while the call is under way."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = "ClueCon",  # noqa: S107  (FreeSWITCH's own default, on loopback)
        heartbeat_s: float = 20.0,
    ) -> None:
        self.password = password
        self.core_uuid = str(uuid.uuid4())
        self.globals = {
            "core_uuid": self.core_uuid,
            "sip_watch_headers": "Refer-To,Referred-By,CSeq,Subscription-State",
            "intercept_unanswered_only": "true",
        }
        self.channels: dict[str, Channel] = {}
        self.buried: OrderedDict[str, Channel] = OrderedDict()
        self.calls = Calls(self)
        self.conferences = Conferences(self)
        self.far_ends = FarEnds(self)
        self.dropped_clients = 0
        self._connections: set[Connection] = set()
        self._waiting: dict[str, list[Any]] = {}
        self._fired: list[tuple[str, dict[str, str]]] = []
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
        self._heart = gevent.spawn(self._beat)

    def stop(self) -> None:
        """End everything at once, calls included."""
        if self._heart is not None:
            self._heart.kill()
        self._server.stop(timeout=0.5)
        for connection in list(self._connections):
            connection.close()
        for channel in self.channels.values():
            gevent.killall([timer for timer in [*channel.timers, channel.scheduled] if timer], block=False)

    def add(self, channel: Channel) -> None:
        """A new channel."""
        self.channels[channel.uuid] = channel

    def remember(self, channel: Channel) -> None:
        """Keep an ended channel for `far`, and tell whoever waits for its originate."""
        self.buried[channel.uuid] = channel
        while len(self.buried) > REMEMBERED_CALLS:
            self.buried.popitem(last=False)
        cause = "NORMAL_CLEARING"
        gevent.spawn_later(0.004, self._originate_failed, channel, cause)

    def _originate_failed(self, channel: Channel, cause: str) -> None:
        self.originated(channel, f"-ERR {cause}")
        self.flush()

    def originated(self, channel: Channel, result: str) -> None:
        """The result of the originate that made this channel is known."""
        for finish in self._waiting.pop(channel.uuid, []):
            finish(result)

    def when_originated(self, channel_id: str, finish: Any) -> None:
        """Call `finish(result)` when the channel's originate is over."""
        self._waiting.setdefault(channel_id, []).append(finish)

    def stamp(self) -> dict[str, str]:
        """The headers every event has."""
        self._sequence += 1
        return {
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": "sandbox",
            "Event-Date-Timestamp": str(time.time_ns() // 1000),
            "Event-Sequence": str(self._sequence),
        }

    def fire(self, name: str, headers: dict[str, str], body: str = "") -> None:
        """Note an event; `flush` sends it, so that a command's reply goes before its events."""
        event = {"Event-Name": name, **self.stamp(), **headers}
        if body:
            event["_body"] = body
        self._fired.append((name, event))

    def flush(self) -> None:
        """Send the events noted so far to whoever asked for them."""
        fired, self._fired = self._fired, []
        for name, event in fired:
            kind = event.get("Event-Subclass", "") if name == "CUSTOM" else name
            frame = b""
            for connection in list(self._connections):
                if kind in connection.wanted:
                    frame = frame or wire.json_event(orjson.dumps(event))
                    connection.send(frame)

    @staticmethod
    def json(value: Any) -> str:
        """JSON as the switch answers with it."""
        return orjson.dumps(value).decode()

    def _accept(self, sock: socket.socket, _: Any) -> None:
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
                },
            )
            self.flush()


class Connection:
    """One client of the event socket."""

    def __init__(self, switch: SandboxSwitch, sock: socket.socket) -> None:
        self._switch = switch
        self._socket = sock
        self._output: deque[bytes] = deque()
        self._has_output = Flag()
        self._authenticated = False
        self._closing = False
        self.wanted: set[str] = set()

    def run(self) -> None:
        """Serve until the client leaves or breaks the protocol."""
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer = gevent.spawn(self._write)
        reader = wire.CommandReader()
        self.send(b"Content-Type: auth/request\n\n")
        try:
            while not self._closing and (data := self._socket.recv(65536)):
                for command in reader.feed(data):
                    self._serve(command)
                    self._switch.flush()
        except (OSError, wire.WireError) as error:
            log.debug("sandbox client gone", error=str(error))
        finally:
            self._closing = True
            self._has_output.set()
            writer.join(timeout=1)
            writer.kill()

    def send(self, frame: bytes) -> None:
        """Queue a frame; a client with too many is dropped."""
        if len(self._output) >= MAX_OUTPUT_FRAMES:
            self._switch.dropped_clients += 1
            self.close()
            return
        self._output.append(frame)
        self._has_output.set()

    def close(self) -> None:
        """Close the socket; the reader ends."""
        self._closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _write(self) -> None:
        try:
            while True:
                self._has_output.wait()
                self._has_output.clear()
                while self._output:
                    batch = [self._output.popleft() for _ in range(min(256, len(self._output)))]
                    self._socket.sendall(b"".join(batch))
                if self._closing:
                    return
        except OSError:
            self._closing = True

    def _serve(self, command: wire.Command) -> None:
        verb, _, rest = command.line.partition(" ")
        if not self._authenticated:
            self._authenticate(verb, rest)
        elif verb == "api":
            self._api(rest)
        elif verb == "bgapi":
            self._background(rest, command.headers.get("job-uuid") or str(uuid.uuid4()))
        elif verb == "sendmsg":
            self.send(wire.reply(self._message(rest.strip(), command)))
        elif verb == "event":
            self._subscribe(rest)
        elif verb == "nixevent":
            self.wanted -= set(rest.split())
            self.send(wire.reply("+OK nixevent"))
        elif verb == "noevents":
            self.wanted.clear()
            self.send(wire.reply("+OK no longer listening for events"))
        elif verb == "exit":
            self.send(wire.reply("+OK bye"))
            notice = b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
            head = b"Content-Type: text/disconnect-notice\nContent-Length: %d\n\n" % len(notice)
            self.send(head + notice)
            self._closing = True
        else:
            self.send(wire.reply("-ERR command not found"))

    def _authenticate(self, verb: str, password: str) -> None:
        if verb == "auth" and password == self._switch.password:
            self._authenticated = True
            self.send(wire.reply("+OK accepted"))
        elif verb == "auth":
            self.send(wire.reply("-ERR invalid"))
            self._closing = True
        else:
            self.send(wire.reply("-ERR command not found"))

    def _subscribe(self, rest: str) -> None:
        form, _, names = rest.partition(" ")
        if form != "json":
            self.send(wire.reply("-ERR the sandbox sends json events only"))
            return
        self.wanted |= set(names.split()) - {"CUSTOM"}
        self.send(wire.reply("+OK event listener enabled json"))

    def _api(self, line: str) -> None:
        answer = api.run(self._switch, line)
        if answer == self._switch.PENDING:
            # `api originate` holds its connection until the call has media or has failed
            done = gevent.event.AsyncResult()
            self._switch.when_originated(_origination_uuid(line), done.set)
            self._switch.flush()
            answer = done.get()
        self.send(wire.response(answer if answer.endswith("\n") else answer + "\n"))

    def _background(self, line: str, job: str) -> None:
        self.send(wire.reply(f"+OK Job-UUID: {job}", Job_UUID=job))
        answer = api.run(self._switch, line)

        def finish(result: str) -> None:
            self._switch.fire("BACKGROUND_JOB", {"Job-UUID": job, "Job-Command": line[:40]}, result + "\n")

        if answer == self._switch.PENDING:
            self._switch.when_originated(_origination_uuid(line), finish)
        else:
            finish(answer)

    def _message(self, channel_id: str, command: wire.Command) -> str:
        channel = self._switch.channels.get(channel_id)
        if channel is None or not channel.alive:
            return f"-ERR invalid session id [{channel_id}]"
        application = command.headers.get("execute-app-name", "")
        argument = command.headers.get("execute-app-arg", command.body)
        if application == "respond":
            if channel.far.refer_pending:
                channel.far.refer_pending = False
                channel.far.seen.append(argument)
            elif channel.answer_state == "answered":
                self._switch.calls.hangup(channel, "CALL_REJECTED")
        elif application == "set":
            name, _, value = argument.partition("=")
            channel.variables[name] = value
        elif application == "answer":
            self._switch.calls.answer(channel)
        elif application == "park":
            self._switch.calls.park(channel)
        return "+OK"


def _origination_uuid(line: str) -> str:
    start = line.find("origination_uuid=")
    rest = line[start + 17 :] if start >= 0 else ""
    return rest.split(",")[0].split("}")[0]
