"""The VSI clients: `python -m tests.chaos.clients SEED CALLEES HOOKS SERVER ...`, where CALLEES is a SIP URI
with {} for what the callee does, and HOOKS the URL of the receiver of webhooks.

Two see everything, one its application only. Whoever loses the connection comes back with ?since=, to the
next server if there are several. The first one sends the commands.
"""

from __future__ import annotations

from .party import note, orders

# isort: split
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import websocket
from gevent.event import AsyncResult
from gevent.event import Event as Signal

CONNECT_S = 2.0
SILENT_S = 8.0
"""Without even a ping for so long, the connection is given up. The service is told to ping each second."""
REPLY_S = 12.0
AGAIN_S = 0.2
OLD_S = 25.0
"""A call that is up for so long has been forgotten by its script, and is ended."""
SETTLE_S = 60.0
QUIET_S = 2.0
ROOMS = ("red", "green", "blue")
CALLEES = ("instant", "instant", "answer", "ring", "reject-486", "bye-after", "early-answer")


class Failed(Exception):
    """A command failed, or nobody answered."""


class Client:
    """One connection after the other."""

    def __init__(self, name: str, servers: list[str], app_id: str = "") -> None:
        self.name, self._servers, self._app_id = name, servers, app_id
        self._ws: websocket.WebSocket | None = None
        self._last = ""
        self._number = 0
        self._waiting: dict[str, AsyncResult[dict[str, Any]]] = {}
        self.heard: Callable[[dict[str, Any]], None] = lambda event: None
        self.changed_at = time.monotonic()
        self._seen: set[str] = set()
        gevent.spawn(self._live)

    def _live(self) -> None:
        turn = 0
        while True:
            server = self._servers[turn % len(self._servers)]
            turn += 1
            with suppress(websocket.WebSocketException, OSError, ValueError):
                self._connect(server)
                self._read()
            if self._ws is not None:
                note(self.name, "lost", server=server)
                self.drop()
            self._ws = None
            for one in self._waiting.values():
                one.set_exception(Failed("the connection is lost"))
            self._waiting.clear()
            gevent.sleep(AGAIN_S)

    def _connect(self, server: str) -> None:
        query = [f"since={self._last}"] if self._last else []
        query += [f"app_id=^{self._app_id}$"] if self._app_id else []
        url = f"ws://{server}/v1/vsi?{'&'.join(query)}"
        ws = websocket.create_connection(url, timeout=CONNECT_S)
        ws.settimeout(SILENT_S)
        note(self.name, "connected", server=server, since=self._last, app_id=self._app_id)
        self._ws = ws

    def _read(self) -> None:
        assert self._ws is not None
        while text := self._ws.recv():
            frame = json.loads(text)
            if "request_id" in frame:
                if (waiting := self._waiting.pop(frame["request_id"], None)) is not None:
                    waiting.set(frame)
            elif frame["type"] == "ping":
                self._ws.send('{"type":"pong"}')
            elif frame["type"] == "events_dropped":
                note(self.name, "dropped", count=frame["count"])
            elif "timestamp" in frame:
                self._event(frame)

    def _event(self, event: dict[str, Any]) -> None:
        note(self.name, "event", event=event)
        self._last = event["event_id"]
        self.changed_at = time.monotonic()
        if self._last not in self._seen:
            self._seen.add(self._last)
            self.heard(event)

    def drop(self) -> None:
        """Let go of the connection, without a word."""
        if self._ws is not None:
            with suppress(OSError):
                self._ws.shutdown()

    def ask(self, command: str, **payload: Any) -> Any:
        """What a command answers. Failed for an error, and for no answer in time."""
        ws, self._number = self._ws, self._number + 1
        if ws is None:
            gevent.sleep(AGAIN_S)
            raise Failed("not connected")
        number = str(self._number)
        note(self.name, "asked", number=number, command=command, payload=payload)
        answer: AsyncResult[dict[str, Any]] = AsyncResult()
        self._waiting[number] = answer
        try:
            ws.send(json.dumps({"type": command, "request_id": number, "payload": payload}))
            frame = answer.get(timeout=REPLY_S)
        except (websocket.WebSocketException, OSError, gevent.Timeout) as error:
            raise Failed(str(error)) from error
        finally:
            self._waiting.pop(number, None)
        good = frame["type"] != "error"
        note(self.name, "answered", number=number, ok=good, data=frame.get("data"))
        if not good:
            raise Failed(str(frame.get("data")))
        return frame.get("data")


class Load:
    """So many calls at a time, each with a script of its own."""

    def __init__(self, client: Client, callees: str, seed: int, hooks: str) -> None:
        self._client, self._callees, self._hooks = client, callees, hooks
        self._random = random.Random(seed)
        self._running = Signal()
        self._outbound = 0
        self.up: dict[str, float] = {}
        """Legs that have not ended, and since when."""
        self._kinds: dict[str, set[str]] = defaultdict(set)
        self._rooms: dict[str, str] = {}
        """Leg -> where it was told to be."""
        self._changed = Signal()
        client.heard = self._heard

    def run(self, most: int) -> None:
        """Keep so many calls of ours up, and answer those that come, until `stop`."""
        self._running.set()
        gevent.spawn(self._tidy)
        while self._running.is_set():
            gevent.sleep(self._random.uniform(0.3, 2.5) / most)
            if self._outbound < most:
                gevent.spawn(self._outbound_call)

    def stop(self) -> None:
        """No more calls."""
        self._running.clear()

    def _heard(self, event: dict[str, Any]) -> None:
        leg = event.get("leg_id")
        if leg is None:
            return
        self._kinds[leg].add(event["type"])
        if event["type"] in ("leg.joined_room", "leg.left_room"):
            self._rooms[leg] = event["room_id"] if event["type"] == "leg.joined_room" else ""
        if event["type"] == "leg.ringing":
            self.up[leg] = time.monotonic()
            if event["leg_type"] == "sip_inbound" and self._running.is_set():
                gevent.spawn(self._inbound_call, leg)
        elif event["type"] == "leg.disconnected":
            self.up.pop(leg, None)
        self._changed.set()
        self._changed.clear()

    def _is(self, leg: str, *kinds: str, timeout: float = 10.0) -> bool:
        """Wait until one of these has been told of a leg."""
        with gevent.Timeout(timeout, False):
            while not self._kinds[leg].intersection(kinds):
                self._changed.wait(1.0)
            return True
        return False

    def _outbound_call(self) -> None:
        self._outbound += 1
        draw = self._random
        request: dict[str, Any] = {
            "type": "sip",
            "to": self._callees.format(draw.choice(CALLEES)),
            "app_id": draw.choice(("shop", "desk")),
            "max_duration": 60,
            "ring_timeout": 5,
        }
        if draw.random() < 0.3:
            request["room_id"] = draw.choice(ROOMS)
        if draw.random() < 0.3:
            request["webhook_url"] = f"{self._hooks}/of-a-leg-{draw.randrange(5)}"
        try:
            with suppress(Failed):
                leg = self._client.ask("create_leg", **request)["id"]
                self.up.setdefault(leg, time.monotonic())
                if "leg.disconnected" in self._kinds[leg]:
                    self.up.pop(leg, None)
                self._talk(leg)
        finally:
            self._outbound -= 1

    def _inbound_call(self, leg: str) -> None:
        with suppress(Failed):
            if self._random.random() < 0.1:
                self._client.ask("delete_leg", id=leg, reason="busy")
                return
            self._client.ask("answer_leg", id=leg)
            self._talk(leg)

    def _talk(self, leg: str) -> None:
        if not self._is(leg, "leg.connected", "leg.disconnected"):
            return
        for _ in range(self._random.randrange(1, 8)):
            gevent.sleep(self._random.uniform(0.05, 1.0))
            if "leg.disconnected" in self._kinds[leg]:
                return
            with suppress(Failed):
                self._do_something(leg)
        if self._random.random() < 0.7:
            with suppress(Failed):
                self._client.ask("delete_leg", id=leg)

    def _do_something(self, leg: str) -> None:
        ask, draw = self._client.ask, self._random
        room = draw.choice(ROOMS)
        what = draw.randrange(12)
        if what < 3:
            ask("add_leg_to_room", room_id=room, leg_id=leg)
        elif what == 3 and self._rooms.get(leg):
            ask("remove_leg_from_room", room_id=self._rooms[leg], leg_id=leg)
        elif what == 4:
            ask(draw.choice(("mute_leg", "unmute_leg", "deaf_leg", "undeaf_leg")), id=leg)
        elif what == 5:
            playback = ask("leg_play_start", id=leg, tone="us_dial")["playback_id"]
            gevent.sleep(draw.uniform(0.0, 1.0))
            if draw.random() < 0.5:
                ask("leg_play_stop", id=leg, playback_id=playback)
        elif what == 6:
            ask("room_play_start", id=room, tone="busy")
        elif what in (7, 8):
            self._record("leg", leg)
        elif what == 9:
            self._record("room", room)
        elif what == 10:
            ask(draw.choice(("hold_leg", "unhold_leg")), id=leg)
        else:
            ask("send_leg_dtmf", id=leg, digits="12#")

    def _record(self, kind: str, id: str) -> None:
        self._client.ask(f"{kind}_record_start", id=id)
        gevent.sleep(self._random.uniform(0.0, 1.5))
        if self._random.random() < 0.6:
            self._client.ask(f"{kind}_record_stop", id=id)

    def _tidy(self) -> None:
        """End what its script has let go of. The calls do not depend on their clients; the load is to."""
        while True:
            gevent.sleep(1.0)
            old = time.monotonic() - (OLD_S if self._running.is_set() else 0.0)
            for leg, since in list(self.up.items()):
                if since < old:
                    with suppress(Failed):
                        self._client.ask("delete_leg", id=leg)

    def settle(self) -> tuple[list[str], list[str]]:
        """End everything, and wait until it is over: the legs and rooms that are left all the same."""
        legs, rooms = ["?"], ["?"]
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            with suppress(Failed):
                legs = [one["id"] for one in self._client.ask("list_legs")]
                for leg in legs:
                    with suppress(Failed):
                        self._client.ask("delete_leg", id=leg)
                rooms = [one["id"] for one in self._client.ask("list_rooms")]
                for room in rooms if not legs else ():
                    with suppress(Failed):
                        self._client.ask("delete_room", id=room)
                quiet = time.monotonic() - self._client.changed_at > QUIET_S
                if not (legs or rooms or self.up) and quiet:
                    break
            gevent.sleep(AGAIN_S)
        return legs, rooms


def main(seed: int, callees: str, hooks: str, servers: list[str]) -> None:
    clients = {
        "one": Client("one", servers),
        "two": Client("two", servers[::-1]),
        "shop": Client("shop", servers, "shop"),
    }
    load = Load(clients["one"], callees, seed, hooks)
    for order in orders():
        do = order["do"]
        if do == "load":
            gevent.spawn(load.run, order["most"])
        elif do == "calm":
            load.stop()
        elif do == "drop":
            clients[order["who"]].drop()
        elif do == "settle":
            legs, rooms = load.settle()
            note("director", "left", legs=legs, rooms=rooms)
        note("clients", "done", of=do)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
