"""A VSI client for tests: one connection, everything it received, and waiting for events by type."""

from __future__ import annotations

import json
from typing import Any

import gevent
import websocket
from gevent.event import Event as Signal

TIMEOUT_S = 20.0


class VsiClient:
    """Reads in the background; `events` has all events in order, replies are matched by request id."""

    def __init__(self, address: str, query: str = "") -> None:
        self.ws = websocket.create_connection(f"ws://{address}/v1/vsi{query}", timeout=TIMEOUT_S)
        self.first = json.loads(self.ws.recv())
        self.events: list[dict[str, Any]] = []
        self.replies: dict[str, dict[str, Any]] = {}
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.closed = Signal()
        self._position = 0
        self._number = 0
        self._changed = Signal()
        self.ws.settimeout(None)
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        try:
            while True:
                opcode, data = self.ws.recv_data(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    self.close_code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                    break
                if opcode != websocket.ABNF.OPCODE_TEXT:
                    continue
                frame = json.loads(data)
                self.frames.append(frame)
                if "request_id" in frame:
                    self.replies[frame["request_id"]] = frame
                elif "timestamp" in frame:
                    self.events.append(frame)
                self._changed.set()
        except (websocket.WebSocketException, OSError, ValueError):
            pass
        self.closed.set()
        self._changed.set()

    def _wait(self, condition: Any, what: str, timeout: float) -> Any:
        def failure() -> AssertionError:
            return AssertionError(f"no {what} within {timeout} s; events: {[e['type'] for e in self.events]}")

        with gevent.Timeout(timeout, False):
            while (found := condition()) is None:
                self._changed.clear()
                self._changed.wait(0.2)
                assert not (self.closed.is_set() and condition() is None), failure()
            return found
        raise failure()

    def send(self, name: str, **payload: Any) -> str:
        """Send a command without waiting; returns its request id. A member `from_` is sent as `from`."""
        self._number += 1
        number = str(self._number)
        payload = {key.rstrip("_"): value for key, value in payload.items()}
        self.ws.send(json.dumps({"type": name, "request_id": number, "payload": payload}))
        return number

    def reply(self, number: str, timeout: float = TIMEOUT_S) -> dict[str, Any]:
        return self._wait(lambda: self.replies.get(number), f"reply {number}", timeout)

    def ok(self, name: str, **payload: Any) -> Any:
        """Run a command that must succeed; its data."""
        frame = self.reply(self.send(name, **payload), timeout=30)
        assert frame["type"] == f"{name}.result", frame
        return frame["data"]

    def error(self, name: str, **payload: Any) -> tuple[int, str]:
        """Run a command that must fail; code and message."""
        frame = self.reply(self.send(name, **payload), timeout=30)
        assert frame["type"] == "error", frame
        return frame["data"]["code"], frame["data"]["message"]

    def event(self, kind: str, timeout: float = TIMEOUT_S, **members: Any) -> dict[str, Any]:
        """The next event (after the last one waited for) of this type and with these members."""

        def find() -> dict[str, Any] | None:
            for index in range(self._position, len(self.events)):
                event = self.events[index]
                if event["type"] == kind and all(event.get(key) == value for key, value in members.items()):
                    self._position = index + 1
                    return event
            return None

        return self._wait(find, f"{kind} {members or ''}", timeout)

    def frame(self, kind: str, timeout: float = TIMEOUT_S) -> dict[str, Any]:
        """The first frame of this type, event or not."""
        return self._wait(lambda: next((f for f in self.frames if f["type"] == kind), None), kind, timeout)

    def seen(self, kind: str, **members: Any) -> list[dict[str, Any]]:
        """All events of a type received so far."""
        wanted = {"type": kind, **members}
        return [one for one in self.events if all(one.get(key) == value for key, value in wanted.items())]

    def types(self, **members: Any) -> list[str]:
        """The types of all events so far that have these members."""
        return [
            event["type"]
            for event in self.events
            if all(event.get(key) == value for key, value in members.items())
        ]

    def rewind(self) -> None:
        """Let `event` find what was received before, too."""
        self._position = 0

    def close(self) -> None:
        self._reader.kill()
        self.ws.close(timeout=1)
        self.ws.shutdown()  # `close` leaves the socket open when the server was first
