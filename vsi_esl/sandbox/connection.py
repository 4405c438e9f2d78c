"""One client of the event socket: authentication, subscriptions, commands, and a bounded queue of output."""

from __future__ import annotations

import socket
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.event import Event as Signal

from . import api, sip, unicast, wire
from .calls import STEP_S
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

log = structlog.get_logger(__name__)

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""A client that has not read so much of what it asked for is dropped."""
WRITE_BYTES = 256 * 1024
GOODBYE_S = 1.0


class Subscription:
    """The events a client asked for."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []

    def add(self, names: list[str]) -> None:
        """Names as in `event json A B CUSTOM x::y`: after CUSTOM all are subclasses. Unknown ones pass."""
        plain, subclasses = _sort(names)
        self._names |= plain
        self._subclasses |= subclasses

    def remove(self, names: list[str]) -> None:
        """Names as for `add`."""
        plain, subclasses = _sort(names)
        self._names -= plain
        self._subclasses -= subclasses

    def clear(self) -> None:
        """None any more."""
        self._names.clear()
        self._subclasses.clear()

    def filter(self, header: str, value: str) -> None:
        """From now on only what a filter lets pass; a value behind a minus has it pass in no case."""
        self._filters.append((header, value))

    def wants(self, name: str, subclass: str, headers: Mapping[str, object]) -> bool:
        """Whether an event of this name, or CUSTOM of this subclass, was asked for, with these headers."""
        if "ALL" not in self._names:
            asked = subclass in self._subclasses if name == "CUSTOM" else name in self._names
            if not asked:
                return False
        if not self._filters:
            return True
        if any(value == f"-{headers.get(header)}" for header, value in self._filters):
            return False
        return any(value == headers.get(header) for header, value in self._filters)


def _sort(names: list[str]) -> tuple[set[str], set[str]]:
    cut = names.index("CUSTOM") if "CUSTOM" in names else len(names)
    return {name.upper() for name in names[:cut]}, set(names[cut + 1 :])


class Connection:
    """Serves one client until it leaves, breaks the protocol, or does not read."""

    def __init__(self, switch: SandboxSwitch, sock: socket.socket) -> None:
        self._switch = switch
        self._socket = sock
        self._output: deque[bytes] = deque()
        self._has_output = Signal()
        self._authenticated = False
        self._closing = False
        self.unsent_bytes = 0
        self.subscription = Subscription()
        self.greenlet = gevent.getcurrent()

    def run(self) -> None:
        """Serve; returns when the connection is over."""
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer = gevent.spawn(self._write)
        reader = wire.CommandReader()
        self.send(b"Content-Type: auth/request\n\n")
        try:
            while not self._closing and (data := self._socket.recv(65536)):
                self._switch.moving.wait()
                for command in reader.feed(data):
                    if not self._closing:
                        self._serve(command)
        except (OSError, wire.WireError) as error:
            log.debug("sandbox client gone", error=str(error))
        finally:
            self._closing = True
            self._has_output.set()
            writer.join(timeout=GOODBYE_S)
            writer.kill()

    def send(self, frame: bytes) -> None:
        """Queue a frame. A client with too much unread is dropped."""
        if self.unsent_bytes + len(frame) > MAX_OUTPUT_BYTES:
            if not self._closing:
                self._switch.dropped_clients += 1
                log.warning("sandbox client dropped: it does not read")
            self.close()
            return
        self.unsent_bytes += len(frame)
        self._output.append(frame)
        self._has_output.set()

    def close(self) -> None:
        """Close the socket at once; the reader ends."""
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
                    self._switch.moving.wait()
                    batch: list[bytes] = []
                    size = 0
                    while self._output and size < WRITE_BYTES:
                        batch.append(self._output.popleft())
                        size += len(batch[-1])
                    self._socket.sendall(b"".join(batch))
                    self.unsent_bytes -= size
                if self._closing:
                    return
        except OSError:
            self.close()

    def _serve(self, command: wire.Command) -> None:
        verb, _, rest = command.line.partition(" ")
        rest = rest.strip(" ")
        if verb == "exit":
            self._leave("+OK bye")
        elif not self._authenticated:
            self._authenticate(verb, rest)
        elif verb == "api":
            self._api(rest)
        elif verb == "bgapi":
            self._background(rest, command.headers.get("job-uuid") or str(uuid.uuid4()))
        elif verb == "sendmsg":
            self.send(wire.reply(self._message(rest, command)))
        elif verb == "sendevent" and rest == "NOTIFY":
            self.send(wire.reply(self._switch.refers.notify_peer(command.headers, command.body)))
        elif verb in ("event", "nixevent", "noevents"):
            self.send(wire.reply(self._subscribe(verb, rest.split())))
        elif verb == "filter":
            self.send(wire.reply(self._filter(rest)))
        else:
            self.send(wire.reply("-ERR command not found"))

    def _filter(self, argument: str) -> str:
        header, _, value = argument.partition(" ")
        if not value or header in ("add", "delete"):
            return "-ERR invalid syntax"
        self.subscription.filter(header, value)
        return f"+OK filter added. [{header}]=[{value}]"

    def _leave(self, reply: str) -> None:
        self.send(wire.reply(reply))
        self.send(wire.goodbye())
        self._closing = True

    def _authenticate(self, verb: str, password: str) -> None:
        if verb != "auth":
            self.send(wire.reply("-ERR command not found"))
        elif password == self._switch.password:
            self._authenticated = True
            self.send(wire.reply("+OK accepted"))
        else:
            self._leave("-ERR invalid")

    def _subscribe(self, verb: str, names: list[str]) -> str:
        if verb == "noevents":
            self.subscription.clear()
            return "+OK no longer listening for events"
        if verb == "event":
            if names[:1] != ["json"]:
                return "-ERR the sandbox sends json events only"
            names = names[1:]
        if not names:
            return "-ERR no keywords supplied"
        if verb == "nixevent":
            self.subscription.remove(names)
            return "+OK events nixed"
        self.subscription.add(names)
        return "+OK event listener enabled json"

    def _api(self, line: str) -> None:
        answer = api.start(self._switch, line)
        if not isinstance(answer, str):
            # such a command holds its connection until it is done
            done = AsyncResult()
            answer.then(done.set)
            answer = done.get()
        self.send(wire.response(answer or "-ERR no reply\n"))

    def _background(self, line: str, job: str) -> None:
        self.send(wire.reply(f"+OK Job-UUID: {job}", Job_UUID=job))
        name, _, argument = line.partition(" ")
        headers = {"Job-UUID": job, "Job-Command": name, "Job-Command-Arg": argument}

        def finish(result: str) -> None:
            self._switch.fire("BACKGROUND_JOB", headers, result)

        answer = api.start(self._switch, line)
        if isinstance(answer, str):
            finish(answer)
        else:
            answer.then(finish)

    def _message(self, channel_id: str, command: wire.Command) -> str:
        """sendmsg: taken at once, done when the channel's thread comes to it, well or not."""
        channel = self._switch.channels.get(channel_id)
        if channel is None or not channel.alive:
            return f"-ERR invalid session id [{channel_id}]"
        headers = command.headers
        if headers.get("call-command") == "hangup":
            cause = sip.hangup_cause(headers.get("hangup-cause", ""))
            channel.timers.later(STEP_S, self._switch.calls.hangup, channel, cause)
        elif headers.get("call-command") == "execute":
            name = headers.get("execute-app-name", "")
            argument = headers.get("execute-app-arg", command.body)
            channel.timers.later(STEP_S, self._execute, channel, name, argument)
        elif headers.get("call-command") == "unicast":
            channel.timers.later(STEP_S, unicast.begin, self._switch, channel, headers)
        return "+OK"

    def _execute(self, channel: Channel, name: str, argument: str) -> None:
        dialplan = self._switch.dialplan
        if name == "playback":
            dialplan.play_over(channel, dialplan.expand(channel, argument))
            return
        if name in ("park", "conference", "eavesdrop"):
            dialplan.leave(channel)
        dialplan.execute(channel, name, dialplan.expand(channel, argument))
