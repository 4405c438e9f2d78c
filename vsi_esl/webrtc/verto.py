"""A client of mod_verto: JSON-RPC over a WebSocket, of which each leg has one.

The switch ends a call that is not answered when its WebSocket is gone, and stops the media of one that is: a
leg is up for as long as its WebSocket.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from typing import Any

import gevent
import gevent.socket
import orjson
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from ..errors import SwitchUnavailable
from ..net.addresses import host_port

READ_BYTES = 65_536
MAX_MESSAGE = 1 << 20
"""Of what the switch sends; its answer to an offer is 2 kB."""
SILENT = logging.getLogger(__name__)
SILENT.disabled = True
"""For the library, which would log every frame, the password's too."""


class NoVerto(Exception):
    """Nobody listens there, or what does is no mod_verto."""


class LoginRefused(Exception):
    """It does not know the user, or not with this password."""


class Refused(Exception):
    """The switch did not take the call; the text is its cause."""


class Ended(SwitchUnavailable):
    """The connection is over; unlike a limit of the caller's, it says what is there."""


class Verto:
    """One connection. Waiting is the caller's to limit (gevent.Timeout); one that failed is to be closed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        uri = parse_uri(f"ws://{host_port(host, port)}/")
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE, logger=SILENT)
        self._socket: gevent.socket.socket | None = None
        self._messages: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        # a secret: before 1.11.1 whoever knows it can take the call away
        self._session = str(uuid.uuid4())
        self._id = 0

    @classmethod
    def resumed(cls, fileno: int) -> Verto:
        """One that a process before has opened, logged in and called with. OSError when it is no socket."""
        ours = gevent.socket.socket(fileno=fileno)
        verto = cls("127.0.0.1", 1)
        verto._protocol = ClientProtocol(
            parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=MAX_MESSAGE, logger=SILENT
        )
        verto._socket = ours
        return verto

    @property
    def fileno(self) -> int:
        """Of its socket."""
        return -1 if self._socket is None else int(self._socket.fileno())

    def connect(self) -> None:
        """Open it. NoVerto when that cannot be done."""
        try:
            self._socket = gevent.socket.create_connection(self._address)
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
                self._read()
        except (OSError, Ended) as error:
            raise NoVerto(str(error)) from None
        if self._protocol.handshake_exc is not None:
            raise NoVerto(str(self._protocol.handshake_exc))

    def login(self, user: str, password: str) -> None:
        """LoginRefused when it is wrong."""
        reply = self._request("login", {"login": user, "passwd": password, "sessid": self._session})
        error = reply.get("error")
        if isinstance(error, dict):
            raise LoginRefused(str(error.get("message", ""))[:80])

    def call(self, channel: str, sdp: str, variables: dict[str, str]) -> str:
        """Begin the call that becomes this channel; the switch's SDP when it answers. Raises Refused."""
        dialog = {
            "callID": channel,
            "destination_number": "vsi",
            "caller_id_name": "vsi",
            "caller_id_number": "vsi",
            "userVariables": variables,
        }
        reply = self._request("verto.invite", {"sessid": self._session, "sdp": sdp, "dialogParams": dialog})
        error = reply.get("error")
        if isinstance(error, dict):
            raise Refused(str(error.get("message", ""))[:80])
        while True:
            method, params = self._next()
            if params.get("callID") != channel:
                continue
            answer = params.get("sdp")
            if method in ("verto.answer", "verto.media") and isinstance(answer, str):
                return answer
            if method == "verto.bye":
                raise Refused(str(params.get("cause", ""))[:80])

    def wait_closed(self) -> None:
        """Read on, until the switch ends the connection or it is lost. Nothing that is said matters: what
        happens to the call is seen over the event socket."""
        with suppress(SwitchUnavailable):
            while True:
                self._next()

    def leave_open(self) -> None:
        """Let go of it, for somebody else who has it as well."""
        ours, self._socket = self._socket, None
        if ours is not None:
            ours.close()

    def close(self) -> None:
        """Hang up, if there is a call, by leaving."""
        ours, self._socket = self._socket, None
        if ours is None:
            return
        with suppress(OSError):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(1000)
                ours.setblocking(False)
                ours.send(b"".join(self._protocol.data_to_send()))
        ours.close()

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._id += 1
        message = {"jsonrpc": "2.0", "method": method, "params": params, "id": self._id}
        self._protocol.send_text(orjson.dumps(message))
        self._flush()
        while True:
            reply = self._message()
            if reply.get("id") == self._id and ("result" in reply or "error" in reply):
                return reply

    def _next(self) -> tuple[str, dict[str, Any]]:
        """The next request of the switch. Its ids begin at 1, as ours do."""
        while True:
            message = self._message()
            method, params = message.get("method"), message.get("params")
            if isinstance(method, str):
                return method, params if isinstance(params, dict) else {}

    def _message(self) -> dict[str, Any]:
        while not self._messages:
            self._read()
        return self._messages.pop(0)

    def _read(self) -> None:
        """Take in what the switch has sent. Ended at the end of the connection."""
        ours = self._socket
        if ours is None:
            raise Ended("the connection to mod_verto was closed")
        try:
            data = ours.recv(READ_BYTES)
        except OSError as error:
            raise Ended(f"the connection to mod_verto was lost: {error}") from None
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        if not data or self._protocol.close_expected():
            raise Ended("the switch ended the connection to mod_verto")

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        text, self._parts = b"".join(self._parts), []
        with suppress(orjson.JSONDecodeError):
            message = orjson.loads(text)
            if isinstance(message, dict):
                self._messages.append(message)

    def _flush(self) -> None:
        ours = self._socket
        data = b"".join(self._protocol.data_to_send())
        if ours is not None and data:
            with suppress(OSError):  # the reader will notice
                ours.sendall(data)
