"""Calls made to be measured: at a steady rate, each held for a while and hung up; none is left behind."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import click
import gevent
import websocket
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore

from ...later import punctually
from ..connection import close, connect

LOOK_S = 0.05
REPLY_PATIENCE_S = 5.0
CLEANING_S = 15.0
"""How long the end of all calls is waited for, and then the end of those that were found to be left."""
MARGIN_S = 60
"""A call that nobody hangs up, because this process was killed, ends by itself so long after it was due."""
LOST_CONNECTION = "the connection was lost"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `calls` and `seconds` both bound it. Times in seconds, `rate` per second."""

    to: str
    app_id: str
    rate: float
    concurrency: int
    calls: int
    seconds: float
    hold: float
    answer_timeout: int
    outbound_proxy: str = ""

    def payload(self) -> dict[str, Any]:
        """What each create_leg is asked for."""
        request: dict[str, Any] = {
            "type": "sip",
            "to": self.to,
            "app_id": self.app_id,
            "ring_timeout": self.answer_timeout,
            "max_duration": int(self.hold) + MARGIN_S,
        }
        if self.outbound_proxy:
            request["outbound_proxy"] = self.outbound_proxy
        return request


@dataclass(slots=True)
class Call:
    """One call, with the times at which this client saw things happen; 0 for what has not."""

    asked: float
    leg_id: str = ""
    replied: float = 0.0
    ringing: float = 0.0
    connected: float = 0.0
    ended: float = 0.0
    hung_up: bool = False
    failure: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of it. `seconds` is the time in which calls were begun, `waited` the part of it in which
    there were as many as there may be at once."""

    calls: list[Call] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0
    lost: int = 0
    most: int = 0
    left: int = 0
    problem: str = ""

    @property
    def set_up(self) -> int:
        return sum(call.connected > 0 for call in self.calls)

    def failures(self) -> dict[str, int]:
        """How many calls failed for each reason, the most frequent first."""
        return dict(Counter(call.failure for call in self.calls if call.failure).most_common())


class Generator:
    """Makes the calls of a plan over one VSI connection, which sees the events of its own app_id only."""

    def __init__(self, url: str, token: str, plan: Plan) -> None:
        self._url, self._token, self._plan = url, token, plan
        self._ws = self._connect()
        self._sending = BoundedSemaphore(1)
        self._asked: dict[str, Call] = {}
        self._by_leg: dict[str, Call] = {}
        self._early: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self._active: set[int] = set()
        self._changed = Signal()
        self._timers: list[gevent.Greenlet] = []
        self.outcome = Outcome()

    def run(self, stop: Signal, told: Callable[[int, str], None] = lambda done, doing: None) -> Outcome:
        """Make the calls until all are made, the time is over, or `stop` is set; then end what is up."""
        reader = gevent.spawn(self._read)
        try:
            self._make_calls(stop, told)
            if not stop.is_set():
                self._wait(lambda: not self._active or stop.is_set(), self._longest_wait(), told)
        finally:
            self._hang_up_all(told)
            reader.kill()
            gevent.killall(self._timers)
            self._close()
            self._sweep()
        return self.outcome

    def _make_calls(self, stop: Signal, told: Callable[[int, str], None]) -> None:
        plan, out = self._plan, self.outcome
        began = time.perf_counter()
        for number in range(plan.calls):
            due = began + number / plan.rate
            while (now := time.perf_counter()) < due and not self._over(stop):
                stop.wait(min(due - now, LOOK_S))
            full = time.perf_counter()
            while len(self._active) >= plan.concurrency and not self._over(stop):
                self._pause()
                told(len(out.calls), self._doing())
            out.waited += time.perf_counter() - full
            if self._over(stop) or time.perf_counter() - began >= plan.seconds:
                break
            self._call(number)
            told(len(out.calls), self._doing())
        out.seconds = time.perf_counter() - began

    def _over(self, stop: Signal) -> bool:
        return stop.is_set() or bool(self.outcome.problem)

    def _doing(self) -> str:
        failed = sum(bool(call.failure) for call in self.outcome.calls)
        return f"({len(self._active)} up, {failed} failed)"

    def _call(self, number: int) -> None:
        call = Call(time.perf_counter())
        self.outcome.calls.append(call)
        self._asked[str(number)] = call
        self._active.add(id(call))
        self.outcome.most = max(self.outcome.most, len(self._active))
        self._timers = [timer for timer in self._timers if not timer.ready()]
        self._later(self._plan.answer_timeout + REPLY_PATIENCE_S, self._give_up, call)
        self._send("create_leg", str(number), self._plan.payload())

    def _later(self, seconds: float, action: Callable[[Call], None], call: Call) -> None:
        self._timers.append(punctually(seconds, action, call))

    def _give_up(self, call: Call) -> None:
        if not call.connected and not call.ended:
            self._done(call, "no answer and no end in time")
            self._hang_up(call)

    def _hang_up(self, call: Call) -> None:
        if call.leg_id and not call.ended and not call.hung_up:
            call.hung_up = True
            self._send("delete_leg", "", {"id": call.leg_id})

    def _send(self, name: str, request_id: str, payload: dict[str, Any]) -> None:
        frame = json.dumps({"type": name, "request_id": request_id or "-", "payload": payload})
        try:
            with self._sending:
                self._ws.send(frame)
        except (websocket.WebSocketException, OSError) as error:
            self._lost(error)

    def _lost(self, error: object) -> None:
        self.outcome.problem = self.outcome.problem or f"{LOST_CONNECTION}: {error}"
        self._changed.set()

    def _read(self) -> None:
        try:
            while text := self._ws.recv():
                frame = json.loads(text)
                kind = frame.get("type", "")
                if kind == "ping":
                    with self._sending:
                        self._ws.send('{"type":"pong"}')
                elif kind == "events_dropped":
                    self.outcome.lost += frame.get("count", 0)
                elif kind == "error" or kind.endswith(".result"):
                    self._answered(frame)
                elif leg_id := frame.get("leg_id"):
                    self._event(leg_id, time.perf_counter(), frame)
            self._lost("closed by the service")
        except (websocket.WebSocketException, OSError, ValueError) as error:
            self._lost(error)

    def _answered(self, frame: dict[str, Any]) -> None:
        call = self._asked.pop(frame.get("request_id", ""), None)
        if call is None:
            return
        data = frame.get("data") or {}
        if frame["type"] == "error":
            call.ended = time.perf_counter()
            self._done(call, f"{data.get('code')} {data.get('message')}")
            return
        call.replied, call.leg_id = time.perf_counter(), data["id"]
        self._by_leg[call.leg_id] = call
        # the first events of a leg may come before the reply that tells its id
        for at, event in self._early.pop(call.leg_id, ()):
            self._event(call.leg_id, at, event)

    def _event(self, leg_id: str, at: float, event: dict[str, Any]) -> None:
        call = self._by_leg.get(leg_id)
        if call is None:
            self._early.setdefault(leg_id, []).append((at, event))
        elif event["type"] == "leg.ringing":
            call.ringing = at
        elif event["type"] == "leg.connected" and not call.connected:
            call.connected = at
            self._later(self._plan.hold, self._hang_up, call)
        elif event["type"] == "leg.disconnected":
            call.ended = at
            reason = str(event.get("cdr", {}).get("reason", "unknown"))
            del self._by_leg[leg_id]
            self._done(call, "" if call.hung_up else f"{'ended early: ' * (call.connected > 0)}{reason}")

    def _done(self, call: Call, failure: str) -> None:
        call.failure = call.failure or failure
        self._active.discard(id(call))
        self._changed.set()

    def _longest_wait(self) -> float:
        return self._plan.answer_timeout + self._plan.hold + CLEANING_S

    def _pause(self) -> None:
        self._changed.clear()
        self._changed.wait(LOOK_S)

    def _wait(self, over: Callable[[], bool], seconds: float, told: Callable[[int, str], None]) -> None:
        until = time.perf_counter() + seconds
        while not over() and not self.outcome.problem and time.perf_counter() < until:
            self._pause()
            told(len(self.outcome.calls), self._doing())

    def _hang_up_all(self, told: Callable[[int, str], None]) -> None:
        self._wait(lambda: not self._asked, REPLY_PATIENCE_S, told)
        for call in list(self._by_leg.values()):
            self._hang_up(call)
        self._wait(lambda: not self._by_leg, CLEANING_S, told)

    def _sweep(self) -> None:
        """End what the service still has of ours, whatever we know of it."""
        until = time.perf_counter() + CLEANING_S
        while True:
            try:
                self.outcome.left = left = self._swept()
            except (click.ClickException, websocket.WebSocketException, OSError, ValueError) as error:
                left = 1
                problem = error.format_message() if isinstance(error, click.ClickException) else str(error)
                self.outcome.problem = self.outcome.problem or problem
            if not left:
                return
            if time.perf_counter() > until:
                self.outcome.left = max(self.outcome.left, sum(not call.ended for call in self.outcome.calls))
                return
            gevent.sleep(10 * LOOK_S)

    def _swept(self) -> int:
        ws = self._connect()
        try:
            mine = [leg["id"] for leg in _ask(ws, "list_legs", {}) if leg.get("app_id") == self._plan.app_id]
            for leg_id in mine:
                _ask(ws, "delete_leg", {"id": leg_id})
            return len(mine)
        finally:
            close(ws)

    def _connect(self) -> websocket.WebSocket:
        return connect(self._url, self._token, app_id=f"^{re.escape(self._plan.app_id)}$")

    def _close(self) -> None:
        with suppress(websocket.WebSocketException, OSError):
            close(self._ws)


def _ask(ws: websocket.WebSocket, name: str, payload: dict[str, Any]) -> Any:
    """The answer to a command; of an error nothing."""
    ws.send(json.dumps({"type": name, "request_id": name, "payload": payload}))
    while True:
        frame = json.loads(ws.recv())
        if frame.get("request_id") == name:
            return frame.get("data") if frame["type"] != "error" else []
