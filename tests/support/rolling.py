"""Calls that change all the time, and clients that follow them from service to service: what was done, and
whether all of it was told, once and in order."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gevent
import websocket
from gevent.event import Event as Signal

from .receiver import Receiver
from .redisserver import RedisServer
from .services import OneOfSeveral
from .vsi import VsiClient
from .waiting import eventually

AGAIN_S = 0.05
PAUSE_S = 2.0
"""Between two changes of a call."""
PATIENCE_S = 60.0
"""For one command, however often it is repeated."""
ROOMS = 6
"""On each switch."""
LIFE = ("leg.ringing", "leg.connected", "leg.disconnected")
NAMED = re.compile(r"(leg|room|switch|service) [^\s,]+")
UNSURE = re.compile(r"may have been done|did not answer")
"""Refused so, it may be done yet."""
TOLD_FOR = {"mute_leg": "leg.muted", "unmute_leg": "leg.unmuted"}
"""Commands that tell one event each time."""


class Peer(Protocol):
    """The other end of a call."""

    @property
    def seen(self) -> list[str]: ...

    def hang_up(self) -> None: ...


Dial = Callable[[str], Peer]
"""Somebody calls, from this number."""


class Follower:
    """A client that is connected to whichever service is up, and goes on behind the last event that it had.

    `asked` has of each command how it went; `outages` how many seconds commands took that were refused with
    503 or lost at first, until they were done.
    """

    def __init__(self, services: Sequence[OneOfSeveral]) -> None:
        self._services = services
        self.events: list[dict[str, Any]] = []
        self.servers: list[str] = []
        """The services that it was connected to, one after the other."""
        self.outages: list[float] = []
        self.refusals: Counter[str] = Counter()
        self.done: Counter[tuple[str, str]] = Counter()
        """Command and leg: how often it was answered."""
        self.unsure: Counter[tuple[str, str]] = Counter()
        """And how often it may have been done: its answer was lost."""
        self.heard: Callable[[dict[str, Any]], None] = lambda event: None
        self._client: VsiClient | None = None
        self._connected = Signal()
        self._greenlet = gevent.spawn(self._live)

    def _live(self) -> None:
        turn = 0
        while True:
            service = self._services[turn % len(self._services)]
            turn += 1
            try:
                if service.address:
                    self._follow(service)
            except (websocket.WebSocketException, OSError):
                pass  # it is down, or about to be
            gevent.sleep(AGAIN_S)

    def _follow(self, service: OneOfSeveral) -> None:
        client = self._client = service.connect(self.events[-1]["event_id"] if self.events else "")
        self.servers.append(service.name)
        self._connected.set()
        taken = 0
        try:
            while not client.closed.is_set() or taken < len(client.events):
                for event in client.events[taken:]:
                    taken += 1
                    self.events.append(event)
                    self.heard(event)
                gevent.sleep(0.01)
        finally:
            self._connected.clear()
            assert not client.seen("events_dropped")
            client.close()

    def ask(self, name: str, **payload: Any) -> dict[str, Any]:
        """Have a command done, however often it has to be repeated. The frame of its answer: its result, or
        an error that is no 503."""
        about = name, str(payload.get("leg_id", payload.get("id", "")))
        began = time.monotonic()
        troubled = False
        while True:
            assert time.monotonic() - began < PATIENCE_S, (about, self.refusals)
            frame = self._attempt(name, payload)
            if frame is None:
                self.unsure[about] += 1
            elif frame["type"] == "error" and frame["data"]["code"] == 503:
                self.refusals[NAMED.sub(r"\1 X", frame["data"]["message"])] += 1
                if UNSURE.search(frame["data"]["message"]):
                    self.unsure[about] += 1
            else:
                break
            troubled = True
            gevent.sleep(AGAIN_S)
        if troubled:
            self.outages.append(time.monotonic() - began)
        if frame["type"] != "error":
            self.done[about] += 1
        return frame

    def _attempt(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        self._connected.wait(PATIENCE_S)
        client = self._client
        assert client is not None
        try:
            return client.reply(client.send(name, **payload), PATIENCE_S)
        except (AssertionError, websocket.WebSocketException, OSError):
            return None

    def close(self) -> None:
        self._greenlet.kill()
        if self._client is not None:
            self._client.close()


@dataclass(slots=True)
class Call:
    """One call of somebody's."""

    switch: str
    peer: Peer
    leg: str = ""
    muted: bool = False
    room: str = ""
    over: str = ""
    """Who ended it: "peer", or "client" by a command."""


@dataclass(slots=True)
class Load:
    """So many calls on switches (`dial` by name) at a time; each changes every `pause` seconds or so, by one
    of the `followers`, once all are up."""

    dial: Mapping[str, Dial]
    followers: Sequence[Follower]
    pause: float
    calls: list[Call] = field(default_factory=list)
    _ringing: dict[str, str] = field(default_factory=dict)
    _kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _running: list[gevent.Greenlet] = field(default_factory=list)
    _all_up: Signal = field(default_factory=Signal)
    _stopping: bool = False

    def begin(self, count: int) -> None:
        """Returns when so many calls are up."""
        for one in self.followers:
            one.heard = self._heard
        switches = sorted(self.dial)
        self._running = [
            gevent.spawn(self._caller, switches[number % len(switches)], random.Random(number))
            for number in range(count)
        ]
        eventually(lambda: self.up() == count or self._failed(), f"{count} calls", PATIENCE_S)
        self._all_up.set()

    def up(self) -> int:
        """Calls that are answered, and not over."""
        return sum(bool(one.leg) and not one.over for one in self.calls)

    def end(self) -> None:
        """Finish what is being done, and have everybody hang up."""
        self._stopping = True
        gevent.joinall(self._running, timeout=2 * PATIENCE_S, raise_error=True)
        for call in self.calls:
            if not call.over:
                call.over = "peer"
                call.peer.hang_up()
        legs = [call.leg for call in self.calls]
        for one in self.followers:
            eventually(
                lambda one=one: self._ended(one) >= set(legs), "each client was told all ends", PATIENCE_S
            )

    def kill(self) -> None:
        """Do nothing more, and close the followers."""
        gevent.killall(self._running)
        for one in self.followers:
            one.close()

    def _ended(self, follower: Follower) -> set[str]:
        return {one["leg_id"] for one in follower.events if one["type"] == "leg.disconnected"}

    def _failed(self) -> bool:
        """Raises what a caller has raised."""
        for one in self._running:
            if one.ready():
                one.get()
        return False

    def _heard(self, event: dict[str, Any]) -> None:
        if event["type"] == "leg.ringing":
            self._ringing[event["from"]] = event["leg_id"]
        if "leg_id" in event:
            self._kinds[event["leg_id"]].add(event["type"])

    def _caller(self, switch: str, draw: random.Random) -> None:
        gevent.sleep(draw.uniform(0.0, self.pause))
        while not self._stopping:
            number = f"+1555{len(self.calls):07}"
            call = Call(switch, self.dial[switch](number))
            self.calls.append(call)
            eventually(lambda number=number: number in self._ringing, f"{number} rings", PATIENCE_S)
            leg = self._ringing[number]
            self._ask(draw, "answer_leg", id=leg)
            eventually(lambda leg=leg: "leg.connected" in self._kinds[leg], "it is connected", PATIENCE_S)
            call.leg = leg
            self._all_up.wait(PATIENCE_S)
            while not call.over and not self._stopping:
                gevent.sleep(draw.uniform(0.2, 1.8) * self.pause)
                self._change(call, draw)

    def _change(self, call: Call, draw: random.Random) -> None:
        what = draw.random()
        if what < 0.45:
            call.muted = not call.muted
            self._ask(draw, "mute_leg" if call.muted else "unmute_leg", id=call.leg)
        elif what < 0.9:
            if call.room:
                self._ask(draw, "remove_leg_from_room", room_id=call.room, leg_id=call.leg)
                call.room = ""
            else:
                call.room = f"{call.switch}-{draw.randrange(ROOMS)}"
                self._ask(draw, "add_leg_to_room", room_id=call.room, leg_id=call.leg)
        elif draw.random() < 0.5:
            call.over = "peer"
            call.peer.hang_up()
        else:
            call.over = "client"
            self._ask(draw, "delete_leg", id=call.leg)

    def _ask(self, draw: random.Random, name: str, **payload: Any) -> None:
        follower = draw.choice(self.followers)
        frame = follower.ask(name, **payload)
        # it was done, and the answer was lost
        again = follower.unsure[name, str(payload.get("leg_id", payload.get("id")))]
        assert frame["type"] != "error" or again, frame


class Upgrade:
    """Two services that have the same switches, and tell `receiver`; in a `with`."""

    def __init__(
        self,
        directory: Path,
        server: RedisServer,
        switches: Mapping[str, Any],
        receiver: Receiver,
        **more: dict[str, Any],
    ) -> None:
        hooks = {"url": receiver.url(), "allow_private_urls": True, "backoff_min": "50ms"}
        self._records = {name: directory / f"calls-{name}" for name in ("a", "b")}
        self.services = [
            OneOfSeveral(
                name,
                directory,
                server,
                switches,
                hurried=False,
                webhooks=hooks,
                cdr={"path": str(path)},
                **more,
            )
            for name, path in self._records.items()
        ]
        self._switches = set(switches)

    def __enter__(self) -> Upgrade:
        try:
            for one in self.services:
                one.listening()
            self._shared_out()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.services:
            one.close()

    def _shared_out(self) -> None:
        eventually(lambda: all(one.owned() for one in self.services), "each has a switch", PATIENCE_S)

    def replace_each(self) -> None:
        """Stop one and start it anew, then the other; each time until both have switches again."""
        for one, other in (self.services, self.services[::-1]):
            one.stop()
            eventually(lambda other=other: other.owned() == self._switches, "the other has all", PATIENCE_S)
            one.start()
            one.listening()
            self._shared_out()

    def records(self) -> Counter[str]:
        """How many call records there are of each leg, in the files of both."""
        lines = [line for path in self._records.values() for line in path.read_text().splitlines()]
        return Counter(json.loads(line)["leg_id"] for line in lines)

    def all_recorded(self, load: Load) -> None:
        """Each call has one record, by one of the two."""
        once = Counter(call.leg for call in load.calls)
        eventually(lambda: self.records().total() >= once.total(), "all are recorded", PATIENCE_S)
        assert self.records() == once

    def unasked(self) -> list[dict[str, Any]]:
        """What the services say of switches that another had without being given them."""
        return [line for one in self.services for line in one.heard("switch is another service's now")]


def replaced_under_calls(there: Upgrade, dials: Mapping[str, Dial], receiver: Receiver, calls: int) -> str:
    """Each service replaced in turn under `calls` calls; what two clients, who ask the services in opposite
    order, the webhooks and the records saw is checked. The figures."""
    followers = [Follower(there.services), Follower(there.services[::-1])]
    load = Load(dials, followers, PAUSE_S)
    try:
        load.begin(calls)
        there.replace_each()
        load.end()
        figures = checked(load, receiver)
        there.all_recorded(load)
        assert not there.unasked()
        assert followers[0].ask("list_legs")["data"] == []
        return figures
    finally:
        load.kill()


def checked(load: Load, receiver: Receiver, *, one_order: bool = True) -> str:
    """Once the load has ended: nothing was lost, told twice or in another order, and no call has fallen. The
    figures, for people. Without `one_order` each leg's events are in order, and no more."""
    first, *others = load.followers
    ids = [one["event_id"] for one in first.events]
    assert len(ids) == len(set(ids)), "told twice"
    for one in others:
        eventually(lambda one=one: len(one.events) == len(first.events), "all were told the same")
        assert _sorted(one.events, one_order) == _sorted(first.events, one_order)
    legs = {call.leg: call for call in load.calls}
    by_leg: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in first.events:
        if "leg_id" in event:
            by_leg[event["leg_id"]].append(event)
    assert by_leg.keys() == legs.keys()
    for leg, events in by_leg.items():
        again = sum(one.unsure["remove_leg_from_room", leg] for one in load.followers)
        _once_and_in_order(leg, [one["type"] for one in events], again)
        _as_answered(leg, events, load.followers)
    for call in load.calls:
        if call.over == "client":
            eventually(lambda call=call: "BYE" in call.peer.seen, f"{call} was told by the switch")
        else:
            assert "BYE" not in call.peer.seen, (call, call.peer.seen)
    hooks = _webhooks(receiver, first.events)
    reasons = Counter(one["cdr"]["reason"] for one in first.events if one["type"] == "leg.disconnected")
    outages = [seconds for one in load.followers for seconds in one.outages]
    refusals: Counter[str] = sum((one.refusals for one in load.followers), Counter())
    return (
        f"{len(legs)} calls, {len(ids)} events to each of {len(load.followers)} clients, {hooks} webhooks, "
        f"{sum(sum(one.done.values()) for one in load.followers)} commands, of which {len(outages)} were"
        f" refused at first, for {max(outages, default=0.0):.1f} s at most; ends {dict(reasons)};"
        f" refused with {dict(refusals)}; connections {[one.servers for one in load.followers]}"
    )


def _sorted(events: list[dict[str, Any]], one_order: bool) -> list[dict[str, Any]]:
    """By leg, and the others by their ids, unless they are in one order anyway."""
    if one_order:
        return events
    return sorted(events, key=lambda one: str(one.get("leg_id") or one["event_id"]))


def _once_and_in_order(leg: str, kinds: list[str], again: int) -> None:
    """`again`: how often it may have been asked out of a room where it was not any more, which is told."""
    assert [kind for kind in kinds if kind in LIFE] == list(LIFE), (leg, kinds)
    assert kinds[0] == "leg.ringing" and kinds[-1] == "leg.disconnected", (leg, kinds)
    inside = False
    for kind in kinds:
        if kind == "leg.joined_room":
            assert not inside, (leg, kinds)
            inside = True
        elif kind == "leg.left_room":
            again -= not inside
            inside = False
    assert not inside and again >= 0, (leg, kinds)


def _as_answered(leg: str, events: list[dict[str, Any]], followers: Sequence[Follower]) -> None:
    """Each command that was answered was told once."""
    told = Counter(one["type"] for one in events)
    for command, kind in TOLD_FOR.items():
        done = sum(one.done[command, leg] for one in followers)
        unsure = sum(one.unsure[command, leg] for one in followers)
        assert done <= told[kind] <= done + unsure, (leg, command, done, unsure, told)


def _webhooks(receiver: Receiver, events: list[dict[str, Any]]) -> int:
    """Every event came, and those of each leg in order, but for repetitions. How many."""
    wanted = {one["event_id"] for one in events}
    receiver.wait(lambda: wanted <= {one.id for one in receiver.taken}, "webhook of each event", PATIENCE_S)
    came: dict[str, list[str]] = defaultdict(list)
    for id, leg in dict.fromkeys((one.id, one.event.get("leg_id", "")) for one in receiver.taken):
        came[leg].append(id)
    sent: dict[str, list[str]] = defaultdict(list)
    for one in events:
        sent[one.get("leg_id", "")].append(one["event_id"])
    came.pop(""), sent.pop("")
    assert came == sent
    return len(receiver.taken)
