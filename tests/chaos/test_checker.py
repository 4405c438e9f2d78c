"""The checker finds nothing in a run in which everything went well, and each fault that it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checker import RULES, check, report
from tests.chaos.history import History, Note
from tests.chaos.story import story

WHOLE = ("one", "two")
LEGS = 12
FILE = "/rec/a.wav"


class Run:
    """Notes of a run, made one after the other."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.t = 100.0
        self.number = 0

    def note(self, who: str, what: str, **more: Any) -> None:
        self.t += 0.1
        self.notes.append({"t": self.t, "who": who, "what": what, **more})

    def tell(self, kind: str, **members: Any) -> None:
        """An event, as everybody gets it."""
        self.number += 1
        event = {"type": kind, "event_id": f"e{self.number}", **members}
        for who in (*WHOLE, "hook", *(["shop"] if members.get("app_id") == "shop" else [])):
            self.note(who, "event", event=event)

    def channel(self, leg: str, name: str) -> None:
        self.note("switch0", "channel", name=name, uuid=leg, channel=f"sofia/vsi/{leg}", direction="inbound")

    def call(self, leg: str) -> None:
        of_leg = {"leg_id": leg, "app_id": "shop" if leg == "leg0" else "other"}
        self.note("one", "asked", number=leg, command="create_leg", payload={})
        self.channel(leg, "CHANNEL_CREATE")
        self.note("one", "answered", number=leg, ok=True, data={"id": leg})
        self.tell("leg.ringing", **of_leg)
        self.channel(leg, "CHANNEL_ANSWER")
        self.tell("leg.connected", **of_leg)
        if leg == "leg1":
            self.room_and_sound(of_leg)
        self.channel(leg, "CHANNEL_HANGUP_COMPLETE")
        self.tell("leg.disconnected", cdr={"reason": "remote_bye"}, **of_leg)
        record = {"leg_id": leg, "event_id": f"e{self.number}"}
        self.note("director", "cdr", record=record)

    def room_and_sound(self, of_leg: Note) -> None:
        self.tell("room.created", room_id="r")
        self.tell("leg.joined_room", room_id="r", **of_leg)
        self.tell("playback.started", playback_id="p", **of_leg)
        self.tell("recording.started", file=FILE, **of_leg)
        self.tell("playback.finished", playback_id="p", **of_leg)
        self.tell("leg.left_room", room_id="r", **of_leg)
        self.tell("recording.finished", file=FILE, **of_leg)
        self.tell("room.deleted", room_id="r")


def good() -> list[Note]:
    run = Run()
    run.note("switch0", "up")
    for who in WHOLE:
        run.note(who, "connected", since="")
    run.note("shop", "connected", since="", app_id="shop")
    run.note("director", "calm")
    run.note("director", "sample", of="service", idle=True, rss=80 << 20, descriptors=30)
    for number in range(LEGS):
        run.call(f"leg{number}")
    run.note("director", "disturbed")
    run.note("director", "fault", fault="kill", on="service")
    run.note("director", "healed", fault="kill", on="service")
    run.note("director", "calm")
    for number in (0, 1):
        run.note("director", "place", of=f"service{number}", address=f"10.0.0.{number}")
    run.note("switch0", "shown", number=1, service="service0")
    run.note("switch0", "command", of="10.0.0.0", line="api uuid_kill a")
    run.note("switch0", "shown", number=2, service="service1")
    run.note("switch0", "command", of="10.0.0.0", line="api uuid_kill b")
    run.note("switch0", "command", of="10.0.0.1", line="api uuid_kill c")
    run.note("switch0", "shown", number=1, service="service0")
    run.note("director", "file", path=FILE, bytes=4000)
    run.note("director", "left", legs=[], rooms=[])
    run.note("switch0", "there", channels=[])
    run.note("director", "sample", of="service", idle=True, rss=90 << 20, descriptors=32)
    return run.notes


def problems(notes: list[Note]) -> set[str]:
    return {problem.rule for problem in check(History(copy.deepcopy(notes)))}


def test_nothing_is_found_in_a_good_run():
    assert check(History(good())) == []


Change = Callable[[list[Note]], None]


def without(who: str, kind: str, leg: str = "leg1") -> Change:
    """An event does not come."""

    def change(notes: list[Note]) -> None:
        gone = [one for one in notes if _is(one, who, kind, leg)]
        assert gone
        notes[:] = [one for one in notes if one not in gone]

    return change


def again(kind: str, id: str, leg: str = "leg1") -> Change:
    """An event comes once more, with this id, to everybody."""

    def change(notes: list[Note]) -> None:
        for note in [one for one in notes if _is(one, "", kind, leg)]:
            event = {**note["event"], "event_id": id or note["event"]["event_id"]}
            notes.append({**note, "t": note["t"] + 0.05, "event": event})

    return change


def late(kind: str, by: float, leg: str = "leg1", who: str = "") -> Change:
    """An event comes so much later (or before)."""

    def change(notes: list[Note]) -> None:
        for note in notes:
            if _is(note, who, kind, leg):
                note["t"] += by

    return change


def ends_as(reason: str, leg: str = "leg1") -> Change:
    """Everybody is told another reason of its end."""

    def change(notes: list[Note]) -> None:
        for note in [one for one in notes if _is(one, "", "leg.disconnected", leg)]:
            note["event"] = {**note["event"], "cdr": {"reason": reason}}

    return change


def having(what: str, *, leg: str = "", first: bool = False, **members: Any) -> Change:
    """A note of another kind says something else."""

    def change(notes: list[Note]) -> None:
        found = [one for one in notes if one["what"] == what and leg in (one.get("uuid", ""), "")]
        found[0 if first else -1].update(members)

    return change


def less(what: str, *, leg: str = "", name: str = "") -> Change:
    """Notes of a kind are missing."""

    def change(notes: list[Note]) -> None:
        before = len(notes)
        notes[:] = [
            one
            for one in notes
            if one["what"] != what
            or leg not in ("", one.get("uuid"), one.get("record", {}).get("leg_id"))
            or name not in ("", one.get("name"))
        ]
        assert len(notes) < before

    return change


def more(who: str, what: str, t: float = 0.0, **members: Any) -> Change:
    """Somebody notes something else; `t` is seconds after the end of the others' notes."""

    def change(notes: list[Note]) -> None:
        notes.append({"t": notes[-1]["t"] + t, "who": who, "what": what, **members})

    return change


def all_of(*changes: Change) -> Change:
    def change(notes: list[Note]) -> None:
        for one in changes:
            one(notes)

    return change


def _is(note: Note, who: str, kind: str, leg: str) -> bool:
    event = note.get("event", {})
    return (
        note["what"] == "event"
        and who in ("", note["who"])
        and event["type"] == kind
        and leg in (event.get("leg_id"), event.get("room_id"))
    )


def stray(*, ends: bool) -> Change:
    """A call that no leg is made of."""
    call = {"uuid": "stray", "channel": "sofia/vsi/stray", "direction": "inbound"}
    changes = [
        more("switch0", "channel", name="CHANNEL_CREATE", **call),
        more("switch0", "channel", 5.0, name="CHANNEL_ANSWER", **call),
    ]
    if ends:
        changes.append(more("switch0", "channel", 5.0, name="CHANNEL_HANGUP_COMPLETE", **call))
    return all_of(*changes)


BROKEN: dict[str, tuple[Change, str]] = {
    "a beginning twice": (again("leg.ringing", "other"), "told twice"),
    "an answer twice": (again("leg.connected", "other"), "told twice"),
    "an end twice": (again("leg.disconnected", "other"), "told twice"),
    "no beginning": (without("", "leg.ringing"), "never begun"),
    "no end": (without("", "leg.disconnected"), "never ended"),
    "no end for one client": (without("two", "leg.disconnected"), "never ended"),
    "an answer before the beginning": (late("leg.connected", -1.0), "before the beginning"),
    "something after the end": (late("leg.left_room", 3.0), "after the end"),
    "in two rooms at once": (again("leg.joined_room", "other"), "not by turns"),
    "left and never joined": (without("", "leg.joined_room"), "not by turns"),
    "joined and never left": (without("", "leg.left_room"), "never over"),
    "a room that stays": (without("", "room.deleted", "r"), "never over"),
    "a recording without an end": (without("", "recording.finished"), "never over"),
    "a playback without an end": (without("", "playback.finished"), "a playback's life"),
    "a playback that ends twice": (again("playback.finished", "other"), "a playback's life"),
    "an event for one client only": (without("two", "leg.joined_room"), "not told to all"),
    "an event that a confined client lacks": (without("shop", "leg.connected", "leg0"), "not told to all"),
    "another order for one client": (late("leg.joined_room", 2.2, who="two"), "another order"),
    "events dropped": (more("two", "dropped", count=3), "events dropped"),
    "no webhook": (without("hook", "leg.joined_room"), "no webhook"),
    "a webhook that no client has": (
        all_of(without("one", "leg.joined_room"), without("two", "leg.joined_room")),
        "webhook alone",
    ),
    "webhooks in another order": (late("leg.connected", 0.9, who="hook"), "webhooks out of order"),
    "a leg without a call": (less("channel", leg="leg3"), "no such call"),
    "an answer that the switch does not know": (
        less("channel", leg="leg3", name="CHANNEL_ANSWER"),
        "never answered",
    ),
    "an end before the call's": (late("leg.disconnected", -3.0), "ended too early"),
    "an end long after the call's": (late("leg.disconnected", 60.0, leg="leg11"), "ended late"),
    "a call that is known to nobody": (stray(ends=True), "known to nobody"),
    "a call that is known to nobody and goes on": (stray(ends=False), "known to nobody"),
    "a channel that is left": (having("there", channels=["x"]), "a channel is left"),
    "a leg that is left": (having("left", legs=["x"]), "legs are left"),
    "a room that is left": (having("left", rooms=["x"]), "rooms are left"),
    "nobody looked at the switch": (less("there"), "not looked at"),
    "nobody looked at the service": (less("left"), "not looked at"),
    "an id that was given out": (having("answered", data={"id": "nobody"}), "answered and forgotten"),
    "no record": (less("cdr", leg="leg2"), "records"),
    "two records": (more("director", "cdr", record={"leg_id": "leg2", "event_id": "e5"}), "records"),
    "a record of another event": (having("cdr", record={"leg_id": "leg11", "event_id": "x"}), "records"),
    "a record of nobody": (more("director", "cdr", record={"leg_id": "x", "event_id": "e"}), "records"),
    "a file that is not there": (less("file"), "no such file"),
    "a file with nothing in it": (
        all_of(having("file", bytes=44), late("recording.started", -3.0)),
        "an empty file",
    ),
    "memory that grows": (having("sample", rss=200 << 20), "memory grows"),
    "descriptors left open": (having("sample", descriptors=90), "descriptors are left open"),
    "a call that is given up though it was answered": (
        ends_as("ring_timeout"),
        "given up though answered",
    ),
    "two owners": (more("switch0", "command", of="10.0.0.0", line="api uuid_kill a"), "two owners"),
    "a switch that shows no fence": (less("shown"), "nobody's"),
    "no faults": (less("fault"), "no run"),
    "no answer": (less("channel", name="CHANNEL_ANSWER"), "no run"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_found(name):
    change, rule = BROKEN[name]
    notes = copy.deepcopy(good())
    change(notes)
    assert rule in problems(notes)


def test_each_rule_can_be_broken():
    """Also by those above alone: of two rules for the same none is needed."""
    found = set()
    for change, wanted in BROKEN.values():
        notes = copy.deepcopy(good())
        change(notes)
        history = History(notes)
        found |= {rule for rule in RULES if wanted in {problem.rule for problem in rule(history)}}
    assert found == set(RULES)


def test_the_same_event_again_is_no_fault():
    notes = good()
    again("leg.disconnected", "")(notes)
    again("leg.joined_room", "")(notes)
    assert problems(notes) == set()


def left_by_request(behind: float) -> list[Note]:
    """A good run, in which a leg is asked out of a room where it is not; told so long after its end."""
    notes = good()
    for note in [one for one in notes if _is(one, "", "leg.disconnected", "leg3")]:
        event = {**note["event"], "type": "leg.left_room", "event_id": "left", "room_id": "r"}
        notes.append({**note, "t": note["t"] + behind, "event": event})
    return notes


@pytest.mark.parametrize("behind", [-0.01, 0.01])
def test_who_was_asked_out_of_a_room_he_was_not_in_leaves_it(behind):
    notes = left_by_request(behind)
    assert problems(notes) & {"not by turns", "after the end"}
    payload = {"leg_id": "leg3", "room_id": "r"}
    more("one", "asked", number="x", command="remove_leg_from_room", payload=payload)(notes)
    assert problems(notes) == set()


def test_what_a_switch_had_said_before_it_stood_still_is_heard_by_some_when_it_goes_on():
    notes = good()
    wanted = ("channel", "leg11", "CHANNEL_HANGUP_COMPLETE")
    (over,) = (one for one in notes if (one["what"], one.get("uuid"), one.get("name")) == wanted)
    since = over["t"]
    over["t"] += 5.0
    assert "ended too early" in problems(notes)
    switch, fault = over["who"], f"stop {over['who']} for 5.0 s"
    notes.append({"t": since + 0.01, "who": "director", "what": "fault", "fault": fault, "on": [switch]})
    notes.append({"t": over["t"] - 0.01, "who": "director", "what": "healed", "fault": fault, "on": [switch]})
    assert problems(notes) == set()


def test_what_a_switch_takes_along_when_it_falls_is_over():
    notes = good()
    less("channel", leg="leg11", name="CHANNEL_HANGUP_COMPLETE")(notes)
    assert "ended too early" in problems(notes)
    end = next(one["t"] for one in notes if _is(one, "one", "leg.disconnected", "leg11"))
    notes.append({"t": end - 0.05, "who": "switch0", "what": "gone"})
    assert problems(notes) == set()


def test_two_services_may_each_have_a_room_of_one_name_and_legs_of_their_own_in_an_order_of_their_own():
    notes = good()
    again("room.created", "other", "r")(notes)
    for note in notes:  # what happened to two legs at once, told in the one order and in the other
        if _is(note, "two", "leg.disconnected", "leg4"):
            note["t"] += 1.15
    assert problems(notes) == {"not by turns", "another order"}
    notes.append({"t": 100.0, "who": "director", "what": "several"})
    assert problems(notes) == set()


def test_two_rooms_of_one_name_are_recorded_each_once():
    """As two services may make them while Redis is away."""
    notes = good()
    about = {"room_id": "r", "app_id": "other"}
    first, second = ({**about, "file": f"/rec/{one}.wav"} for one in "bc")
    more_events = [
        ("recording.started", first),
        ("recording.started", second),
        ("recording.finished", first),
        ("recording.finished", {**second, "file": ""}),
    ]
    for number, (kind, members) in enumerate(more_events):
        for who in (*WHOLE, "hook"):
            joined = next(one for one in notes if _is(one, who, "leg.joined_room", "leg1"))
            event = {"type": kind, "event_id": f"x{number}", **members}
            notes.append(
                {"t": joined["t"] + 0.001 * (number + 1), "who": who, "what": "event", "event": event}
            )
    notes += [{"t": notes[0]["t"], "who": "director", "what": "file", "path": first["file"], "bytes": 9000}]
    assert problems(notes) == {"not by turns"}
    notes.append({"t": 100.0, "who": "director", "what": "several"})
    assert problems(notes) == set()


def test_what_was_told_in_the_last_moment_of_a_service_is_right_all_the_same():
    notes = good()
    created = next(one for one in notes if one["what"] == "channel" and one["uuid"] == "leg11")
    fault = {
        "t": created["t"] + 0.05,
        "who": "director",
        "what": "fault",
        "fault": "kill service0 for 1 s",
        "on": [],
    }
    notes += [fault, {"t": 100.0, "who": "director", "what": "several"}]
    assert problems(notes) == set()
    for one in WHOLE:
        without(one, "leg.disconnected", "leg11")(notes)
    assert "never ended" in problems(notes)


def test_trouble_excuses_an_end_that_is_told_late():
    notes = good()
    late("leg.disconnected", 60.0, leg="leg11")(notes)
    calm = [one for one in notes if one["what"] == "calm"][-1]
    calm["t"] += 60.0
    assert "ended late" not in problems(notes)


def test_trouble_excuses_a_call_that_nobody_knew():
    notes = good()
    calm = [one for one in notes if one["what"] == "calm"][-1]
    stray(ends=True)(notes)
    calm["t"] = notes[-1]["t"]
    assert problems(notes) == set()


def test_who_was_moved_may_be_asked_out_of_the_room_that_he_has_left():
    """leg.left_room is told of it once more."""
    notes = good()
    left = {
        "type": "leg.left_room",
        "event_id": "again",
        "leg_id": "leg1",
        "room_id": "before",
        "app_id": "other",
    }
    for who in (*WHOLE, "hook"):
        joined = next(one for one in notes if _is(one, who, "leg.joined_room", "leg1"))
        notes.append({"t": joined["t"] + 0.001, "who": who, "what": "event", "event": left})
    assert problems(notes) == {"not by turns"}
    asked = {"leg_id": "leg1", "room_id": "before"}
    ask = {"what": "asked", "number": "9", "command": "remove_leg_from_room", "payload": asked}
    notes.append({"t": notes[0]["t"], "who": "one", **ask})
    assert problems(notes) == set()


def test_the_story_of_a_leg_has_what_everybody_noted_of_it_and_the_faults():
    notes = good()
    without("two", "leg.disconnected", "leg11")(notes)
    history = History(notes)
    found = check(history)
    text = "\n".join(report(history, found))
    assert "never ended: leg11: two: no leg.disconnected" in text
    lines = list(story(history, "leg11"))
    assert [line.split()[1] for line in lines if "CHANNEL_ANSWER" in line] == ["switch0"]
    assert any("-- fault: kill" in line for line in lines)
    assert not any("leg3" in line for line in lines)
    assert list(story(history, "x")) == ["x: nobody noted anything"]


def test_a_call_between_two_switches_is_no_leg():
    notes, call = good(), {"uuid": "te-1", "channel": "sofia/vsi_tether/tether@a", "direction": "inbound"}
    more("switch0", "channel", name="CHANNEL_CREATE", **call)(notes)
    more("switch0", "channel", 5.0, name="CHANNEL_ANSWER", **call)(notes)
    assert problems(notes) == set()
