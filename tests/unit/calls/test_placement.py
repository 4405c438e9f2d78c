"""Moving legs, and how long they live."""

from __future__ import annotations

import gevent
import pytest

from tests.support.fakes import settle
from vsi_esl.calls import endings, lifecycle, placement
from vsi_esl.errors import (
    Conflict,
    Internal,
    Invalid,
    LegGone,
    NotSupported,
    StorageFailed,
    SwitchUnavailable,
)
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import EARLY_MEDIA, RINGING
from vsi_esl.protocol.registry import load_commands
from vsi_esl.work import clock


def move(service, leg, room):
    """As a command does it, in the leg's worker; the error if there is one."""
    result = service.ctx.workers.submit(leg.id, placement.move, service.ctx, leg, room)
    settle()
    assert result.ready()
    return result.exception or result.value


# -- moves -----------------------------------------------------------------------------------------------


def test_a_move_is_told_as_the_switch_reports_it(service):
    leg = service.leg()
    old, new = service.room("old", leg), service.room("new")
    assert move(service, leg, new) == "old"
    assert [(event["type"], event["room_id"]) for event in service.events] == [
        ("leg.left_room", "old"),
        ("leg.joined_room", "new"),
    ]
    assert (list(old.legs), list(new.legs)) == ([], ["a"])


def test_a_move_is_over_when_it_is_reported_not_when_it_is_answered(service):
    leg, room = service.leg(), service.room()
    service.switch.answers("uuid_transfer", "+OK")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    assert (moving.ready(), service.types) == (False, [])
    service.switch.moved("a", room.conference)
    settle()
    assert (moving.get(timeout=20), service.types) == ("", ["leg.joined_room"])


def test_a_leg_is_not_moved_to_where_it_is(service):
    leg = service.leg()
    room = service.room("r", leg)
    error = move(service, leg, room)
    assert (type(error), error.message) == (Invalid, "leg already in this room")
    assert len(service.switch.heard("uuid_transfer")) == 0


def test_of_two_adds_to_one_room_the_second_finds_it_done(service):
    leg, room = service.leg(), service.room()
    first = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    second = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    assert first.get(timeout=20) == ""
    assert isinstance(second.exception, Invalid)
    assert service.types == ["leg.joined_room"]


def test_a_move_that_the_switch_refuses_is_undone_in_the_model(service):
    leg = service.leg()
    service.room("old", leg)
    service.switch.answers("uuid_transfer", "-ERR Operation failed")
    error = move(service, leg, service.room("new"))
    assert type(error) is Internal
    assert (leg.target_room, leg.room_id, service.types) == ("old", "old", [])


def test_a_move_that_is_never_reported_is_given_up(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.JOIN_TIMEOUT_S", 0.001)
    leg, room = service.leg(), service.room()
    service.switch.answers("uuid_transfer", "+OK")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    with pytest.raises(SwitchUnavailable, match="did not report it joined"):
        moving.get(timeout=20)
    assert (leg.target_room, service.types) == ("", [])


# -- moves that race the end of the leg ------------------------------------------------------------------


def test_a_leg_that_is_being_hung_up_is_not_moved(service):
    leg, room = service.leg(), service.room()
    endings.hang_up(service.ctx, leg, "api_hangup")
    assert type(move(service, leg, room)) is LegGone
    assert service.switch.heard("uuid_transfer") == []


def test_a_move_that_waited_behind_the_end_of_the_leg(service):
    leg, room = service.leg(), service.room()
    lifecycle.disconnected(service.ctx, leg, "remote_bye", clock.now())
    assert type(move(service, leg, room)) is LegGone


def test_a_leg_that_hangs_up_while_it_is_moved(service):
    leg, room = service.leg(), service.room()
    gate = service.switch.late("uuid_transfer")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    service.hangs_up("a", sip_hangup_disposition="recv_bye")
    gate.set()
    with pytest.raises(LegGone):
        moving.get(timeout=20)
    assert service.types == ["leg.disconnected"]


def test_a_leg_that_hangs_up_between_the_answer_and_the_join(service):
    leg, room = service.leg(), service.room()
    service.switch.answers("uuid_transfer", "+OK")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    service.hangs_up("a", sip_hangup_disposition="recv_bye")
    with pytest.raises(LegGone):
        moving.get(timeout=20)
    assert service.types == ["leg.disconnected"]


def test_a_refused_move_of_a_channel_that_is_just_ending(service):
    """The channel is still there, and says that it is over."""
    leg, room = service.leg(), service.room()
    service.switch.channels["a"]["Answer-State"] = "hangup"
    service.switch.answers("uuid_transfer", "-ERR Operation failed")
    assert type(move(service, leg, room)) is LegGone


def test_a_room_that_is_deleted_while_a_leg_is_on_its_way(service):
    leg, room = service.leg(), service.room()
    gate = service.switch.late("uuid_transfer")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    service.ctx.rooms.remove(room)
    gate.set()
    with pytest.raises(Invalid, match="not found"):
        moving.get(timeout=20)
    settle()
    assert leg.target_room == ""
    assert service.switch.members.get("a", ("",))[0] != room.conference


def test_a_connection_that_is_lost_while_a_leg_is_moved(service):
    leg, room = service.leg(), service.room()
    service.switch.answers("uuid_transfer", "+OK")
    moving = service.ctx.workers.submit("a", placement.move, service.ctx, leg, room)
    settle()
    service.loses_the_switch()
    with pytest.raises(SwitchUnavailable, match="was lost"):
        moving.get(timeout=20)
    assert (leg.target_room, service.ctx.legs.find("a")) == ("", leg)


# -- settling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["api_hangup", ""])
def test_a_leg_in_its_place_is_left_alone(service, ending):
    leg = service.leg()
    service.room("r", leg)
    leg.ending = ending
    placement.settle(service.ctx, leg)
    assert service.switch.heard("uuid_transfer") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"state": RINGING},
        {"state": EARLY_MEDIA, "inbound": True},
        {"ending": "api_hangup"},
    ],
)
def test_legs_that_cannot_be_moved_yet(service, fields):
    leg = service.leg(**fields)
    leg.target_room = service.room().id
    placement.settle(service.ctx, leg)
    assert service.switch.heard("uuid_transfer") == []


def test_an_outbound_leg_with_early_media_joins_the_room_it_is_for(service):
    leg = service.leg(state=EARLY_MEDIA)
    leg.target_room = service.room().id
    placement.settle_soon(service.ctx, leg)
    settle()
    assert service.types == ["leg.joined_room"]


def test_an_add_that_does_not_come_about_is_told_once(service):
    leg = service.leg(role_given=True)
    leg.target_room = service.room().id
    service.switch.answers("uuid_transfer", "-ERR Operation failed")
    placement.settle_soon(service.ctx, leg)
    settle()
    (event,) = service.events
    assert (event["type"], event["command"]) == ("leg.command_failed", "add_to_room")
    assert (leg.target_room, leg.role_given) == ("", False)


def test_an_add_that_fails_with_the_leg_is_not_told(service):
    leg = service.leg(ending="api_hangup")
    placement.add_failed(service.ctx, leg, "too late")
    assert service.types == []


def test_a_leg_that_fell_out_of_its_conference_is_put_back(service):
    leg = service.leg()
    room = service.room("r", leg)
    service.switch.moved("a", "")
    leg.target_room = room.id
    settle()
    leg.target_room = room.id
    service.happens("CHANNEL_PARK", "a")
    assert service.types == ["leg.left_room", "leg.joined_room"]


# -- rooms with routing, held legs -----------------------------------------------------------------------


def test_a_leg_joins_a_routed_room_silent_and_is_opened_behind_its_relations(service):
    a, b = service.leg("a", role="x"), service.leg("b", role="y")
    room = service.room("r", a, matrix={"x": ["x"], "y": ["y"]})
    service.switch.told.clear()
    move(service, b, room)
    join, *rest = [line for line in service.switch.told if line.startswith(("uuid_transfer", "conference"))]
    assert "+flags{mute|deaf}" in join
    words = [line.split()[2] for line in rest]
    assert words.index("relate") < words.index("unmute") < words.index("undeaf")
    assert not b.silenced


def test_a_leg_leaves_a_routed_room_silent(service):
    leg = service.leg("a", role="x")
    room = service.room("r", leg, matrix={"x": ["x"]})
    service.switch.told.clear()
    move(service, leg, None)
    number = next(n for n, line in enumerate(service.switch.told) if line.startswith("uuid_transfer"))
    assert [line.split()[2] for line in service.switch.told[:number] if line.startswith("conference")] == [
        "mute",
        "deaf",
    ]
    assert room.legs == {}


def test_a_leg_whose_relations_fail_is_opened_all_the_same(service):
    a, b = service.leg("a", role="x"), service.leg("b", role="y")
    room = service.room("r", a, matrix={"x": ["x"], "y": ["y"]})
    service.switch.answers(f"conference {room.conference} relate", SwitchUnavailable("no answer"))
    assert type(move(service, b, room)) is SwitchUnavailable
    assert not b.silenced


def test_a_held_leg_is_held_again_where_it_has_been_moved(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.OFF_HOLD_TIMEOUT_S", 0)
    monkeypatch.setattr("vsi_esl.switch.actions.calls.REINVITE_TIMEOUT_S", 0)
    leg = service.leg(held_by_us=True)
    service.switch.answers("uuid_hold", accepted(service, 200))
    move(service, leg, service.room())
    assert service.switch.heard("uuid_hold") == ["uuid_hold a"]
    assert (leg.held, service.types) == (True, ["leg.joined_room"])


def test_a_held_leg_whose_peer_refuses_to_be_held_again_is_told(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.OFF_HOLD_TIMEOUT_S", 0)
    leg = service.leg(held_by_us=True)
    service.switch.answers("uuid_hold a", accepted(service, 488))
    move(service, leg, service.room())
    assert service.types == ["leg.joined_room", "leg.unhold"]
    assert not leg.held


def test_a_held_leg_that_ends_before_it_is_held_again_is_told_of_no_more(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.OFF_HOLD_TIMEOUT_S", 0)
    leg = service.leg(held_by_us=True)

    def ends(line):
        lifecycle.disconnected(service.ctx, leg, "remote_bye", clock.now())
        raise SwitchUnavailable("hold re-INVITE: no answer")

    service.switch.answers("uuid_hold a", ends)
    move(service, leg, service.room())
    assert service.types == ["leg.joined_room", "leg.left_room", "leg.disconnected"]


@pytest.mark.parametrize("name", ["mute_leg", "unmute_leg", "deaf_leg", "undeaf_leg"])
def test_what_is_done_to_a_leg_that_ends_meanwhile_is_told_by_its_end_alone(service, name):
    """The hang-up can come in the same bytes as the switch's reply, and is heard before the waiting greenlet
    is run."""
    muted = name.startswith("un")
    leg = service.leg(muted=muted, deaf=muted)
    service.room("r", leg)

    def ends(line):
        lifecycle.disconnected(service.ctx, leg, "remote_bye", clock.now())
        return "+OK"

    service.switch.answers("conference", ends)
    assert load_commands()[name].handler(service.ctx, id="a")["status"]
    assert service.types[-1] == "leg.disconnected"


@pytest.mark.parametrize("command", ["mute_leg", "room_routing_set"])
def test_a_leg_that_is_being_dialled_comes_as_it_is_to_before_that_is_answered(service, command):
    """Its peer may answer as soon as the client knows."""
    room = service.room("r")
    leg = service.leg(state=RINGING, target_room=room.id)
    gate = service.switch.late("uuid_setvar a vsi_joining")
    payload = {"id": "a"} if command == "mute_leg" else {"room_id": "r", "matrix": {"x": []}}
    asked = gevent.spawn(load_commands()[command].handler, service.ctx, **payload)
    settle()
    assert not asked.ready()
    gate.set()
    asked.get(timeout=20)
    assert leg.muted is (command == "mute_leg") and leg.silenced is not leg.muted


def accepted(service, code):
    """The peer's answer to a re-INVITE, as the switch shows it."""

    def answer(line):
        event = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_watched_header", "Unique-ID": "a"}
        event |= {"SIP-Message": f"SIP/2.0 {code} Words", "Header-Name": "CSeq", "Header-Value": "7 INVITE"}
        gevent.spawn(service.report, event)
        return "+OK"

    return answer


# -- rooms -----------------------------------------------------------------------------------------------


def test_a_room_is_made_when_there_is_none(service):
    room = placement.find_or_create_room(service.ctx, "r", service.leg("a", app_id="app"))
    assert placement.find_or_create_room(service.ctx, "r", service.leg("b", app_id="other")) is room
    assert (service.types, room.app_id, room.node) == (["room.created"], "app", service.switch.name)


def test_a_room_is_on_the_switch_of_its_first_leg_and_takes_no_others(service):
    elsewhere = service.leg("b", there=False, channel=Channel("other"))
    room = service.room()
    placement.find_or_create_room(service.ctx, "r", elsewhere)
    assert room.node == "other"
    assert service.ctx.state.rooms()[0].node == "other"
    elsewhere.target_room = "r"
    with pytest.raises(NotSupported, match="another switch"):
        placement.find_or_create_room(service.ctx, "r", service.leg("a"))
    elsewhere.target_room = ""  # nothing is in it any more, or on its way
    placement.find_or_create_room(service.ctx, "r", service.leg("c"))
    assert room.node == service.ctx.state.rooms()[0].node == service.switch.name


def test_a_room_that_cannot_be_kept_is_not_made(service, monkeypatch):
    def full(*_, **__):
        raise StorageFailed("no space left on device")

    leg = service.leg()
    monkeypatch.setattr(type(service.ctx.state), "save_room", full)
    with pytest.raises(StorageFailed):
        placement.find_or_create_room(service.ctx, "r", leg)
    assert (service.types, len(service.ctx.rooms)) == ([], 0)


@pytest.mark.parametrize(("of", "joins"), [("app", True), ("other", False)])
def test_a_room_made_while_a_new_leg_is_written_is_joined_by_its_own_application_only(
    service, monkeypatch, of, joins
):
    """Whether its client may join the room was asked when there was none."""
    leg = service.leg("a", app_id="app", there=False, target_room="r")
    save, made = type(service.ctx.state).save_legs, []

    def meanwhile(state, legs, **more):
        save(state, legs, **more)
        made.append(service.room(app_id=of))

    monkeypatch.setattr(type(service.ctx.state), "save_legs", meanwhile)
    if joins:
        assert placement.keep_new(service.ctx, leg) is made[0]
    else:
        with pytest.raises(Conflict, match="room r already exists"):
            placement.keep_new(service.ctx, leg)
    assert (leg.id in service.ctx.state.legs()) is joins


def test_a_new_leg_joins_a_room_that_was_there_whoever_made_it(service):
    room = service.room(app_id="other")
    leg = service.leg("a", app_id="app", there=False, target_room="r")
    assert placement.keep_new(service.ctx, leg) is room


def test_a_room_nobody_came_into_is_undone(service):
    room = service.room()
    placement.drop_unused(service.ctx, room)
    placement.drop_unused(service.ctx, room)
    assert service.types == ["room.deleted"]
    assert (service.ctx.rooms.find("r"), service.ctx.state.rooms()) == (None, [])


@pytest.mark.parametrize("why", ["leg", "on its way", "expected", "feature"])
def test_a_room_that_somebody_needs_is_not_undone(service, why):
    leg = service.leg()
    room = service.room("r", *([leg] if why == "leg" else []))
    leg.target_room = room.id if why in ("leg", "on its way") else ""
    room.expected = int(why == "expected")
    service.ctx.moments.room_wanted.subscribe(lambda ctx, room: why == "feature")
    placement.drop_unused(service.ctx, room)
    assert service.ctx.rooms.find("r") is room


# -- how long a leg lives --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "arm", "name", "cause"),
    [
        ({"max_duration": 30.0}, placement.arm_max_duration, "max_duration", "ALLOTTED_TIMEOUT"),
        ({"state": RINGING, "ring_deadline": 5.0}, placement.arm_ring_timeout, "ring", "NO_ANSWER"),
        ({"held_by_peer": True}, placement.arm_hold_limit, "hold", "MEDIA_TIMEOUT"),
    ],
)
def test_a_leg_is_hung_up_at_its_limit(service, fields, arm, name, cause):
    leg = service.leg(**fields)
    arm(service.ctx, leg)
    service.timers.fire("a", name)
    settle()
    assert service.switch.heard("uuid_kill") == [f"uuid_kill a {cause}"]


@pytest.mark.parametrize(
    ("fields", "arm"),
    [
        ({}, placement.arm_max_duration),
        ({"state": RINGING, "max_duration": 30.0}, placement.arm_max_duration),
        ({}, placement.arm_ring_timeout),
        ({}, placement.arm_hold_limit),
    ],
)
def test_a_leg_without_a_limit_has_no_timer(service, fields, arm):
    arm(service.ctx, service.leg(**fields))
    assert service.timers.due == {}


def test_the_duration_counts_from_the_answer(service):
    leg = service.leg(max_duration=30.0)
    placement.arm_max_duration(service.ctx, leg)
    assert service.timers.due["a", "max_duration"] == leg.answered_at + 30


def test_the_hold_counts_from_its_beginning_also_for_the_next_process(service):
    leg = service.leg(held_by_us=True, held_since=100.0)
    placement.arm_hold_limit(service.ctx, leg)
    assert service.timers.due["a", "hold"] == 100.0 + service.ctx.config.media.hold_timeout
    assert "uuid_setvar a vsi_held_since 100.0" in service.switch.told


def test_an_answer_that_does_not_come_about_is_told(service):
    leg = service.leg(state=RINGING, inbound=True)
    leg.target_room = service.room().id
    placement.arm_auto_answer(service.ctx, leg)
    service.timers.fire("a", "auto_answer")
    (event,) = service.told("leg.command_failed")
    assert "no answer within 30 s" in event["error"]


def test_an_answer_that_came_is_not_told_to_be_missing(service):
    leg = service.leg(inbound=True)
    service.room("r", leg)
    placement.arm_auto_answer(service.ctx, leg)
    service.timers.fire("a", "auto_answer")
    assert service.types == []


def test_an_answer_that_the_switch_refuses_is_told_to_who_added_the_leg(service):
    leg = service.leg(state=RINGING, inbound=True)
    leg.target_room = service.room().id
    service.switch.answers("uuid_answer", "-ERR")
    placement.answer(service.ctx, leg, "PCMU")
    (event,) = service.events
    assert event["error"].startswith("auto-answer failed: send 200")
    assert "uuid_setvar a absolute_codec_string PCMU" in service.switch.told
