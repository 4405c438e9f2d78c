"""What keeps the legs and rooms of `vsi-esl top` up to date: a VSI connection that comes back by itself."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import click
import gevent
import websocket
from gevent.event import Event as Signal

from ..connection import NotThere, close, connect
from .model import Live

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
SILENCE_S = 120.0
"""The service pings far more often: a connection that has been silent for so long is none."""
LIST_AGAIN_S = 5.0
"""After events were lost a new list is asked for, but not more often than this."""
LEGS, ROOMS = "legs", "rooms"


class Stream:
    """Fills `live` in a greenlet of its own, from `start` to `stop`.

    `status` says in a few words how the connection is, and `failed` why it is over for good: what is refused,
    not merely absent, ends it. `listed` is set when there is a list, or that is over.
    """

    def __init__(self, url: str, token: str, app_id: str, live: Live) -> None:
        self._url, self._token, self._app_id = url, token, app_id
        self._live = live
        self._ws: websocket.WebSocket | None = None
        self._reader: gevent.Greenlet | None = None
        self._last = ""
        self._awaited: dict[str, list[Any] | None] = {}
        self._listed_at = 0.0
        self.listed = Signal()
        self.status = "the list of legs is on its way"
        self.failed = ""

    def start(self) -> None:
        """Connect, and read on in the background. ClickException when there is no service to connect to."""
        self._ws = connect(self._url, self._token, app_id=self._app_id)
        self._reader = gevent.spawn(self._run)

    def stop(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            self._reader.kill()
        self._close()

    def _run(self) -> None:
        try:
            while True:
                if self._ws is not None:
                    # gone: what to do about it is the same however it went
                    with suppress(websocket.WebSocketException, OSError, ValueError):
                        self._read(self._ws)
                self._close()
                self.status = f"connection lost at {_clock()}, trying again"
                self._again()
        except click.ClickException as error:
            self.failed = error.format_message()
            self.listed.set()

    def _read(self, ws: websocket.WebSocket) -> None:
        ws.settimeout(SILENCE_S)
        self._ask(ws)
        while text := ws.recv():
            frame = json.loads(text)
            kind = frame.get("type", "")
            if kind == "ping":
                ws.send('{"type":"pong"}')
            elif kind == "error" or kind.endswith(".result"):
                self._answered(frame)
            else:
                self._last = frame.get("event_id") or self._last
                self._live.apply(frame)
                if kind == "events_dropped" and time.monotonic() - self._listed_at > LIST_AGAIN_S:
                    self._ask(ws)

    def _ask(self, ws: websocket.WebSocket) -> None:
        self._listed_at = time.monotonic()
        self._awaited = {LEGS: None, ROOMS: None}
        self._live.expect()
        for name in self._awaited:
            ws.send(json.dumps({"type": f"list_{name}", "request_id": name}))

    def _answered(self, frame: dict[str, Any]) -> None:
        name, data = frame.get("request_id", ""), frame.get("data")
        if name not in self._awaited:
            return
        if not isinstance(data, list):  # an error: the legs are not to be had by this token
            raise click.ClickException(f"{self._url}: list_{name}: {data.get('message') if data else data}")
        self._awaited[name] = data
        legs, rooms = self._awaited.get(LEGS), self._awaited.get(ROOMS)
        if legs is not None and rooms is not None:
            self._live.replace(legs, rooms)
            self._awaited = {}
            if not self.listed.is_set():
                self.status = ""
                self.listed.set()

    def _again(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                self._ws = connect(self._url, self._token, app_id=self._app_id, since=self._last)
            except NotThere:
                gevent.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.status = f"connected again at {_clock()}"
                return

    def _close(self) -> None:
        ws, self._ws = self._ws, None
        if ws is not None:
            close(ws)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
