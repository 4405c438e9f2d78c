"""One VSI connection: commands in, replies in the same order, events in between.

Commands run in the connection's own greenlet, so a slow one delays nobody else. Events have a bounded
queue and a writer of their own.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
import orjson
import structlog

from ..access.tokens import OPEN, Access
from ..calls.context import Context
from ..errors import Invalid, VsiError
from ..protocol.names import is_command
from ..protocol.registry import dispatch, log_lines
from . import jsontext
from .replay import EventStream
from .websocket import HardenedWebSocket, WebSocketClosed

log = structlog.get_logger(__name__)

EVENTS_PER_WRITE = 256

CONNECTED = b'{"type":"connected"}'


class VsiSession:
    """Serves one WebSocket until either side ends it."""

    def __init__(
        self,
        ctx: Context,
        ws: HardenedWebSocket,
        events: EventStream,
        access: Access = OPEN,
        address: str = "",
    ) -> None:
        self._ctx = ctx
        self._ws = ws
        self._events = events
        self.access = access
        self._address = address

    def run(self) -> None:
        """Read and answer commands; returns when the connection is over."""
        opened = time.monotonic()
        log.info("vsi connection opened", client=self.access.name or None, address=self._address)
        helpers: list[gevent.Greenlet] = []
        try:
            self._ws.send_text(CONNECTED)
            helpers = [gevent.spawn(self._send_events), gevent.spawn(self._send_pings)]
            while (frame := self._ws.receive()) is not None:
                if isinstance(frame, str) and not self._serve(frame):
                    self._ws.close(1000, "stop")
        except WebSocketClosed:
            pass  # the reason is in the log line below
        finally:
            gevent.killall(helpers)
            self._events.close()
            log.info(
                "vsi connection closed",
                client=self.access.name or None,
                address=self._address,
                reason=self._ws.close_reason,
                code=self._ws.close_code,
                seconds=round(time.monotonic() - opened, 1),
                events_dropped=self._events.dropped_total,
            )

    def close(self, code: int, reason: str) -> None:
        """End the connection from outside."""
        self._ws.close(code, reason)

    def _serve(self, frame: str) -> bool:
        """Handle one frame; False when the client asked to stop."""
        try:
            name, request_id, payload = parse_request(frame)
        except BadFrame as bad:
            self._ws.send_text(error_frame(bad.request_id, bad.code, bad.message))
            return True
        if name == "pong":
            return True
        if name == "stop":
            return False
        with log_lines(name, request_id, payload):
            self._ws.send_text(self._answer(name, request_id, payload))
        return True

    def _answer(self, name: str, request_id: str | None, payload: Any) -> bytes:
        try:
            self.access.spend()
            data = dispatch(self._ctx, name, payload, self.access)
            return result_frame(name, request_id, data)
        except VsiError as error:
            return error_frame(request_id, error.code, error.message)
        except Exception:
            log.exception("command failed", known=is_command(name))
            return error_frame(request_id, 500, "internal error")

    def _send_events(self) -> None:
        try:
            while True:
                self._ws.send_many(self._events.take(EVENTS_PER_WRITE))
        except WebSocketClosed:
            pass  # the reader notices as well, and ends the session
        except Exception:  # a client that hears nothing any more is to know it, and comes again
            log.exception("events not sent to a client")
            self.close(1011, "internal error")

    def _send_pings(self) -> None:
        count = 0
        try:
            while True:
                gevent.sleep(self._ctx.config.vsi.ping_interval)
                count += 1
                self._ws.send_text(orjson.dumps({"event_id": count, "seq": count, "type": "ping"}))
        except WebSocketClosed:
            pass


class BadFrame(Invalid):
    """A frame that is no command, with its request id if that could be read."""

    def __init__(self, request_id: str | None = None) -> None:
        super().__init__("invalid JSON")
        self.request_id = request_id


def parse_request(frame: str) -> tuple[str, str | None, Any]:
    """Type, request id and payload of a command frame. BadFrame when it is not one."""
    try:
        request = jsontext.read(frame)
    except ValueError:
        raise BadFrame from None
    if request is None:
        request = {}
    if not isinstance(request, dict):
        raise BadFrame
    members = jsontext.members_of(request)
    name, request_id = members.get("type", ""), members.get("request_id", "")
    if not isinstance(request_id, str):
        raise BadFrame
    if not isinstance(name, str):
        raise BadFrame(request_id)
    return name, request_id or None, members.get("payload")


def result_frame(name: str, request_id: str | None, data: Any) -> bytes:
    """The success reply to a command."""
    frame: dict[str, Any] = {"type": f"{name}.result"}
    if request_id:
        frame["request_id"] = request_id
    frame["data"] = data
    return orjson.dumps(frame)


def error_frame(request_id: str | None, code: int, message: str) -> bytes:
    """The error reply; the request id is left out when there was none to read."""
    frame: dict[str, Any] = {"type": "error"}
    if request_id:
        frame["request_id"] = request_id
    frame["data"] = {"code": code, "message": message}
    return orjson.dumps(frame)
