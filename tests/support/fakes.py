"""A service for unit tests: the real model, bus, moments, workers and state, on a switch that is made up.

Nothing here waits for a clock. The switch remembers what it was told and answers as a test wants; timers fire
when a test says so; `settle` lets everything run that can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Signal

from vsi_esl import features
from vsi_esl.calls import endings, placement
from vsi_esl.calls.context import Context
from vsi_esl.calls.nodes import Nodes
from vsi_esl.config.settings import Config, ListedSwitch, SwitchSettings
from vsi_esl.delivery.bus import EventBus
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.events.base import Event
from vsi_esl.model.channel import DEFAULT_NODE, Channel
from vsi_esl.model.leg import CONNECTED, Leg
from vsi_esl.model.legtypes import SIP_INBOUND, SIP_OUTBOUND
from vsi_esl.model.room import Room
from vsi_esl.model.stores import Legs, Rooms
from vsi_esl.net.guard import AddressGuard
from vsi_esl.ops.journal import Journal
from vsi_esl.ops.metrics import Metrics
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.storage.state import StateStore
from vsi_esl.storage.thread import StorageThread
from vsi_esl.switch.actions.calls import Switch
from vsi_esl.switch.actions.live import SwitchLive
from vsi_esl.switch.actions.refers import SwitchRefers
from vsi_esl.switch.actions.sound import SwitchSound
from vsi_esl.switch.facts import SwitchFacts
from vsi_esl.work import clock
from vsi_esl.work.clock import SwitchClock
from vsi_esl.work.timers import Timers
from vsi_esl.work.waits import Waits
from vsi_esl.work.workers import Workers

features.declare()  # the translators of switch events
from vsi_esl.translate import adoption, sweep, translate  # noqa: E402

DEADLINE_S = 20.0
POLL_S = 0.002
ROUNDS, TURNS = 3, 20
"""More turns of the event loop than anything here takes that waits for nothing."""
TICK_S = 0.0001
NO_CHANNEL = "-ERR No such channel!"
CONFERENCE = re.compile(r"conference:([\w-]+)@")
PAUSES = (
    (endings, "GRACE_S"),
    (endings, "PURSUIT_S"),
    (placement, "QUIET_BEFORE_LEAVING_S"),
    (adoption, "UNSEEN_GRACE_S"),
    (sweep, "SECOND_LOOK_S"),
)
"""What the service grants the switch, which here does everything at once."""

Answer = str | Exception | Callable[[str], str]


def until(condition: Callable[[], Any], what: str) -> None:
    """Let others run until it holds."""
    with gevent.Timeout(DEADLINE_S, AssertionError(f"not within {DEADLINE_S:g} s: {what}")):
        while not condition():
            gevent.sleep(POLL_S)


def settle() -> None:
    """Let everything run that does not wait for something."""
    for _ in range(ROUNDS):
        for _ in range(TURNS):
            gevent.sleep(0)
        gevent.sleep(TICK_S)  # what was to wait for no time at all is a timer, too


def channel(id: str, kind: str = "outbound", answer: str = "answered", **variables: str) -> dict[str, str]:
    """A dump of a leg's channel. `variables` are set as `variable_NAME`; `answer` is its Answer-State."""
    marks = {"vsi_leg": kind, "signal_bond": FakeSwitch.bond, **variables}
    dump = {"Unique-ID": id, "Answer-State": answer, "Channel-State": "CS_EXECUTE"}
    return dump | {f"variable_{name}": value for name, value in marks.items()}


class FakeSwitch:
    """In place of a Node. It has `channels` (dumps by id) and `members` (conference and member id by
    channel), carries out what it knows, and says +OK to everything else."""

    bond = "vsi-bond"

    def __init__(self, name: str = DEFAULT_NODE) -> None:
        self.name = name
        self.settings = SwitchSettings()
        self.share = ListedSwitch(name)
        self.draining = False
        self.waits = Waits()
        self.switch = Switch(self, self.waits, 0)
        self.sound = SwitchSound(self)
        self.live = SwitchLive(self)
        self.refers = SwitchRefers(self, self.waits)
        self.told: list[str] = []
        """All commands, in order; also those that it could not be told."""
        self.channels: dict[str, dict[str, str]] = {}
        self.members: dict[str, tuple[str, str]] = {}
        self.rows: list[Any] = []
        """Of `show channels`, beside those of the channels there are."""
        self.away = False
        self.resyncing = False
        """Its calls are being re-adopted: it takes posts, and others wait."""
        self.facts = SwitchFacts(core_uuid="core-1", watches_headers=True)
        self.clock = SwitchClock()
        self.placed: set[str] = set()
        self.placing: set[str] = set()
        self.losses = 0
        self.posts_lost = 0
        self.last_error = "it is away"
        self.batches: list[int] = []
        """How many commands came in each write with several."""
        self.report: Callable[[dict[str, Any]], None] = lambda event: None
        self._answers: list[tuple[str, Answer]] = []
        self._next_member = 1

    @property
    def ready(self) -> bool:
        return not (self.away or self.resyncing)

    def lost_since(self, losses: int) -> bool:
        return not self.ready or self.losses != losses

    @property
    def takes_posts(self) -> bool:
        return not self.away

    def wait_ready(self, timeout: float) -> bool:
        return self.ready

    def answers(self, start: str, answer: Answer) -> None:
        """From now on, what begins so is answered so (or by what a call with the line returns), or fails."""
        self._answers.insert(0, (start, answer))

    def late(self, start: str) -> Signal:
        """From now on, what begins so is carried out when the flag is set that is returned."""
        gate = Signal()

        def wait(line: str) -> str:
            assert gate.wait(DEADLINE_S), f"nobody let it go on: {line}"
            return self._carry_out(line)

        self.answers(start, wait)
        return gate

    def heard(self, start: str) -> list[str]:
        """What it was told that begins so."""
        return [line for line in self.told if line.startswith(start)]

    # -- as SwitchNode ---------------------------------------------------------------------------------------

    def command(self, text: str, *, then: Sequence[str] = (), timeout: float | None = None) -> str:
        answer = self._answer(text)
        self.post(*then)
        return answer

    def command_many(self, lines: Sequence[str], timeout: float | None = None) -> list[str]:
        self.batches.append(len(lines))
        return [self._answer(line) for line in lines]

    def post(self, *lines: str) -> None:
        self.told += lines
        if self.away:
            self.posts_lost += len(lines)
            return
        for line in lines:
            self._carry_out(line)

    def job(self, text: str, timeout: float | None = None) -> str:
        return self._answer(text)

    def set_up(self, lines: Sequence[str], *, files: bool = False) -> list[tuple[str, float]]:
        return [(self._answer(line), clock.now()) for line in lines]

    def execute(self, channel: str, application: str, argument: str) -> str:
        return self._answer(f"execute {channel} {application} {argument}")

    def message(self, channel: str, headers: dict[str, str]) -> str:
        return self._answer(f"sendmsg {channel} {' '.join(headers.values())}")

    def notify(self, headers: dict[str, str]) -> None:
        self._answer(f"sendevent NOTIFY {' '.join(headers.values())}")

    def require(self, *modules: str) -> None:
        pass

    # -- what it does ------------------------------------------------------------------------------------

    def _answer(self, line: str) -> str:
        self.told.append(line)
        if self.away:
            raise SwitchUnavailable("not connected to the switch: it is away")
        for start, answer in self._answers:
            if line.startswith(start):
                if isinstance(answer, Exception):
                    raise answer
                return answer(line) if callable(answer) else answer
        return self._carry_out(line)

    def _carry_out(self, line: str) -> str:
        verb, _, rest = line.partition(" ")
        name = rest.partition(" ")[0]
        if verb == "uuid_exists":
            return "true" if name in self.channels else "false"
        if verb == "uuid_dump":
            return json.dumps(self.channels[name]) if name in self.channels else NO_CHANNEL
        if line == "show channels as json":
            return json.dumps({"rows": [*({"uuid": id} for id in self.channels), *self.rows]})
        if line == "conference json_list":
            return json.dumps(self._conferences()) if self.members else "-ERR No active conferences."
        if verb in ("uuid_kill", "uuid_transfer") and name not in self.channels:
            return NO_CHANNEL
        made = re.search(r"origination_uuid=([\w-]+).*'park' inline", line)
        if made:
            self.channels[made[1]] = {"Unique-ID": made[1], "variable_vsi_internal": "true"}
            gevent.spawn(self.report, self.channels[made[1]] | {"Event-Name": "CHANNEL_PARK"})
        elif found := CONFERENCE.search(line):
            made = re.search(r"origination_uuid=([\w-]+)", line)
            self.moved(made[1] if made else name, found[1])
        elif verb == "uuid_transfer" and "park" in rest:
            self.moved(name, "")
            gevent.spawn(self.report, self.channels[name] | {"Event-Name": "CHANNEL_PARK"})
        return "+OK"

    def moved(self, id: str, conference: str) -> None:
        """A channel goes into a conference (or with "" out of any), and that is reported."""
        old, member = self.members.pop(id, ("", ""))
        events = [("del-member", old, member)] if old else []
        if conference:
            member = str(self._next_member)
            self._next_member += 1
            self.members[id] = (conference, member)
            events.append(("add-member", conference, member))
        for action, name, number in events:
            event = {"Event-Name": "CUSTOM", "Event-Subclass": "conference::maintenance", "Action": action}
            event |= {"Unique-ID": id, "Conference-Name": name, "Member-ID": number}
            gevent.spawn(self.report, event | {"Speak": "true", "Hear": "true"})

    def _conferences(self) -> list[dict[str, Any]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for id, (conference, member) in self.members.items():
            found.setdefault(conference, []).append({"uuid": id, "id": int(member), "flags": {}})
        return [
            {"conference_name": name, "rate": 16000, "members": members} for name, members in found.items()
        ]


class TimersByHand(Timers):
    """Timers that fire when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.due: dict[tuple[str, str], float] = {}
        """When each was to fire that was ever set, by owner and name."""
        self._actions: dict[tuple[str, str], tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def at(self, owner: str, name: str, when: float, action: Callable[..., Any], *args: Any) -> None:
        super().at(owner, name, clock.now() + 3600, action, *args)
        self.due[owner, name] = when
        self._actions[owner, name] = action, args

    def fire(self, owner: str, name: str) -> None:
        """Its time has come."""
        assert self.pending(owner, name), f"no timer {name} of {owner}"
        self.cancel(owner, name)
        action, args = self._actions[owner, name]
        action(*args)


class FakeService:
    """A Context on a FakeSwitch, and what its clients were told. There is a second switch, `other`, on which
    nothing is. No feature is part of it, unless a test registers it."""

    def __init__(self, config: Config | None = None) -> None:
        self.switch = FakeSwitch()
        self.other = FakeSwitch("other")
        self.timers = TimersByHand()
        self.events: list[dict[str, Any]] = []
        """What clients were told, in order."""
        self.when_told: Callable[[Event], None] = lambda event: None
        """Called at the moment at which an event is told."""
        self._thread = StorageThread()
        self.ctx = Context(
            config=config or Config(),
            legs=Legs(),
            rooms=Rooms(),
            bus=EventBus(""),
            history=SimpleNamespace(),
            nodes=Nodes([self.switch, self.other]),
            workers=Workers(),
            timers=self.timers,
            state=StateStore(":memory:", self._thread),
            metrics=Metrics(),
            webhooks=SimpleNamespace(guard=AddressGuard(())),
        )
        self._journal = Journal()
        self.ctx.provide(self._journal)
        self.ctx.bus.add_sink(self._told)
        for node in (self.switch, self.other):
            node.report = partial(translate, self.ctx, node)

    def close(self) -> None:
        self.timers.stop()
        self.ctx.moments.stop(self.ctx)
        self.ctx.workers.stop()
        self.ctx.state.close()
        self._thread.stop(2)
        self._journal.close()

    def _told(self, event: Event, event_id: str, frame: bytes) -> None:
        self.when_told(event)
        self.events.append(json.loads(frame))

    # -- what there is ---------------------------------------------------------------------------------------

    def leg(self, id: str = "a", *, there: bool = True, inbound: bool = False, **fields: Any) -> Leg:
        """A connected leg that is known and saved, with its channel, unless it is not `there`."""
        fields = {"state": CONNECTED, "channel": Channel(parked=True), **fields}
        leg = Leg(id, SIP_INBOUND if inbound else SIP_OUTBOUND, clock.now() - 10, **fields)
        leg.answered_at = clock.now() - 5 if leg.state == CONNECTED else 0.0
        self.ctx.legs.add(leg)
        self.ctx.state.save_legs([leg])
        if there:
            self.switch.channels[id] = channel(id, "inbound" if inbound else "outbound")
        return leg

    def room(self, id: str = "r", *legs: Leg, **fields: Any) -> Room:
        """A room that is known and saved, and has these legs."""
        room = Room(id, **{"sample_rate": 16000, **fields})
        self.ctx.rooms.add(room)
        self.ctx.state.save_room(room)
        for leg in legs:
            leg.target_room = id
            self.switch.moved(leg.id, room.conference)
        settle()
        self.events.clear()
        return room

    # -- what the switch reports -----------------------------------------------------------------------------

    def report(self, event: dict[str, Any]) -> None:
        """An event of the switch."""
        self.switch.report(event)

    def happens(self, name: str, id: str, headers: dict[str, str] | None = None) -> None:
        """An event of a channel, with what its dump has, and all that follows from it."""
        self.report(
            {**self.switch.channels.get(id, {}), "Event-Name": name, "Unique-ID": id, **(headers or {})}
        )
        settle()

    def hangs_up(self, id: str, cause: str = "NORMAL_CLEARING", **headers: str) -> None:
        """A call ends, whoever ended it: first it leaves its conference."""
        self.switch.moved(id, "")
        settle()
        named = {f"variable_{name}": value for name, value in headers.items()}
        self.happens("CHANNEL_HANGUP_COMPLETE", id, {"Hangup-Cause": cause, **named})
        self.switch.channels.pop(id, None)

    def reconnects(self, between: Callable[[], None] = lambda: None) -> None:
        """The connection is there anew: calls are re-adopted; `between` is run when events flow again."""
        self.switch.resyncing = True
        finish = adoption.resync(self.ctx, self.switch)
        between()
        if finish is not None:
            finish()
        self.switch.resyncing = False
        settle()

    def looks(self, others: Iterable[str] = ()) -> set[str]:
        """The slow look at the switch."""
        found = sweep.look(self.ctx, self.switch, set(others))
        settle()
        return found

    def loses_the_switch(self) -> None:
        self.switch.away = True
        adoption.lost(self.ctx, self.switch)
        settle()

    # -- what came of it -------------------------------------------------------------------------------------

    @property
    def types(self) -> list[str]:
        """The types of the events that clients were told, in order."""
        return [event["type"] for event in self.events]

    def told(self, kind: str, **members: Any) -> list[dict[str, Any]]:
        """The events of a type, of those with these members."""
        return [event for event in self.events if event["type"] == kind and members.items() <= event.items()]

    def wait_for(self, kind: str) -> dict[str, Any]:
        """The first event of a type, once it is told."""
        until(lambda: self.told(kind), f"{kind}, but {self.types}")
        return self.told(kind)[0]

    def strays(self, outcome: str) -> float:
        """How many calls without a leg, or legs without a call, were found and dealt with so."""
        value: float = self.ctx.metrics.strays.labels(outcome)._value.get()
        return value


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grant the switch no time."""
    for module, name in PAUSES:
        monkeypatch.setattr(module, name, 0)


def sound_config(directory: Path) -> Config:
    """Settings with recordings and the spool below this directory."""
    recordings, spool = directory / "recordings", directory / "spool"
    recordings.mkdir()
    return Config().having(RecordingSettings(dir=str(recordings)), PlaybackSettings(spool_dir=str(spool)))
