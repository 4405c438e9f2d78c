"""How much each action on sound asks of the switch: every command is a turn of its event socket, and what is
sent together needs one round trip."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.calls import answered, dial, in_room
from tests.support.drivers import eventually
from tests.support.vsi import VsiClient
from vsi_esl.switch.esl import pulse
from vsi_esl.switch.esl.writer import Command, Writer
from vsi_esl.switch.lines import builder

KIND = re.compile(r"(?:bg)?api (?:conference \S+ \S+|uuid_record \S+ \S+|\S+)")
BY_THE_CLOCK = frozenset({pulse.QUESTION, f"api {builder.exists('vsi-bond')}"})
PAIR = [["global_setvar", "originate"], ["conference play"]]
"""A playback with a conference of its own: it has to be there before anything is played into it."""

TALK = ("start-talking", "stop-talking")


class Wire:
    """Notes what is sent to the switch, but for what is sent every few seconds whatever is done."""

    def __init__(self) -> None:
        self._writes: list[list[str]] = []

    def note(self, commands: list[Command]) -> None:
        lines = [one.block.decode().split("\n", 1)[0] for one in commands]
        if kinds := [_kind(line) for line in lines if KIND.match(line) and line not in BY_THE_CLOCK]:
            self._writes.append(kinds)

    def during(self, action: Callable[[], object]) -> list[list[str]]:
        """What was sent meanwhile, write by write."""
        self._writes = []
        action()
        return self._writes


def _kind(line: str) -> str:
    found = KIND.match(line)
    assert found is not None
    words = found[0].split(" ")[1:]
    return words[0] if len(words) == 1 else f"{words[0]} {words[2]}"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    seen = Wire()
    put = Writer.put

    def noted(writer: Writer, commands: list[Command], **more: bool) -> None:
        seen.note(commands)
        put(writer, commands, **more)

    monkeypatch.setattr(Writer, "put", noted)
    return seen


def play(client: VsiClient, kind: str, id: str) -> str:
    playback = client.ok(f"{kind}_play_start", id=id, tone="busy")["playback_id"]
    client.event("playback.started", playback_id=playback)
    return playback


def stop(client: VsiClient, kind: str, id: str, playback: str) -> None:
    client.ok(f"{kind}_play_stop", id=id, playback_id=playback)
    client.event("playback.finished", playback_id=playback)


@pytest.mark.parametrize("kind", ["leg", "room"])
def test_a_playback_is_one_command_to_begin_and_one_to_end(switch, client, wire, kind):
    _, id = (answered if kind == "leg" else in_room)(switch, client)
    id = id if kind == "leg" else "r"
    if kind == "leg":
        stop(client, kind, id, play(client, kind, id))
    playing: list[str] = []
    assert wire.during(lambda: playing.append(play(client, kind, id))) == [["conference play"]]
    volume = {"id": id, "playback_id": playing[0], "volume": 2}
    assert wire.during(lambda: client.ok(f"{kind}_play_volume", **volume)) == [["conference file-vol"]]
    assert wire.during(lambda: stop(client, kind, id, playing[0])) == [["conference stop"]]


def test_the_first_playback_to_a_leg_in_no_room_takes_it_out_of_park(switch, client, wire):
    _, leg = answered(switch, client)
    writes = wire.during(lambda: play(client, "leg", leg))
    assert writes == [["uuid_transfer", "uuid_setvar"], ["conference play"]]


def test_a_playback_beside_another_takes_two_round_trips(switch, client, wire):
    _, leg = answered(switch, client)
    play(client, "leg", leg)
    playing: list[str] = []
    assert wire.during(lambda: playing.append(play(client, "leg", leg))) == PAIR
    assert wire.during(lambda: stop(client, "leg", leg, playing[0])) == [["uuid_kill"]]


def test_a_playback_for_one_leg_of_a_room_takes_two_round_trips(switch, client, wire):
    _, leg = in_room(switch, client)
    assert wire.during(lambda: play(client, "leg", leg)) == PAIR


def test_the_recording_of_a_leg_is_one_command_each(switch, client, wire):
    _, leg = answered(switch, client)
    for action, sent in (("start", "start"), ("pause", "mask"), ("resume", "unmask"), ("stop", "stop")):
        writes = wire.during(lambda name=f"leg_record_{action}": client.ok(name, id=leg))
        assert writes == [[f"uuid_record {sent}"]]


def test_the_files_of_a_rooms_recording_are_asked_for_together(switch, client, wire):
    in_room(switch, client)
    in_room(switch, client)
    begun = wire.during(lambda: client.ok("room_record_start", id="r", multi_channel=True))
    assert begun == [["originate"], ["uuid_record start"] * 3]
    for action, sent in (("pause", "mask"), ("resume", "unmask")):
        writes = wire.during(lambda name=f"room_record_{action}": client.ok(name, id="r"))
        assert writes == [[f"uuid_record {sent}"] * 3]
    ended = wire.during(lambda: client.ok("room_record_stop", id="r"))
    assert ended == [["uuid_record stop"] * 3, ["uuid_kill"]]


@pytest.mark.parametrize(
    ("name", "opposite", "sent"), [("mute", "unmute", "mute"), ("deaf", "undeaf", "deaf")]
)
def test_what_the_channel_is_to_remember_goes_along(switch, client, wire, name, opposite, sent):
    _, leg = in_room(switch, client)
    change = [[f"conference {sent}", "uuid_setvar"]]
    assert wire.during(lambda: client.ok(f"{name}_leg", id=leg)) == change
    assert wire.during(lambda: client.ok(f"{name}_leg", id=leg)) == [[f"conference {sent}"]]
    back = [[f"conference {opposite}", "uuid_setvar"]]
    assert wire.during(lambda: client.ok(f"{opposite}_leg", id=leg)) == back


def test_a_leg_that_is_dialled_into_its_room_is_one_command_and_so_is_its_end(switch, client, wire):
    dialled = wire.during(lambda: (dial(switch, client, room_id="r"), client.event("leg.joined_room")))
    assert dialled == [["originate"]]
    ended = wire.during(lambda: (client.ok("delete_room", id="r"), client.event("leg.disconnected")))
    assert ended == [["uuid_kill"]]


def test_of_what_happens_in_a_conference_the_switch_tells_who_is_in_it_alone(
    switch, client, service, monkeypatch
):
    node, told = service.ctx.nodes.default, []
    handle = node._on_event
    monkeypatch.setattr(node, "_on_event", lambda event: told.append(event.get("Action")) or handle(event))
    _, leg = in_room(switch, client)
    for command in ("mute_leg", "unmute_leg", "deaf_leg", "undeaf_leg"):
        client.ok(command, id=leg)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    found = set(told)
    assert {"add-member", "del-member"} <= found <= {"add-member", "del-member", None, *TALK}


def test_an_empty_line_has_events_come_and_nothing_else(switch, client, service, monkeypatch):
    _, leg = answered(switch, client)
    node = service.ctx.nodes.default
    events, nudged = node._events, []
    monkeypatch.setattr(events, "ask", lambda *question, **more: None)  # the answers of which are frames too
    nudge = events.nudge
    monkeypatch.setattr(events, "nudge", lambda: nudged.append(1) or nudge())
    eventually(lambda: events.pending == 0, "all answered")
    others = events.frames_read - events.events_read
    client.ok("leg_record_start", id=leg)
    client.ok("leg_record_stop", id=leg)
    client.event("recording.finished")
    eventually(lambda: nudged, "an empty line is sent")  # the recording can be faster than the first one
    assert events.send("api uptime")  # what the switch has to say to an empty line would come before this
    assert events.frames_read - events.events_read == others + 1
    assert node._events is events and node.ready
