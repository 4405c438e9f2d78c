"""After each connect: the model becomes what the switch is, and what was missed is told."""

from __future__ import annotations

import json

import gevent
import pytest

from tests.support.fakes import channel, settle
from vsi_esl.calls import endings
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import CONNECTED, EARLY_MEDIA, RINGING, Webhook
from vsi_esl.model.room import Room
from vsi_esl.model.stores import Legs, Rooms
from vsi_esl.storage.state import LegEnd
from vsi_esl.translate import adoption
from vsi_esl.work import clock


def restarted(service):
    """What there is in memory is gone; what is kept is there."""
    service.ctx.legs, service.ctx.rooms = Legs(), Rooms()
    service.events.clear()
    adoption.restore(service.ctx)


def reason(service, leg_id="a"):
    (event,) = service.told("leg.disconnected", leg_id=leg_id)
    return event["cdr"]["reason"]


# -- both have it ----------------------------------------------------------------------------------------


def test_a_call_that_both_have_is_told_nothing_of(service):
    leg = service.leg()
    service.room("r", leg)
    service.reconnects()
    assert (service.types, list(service.ctx.legs)) == ([], [leg])
    assert service.ctx.rooms.get("r").legs == {"a": leg}


def test_a_restart_of_the_service_changes_nothing_either(service):
    leg = service.leg(app_id="app", webhook=Webhook("https://hooks.example/x", "s"))
    service.room("r", leg)
    restarted(service)
    service.reconnects()
    (again,) = service.ctx.legs
    assert (service.types, again is leg) == ([], False)
    assert (again.state, again.room_id, again.webhook) == (CONNECTED, "r", leg.webhook)
    assert again.answered_at == leg.answered_at
    assert service.ctx.rooms.get("r").legs == {"a": again}


def test_it_is_bonded_again_and_reminded_of_what_it_does_not_know(service):
    leg = service.leg(muted=True, app_id="my app")
    service.switch.channels["a"] |= {"variable_vsi_muted": "false", "variable_signal_bond": "of another"}
    service.reconnects()
    assert "uuid_setvar a signal_bond vsi-bond" in service.switch.told
    assert "uuid_setvar a vsi_muted true" in service.switch.told
    assert "uuid_setvar a vsi_app_id my%20app" in service.switch.told
    assert leg.muted


@pytest.mark.parametrize(
    ("before", "answer", "more", "expected"),
    [
        (RINGING, "answered", {}, ["leg.connected"]),
        (EARLY_MEDIA, "answered", {}, ["leg.connected"]),
        (RINGING, "early", {}, ["leg.early_media"]),
        (RINGING, "early", {"inbound": True}, []),
        (RINGING, "early", {"inbound": True, "early_media_asked": True}, ["leg.early_media"]),
        (RINGING, "ringing", {}, []),
        (CONNECTED, "answered", {}, []),
    ],
)
def test_an_answer_that_was_missed_is_told(service, before, answer, more, expected):
    service.leg(state=before, **more)
    service.switch.channels["a"]["Answer-State"] = answer
    service.reconnects()
    assert service.types == expected


def test_a_room_that_it_joined_and_one_that_it_left_unseen_are_told(service):
    leg = service.leg()
    service.room("old", leg)
    new = service.room("new")
    service.switch.members["a"] = (new.conference, "44")
    service.reconnects()
    assert [(event["type"], event["room_id"]) for event in service.events] == [
        ("leg.left_room", "old"),
        ("leg.joined_room", "new"),
    ]
    assert (leg.channel.member_id, leg.target_room) == ("44", "new")


def test_a_leave_that_was_missed_is_told(service):
    leg = service.leg()
    service.room("old", leg)
    leg.target_room = ""
    service.switch.members.clear()
    service.reconnects()
    assert (service.types, leg.room_id) == (["leg.left_room"], "")


@pytest.mark.parametrize(
    ("call_state", "flow", "ours", "theirs", "expected"),
    [
        ("HELD", "sendrecv", False, False, ["leg.hold"]),
        ("ACTIVE", "sendonly", False, False, ["leg.hold"]),
        ("ACTIVE", "sendrecv", True, False, ["leg.unhold"]),
        ("ACTIVE", "sendrecv", False, True, ["leg.unhold"]),
        ("HELD", "inactive", True, False, []),
        ("HELD", "sendonly", False, True, []),
    ],
)
def test_a_hold_that_was_missed_is_told(service, call_state, flow, ours, theirs, expected):
    service.leg(held_by_us=ours, held_by_peer=theirs)
    service.switch.channels["a"] |= {
        "Channel-Call-State": call_state,
        "variable_remote_audio_media_flow": flow,
    }
    service.reconnects()
    assert service.types == expected
    assert service.timers.pending("a", "hold") is (expected != ["leg.unhold"])


def test_relations_are_set_anew(service):
    a, b = service.leg("a", role="x"), service.leg("b", role="y")
    room = service.room("r", a, b, matrix={"x": ["x"], "y": ["y"]})
    room.relations = {(a.channel.member_id, b.channel.member_id), (b.channel.member_id, a.channel.member_id)}
    service.switch.told.clear()
    service.reconnects()
    assert len(service.switch.heard(f"conference {room.conference} relate")) == 2


# -- only the switch has it ------------------------------------------------------------------------------


def test_a_call_that_only_the_switch_has_is_a_new_leg(service):
    service.switch.channels["b"] = channel("b", "inbound", "ringing", current_application="park")
    service.reconnects()
    assert service.types == ["leg.ringing"]
    assert [leg.id for leg in service.ctx.legs] == ["b"]
    assert "sched_del b" in service.switch.told


def test_all_that_happened_to_it_is_told_in_order(service):
    room = service.room()
    service.switch.channels["b"] = channel("b", vsi_room="r")
    service.switch.members["b"] = (room.conference, "3")
    service.reconnects()
    assert service.types == ["leg.ringing", "leg.connected", "leg.joined_room"]


def test_a_call_that_is_between_the_dialplan_and_its_park_announces_itself(service):
    service.switch.channels["b"] = channel("b", "inbound", "ringing", current_application="set")
    service.reconnects()
    assert service.types == []
    service.happens("CHANNEL_PARK", "b")
    assert service.types == ["leg.ringing"]


def test_a_call_that_is_just_ending_is_no_new_leg(service):
    service.switch.channels["b"] = channel("b", answer="hangup")
    service.reconnects()
    assert service.types == []


@pytest.mark.parametrize("mark", [{"vsi_leg": "somebody"}, {"vsi_internal": "true"}])
def test_other_channels_are_left_alone(service, mark):
    service.switch.channels["b"] = channel("b", **mark)
    service.reconnects()
    assert (service.types, service.switch.heard("uuid_kill")) == ([], [])


def test_nothing_new_is_taken_while_the_service_stops(service):
    service.ctx.draining = True
    service.switch.channels["b"] = channel("b")
    service.reconnects()
    assert (service.types, list(service.ctx.legs)) == ([], [])


def test_internal_channels_that_nobody_uses_are_ended(service):
    used, left = "pb-00aa11bb-abc123", "rec-00aa11bb22cc-abc123"
    service.switch.channels |= {id: channel(id, vsi_leg="", vsi_internal="true") for id in (used, left)}
    service.ctx.moments.adopt.subscribe(lambda *_: [used])
    service.reconnects()
    assert service.switch.heard("uuid_kill") == [f"uuid_kill {left} NORMAL_CLEARING"]


def test_a_conference_of_ours_without_a_room_gets_one_back(service):
    """The database was lost; the legs still know the room's id."""
    service.switch.channels["b"] = channel("b", vsi_room="my%20room")
    service.switch.members["b"] = ("vsi-0011223344556677", "3")
    service.reconnects()
    room = service.ctx.rooms.get("my room")
    assert (room.conference, room.sample_rate, room.node) == ("vsi-0011223344556677", 16000, "default")
    assert service.types == ["leg.ringing", "leg.connected", "room.created", "leg.joined_room"]


def test_a_conference_of_somebody_else_gets_no_room(service):
    service.leg()
    service.switch.members["a"] = ("3000", "3")
    service.reconnects()
    assert len(service.ctx.rooms) == 0


# -- what the list lacks at the first look ---------------------------------------------------------------


LIST = "show channels as json"


def looks_again(service, missed):
    """These are there all the time, and listed only at the second look."""
    service.switch.channels |= missed
    service.switch.answers(LIST, json.dumps({"row_count": 0}))
    service.reconnects()
    assert service.events == []
    service.switch.answers(LIST, json.dumps({"rows": [{"uuid": id} for id in service.switch.channels]}))
    service.timers.fire("default", "second look")
    settle()


def test_a_caller_that_came_just_before_the_first_look_is_found_at_the_second(service):
    caller = channel("b", "inbound", "ringing", current_application="park")
    del caller["variable_signal_bond"]
    looks_again(service, {"b": caller})
    assert (service.types, service.strays("adopted")) == (["leg.ringing"], 1)
    assert "sched_del b" in service.switch.told
    assert service.timers.due["default", "second look"] > clock.now() + 0.5


def test_the_calls_of_another_service_are_left_to_it_at_the_second_look(service):
    looks_again(service, {"b": channel("b", signal_bond="of another")})
    assert (service.types, list(service.ctx.legs)) == ([], [])


def test_a_presumed_ended_call_that_is_not_listed_yet_is_ended(service):
    endings.unreported(service.ctx, service.leg(there=False), "unobserved")
    restarted(service)
    looks_again(service, {"a": channel("a")})
    assert (service.types, service.strays("ended")) == ([], 1)
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"]


def test_only_internal_channels_that_this_process_has_not_made_are_ended(service):
    """Those of its own may be just about to be used."""
    left, ours = "pb-00aa11bb-abc123", "rec-00aa11bb22cc-abc123"
    service.switch.placed.add(ours)
    looks_again(service, {id: channel(id, vsi_leg="", vsi_internal="true") for id in (left, ours)})
    assert service.switch.heard("uuid_kill") == [f"uuid_kill {left} NORMAL_CLEARING"]


def test_what_is_being_made_while_the_calls_are_looked_at_is_not_ended(service):
    bot = "pb-00aa11bb-abc123"
    service.switch.placing.add(bot)
    service.switch.channels[bot] = channel(bot, vsi_leg="", vsi_internal="true")
    service.reconnects()
    assert service.switch.heard("uuid_kill") == []


def made(service, dump):
    """This process has made an internal channel."""
    service.switch.placed.add(dump["Unique-ID"])
    service.switch.channels[dump["Unique-ID"]] = dump


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost and made anew"])
def test_what_is_made_while_the_second_look_waits_for_the_list_is_not_ended(service, lost):
    """Nor by a look of the connection before, whose successor knows what is in use."""
    before, meanwhile = (
        channel(id, vsi_leg="", vsi_internal="true")
        for id in ("pb-00aa11bb-abc123", "lv-00aa11bb22cc-abc123")
    )
    service.reconnects()
    made(service, before)
    listed = service.switch.late(LIST)
    gevent.spawn(service.timers.fire, "default", "second look")
    settle()
    if lost:
        service.loses_the_switch()
        service.switch.away = False
        service.ctx.moments.adopt.subscribe(lambda *_: [before["Unique-ID"]])
        service.switch.answers(LIST, service.switch._carry_out)
        service.reconnects()
    made(service, meanwhile)
    listed.set()
    settle()
    assert service.switch.heard("uuid_kill") == []


def test_what_this_process_has_made_is_known_until_it_ends_or_the_switch_is_lost(service):
    one, other = "pb-00aa11bb-abc123", "rec-00aa11bb22cc-abc123"
    service.switch.placed |= {one, other}
    service.happens("CHANNEL_HANGUP_COMPLETE", one)
    assert service.switch.placed == {other}
    service.loses_the_switch()
    assert service.switch.placed == set()


def test_what_is_in_use_is_not_asked_for_again(service):
    bot = "pb-00aa11bb-abc123"
    service.leg()
    service.switch.rows = [{"uuid": bot}, {"uuid": "stranger"}]
    service.ctx.moments.adopt.subscribe(lambda *_: [bot])
    service.reconnects()
    service.switch.told.clear()
    service.timers.fire("default", "second look")
    assert service.switch.told == [LIST]


@pytest.mark.parametrize("fault", [{"away": True}, {"answer": "what?"}])
def test_a_second_look_that_fails_harms_nothing(service, fault):
    service.leg()
    service.reconnects()
    service.switch.away = fault.get("away", False)
    if "answer" in fault:
        service.switch.answers(LIST, fault["answer"])
    service.timers.fire("default", "second look")
    assert (service.types, len(service.ctx.legs)) == ([], 1)


# -- a leg that is presumed to have ended, or being hung up ----------------------------------------------


def test_a_presumed_ended_call_does_not_come_back(service):
    leg = service.leg(there=False)
    endings.unreported(service.ctx, leg, "unobserved")
    service.switch.channels["a"] = channel("a")
    service.reconnects()
    assert service.types == ["leg.disconnected"]
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"]
    assert service.strays("ended") == 1


def test_a_presumed_ended_call_does_not_come_back_after_a_restart_either(service):
    endings.unreported(service.ctx, service.leg(there=False), "unobserved")
    restarted(service)
    service.switch.channels["a"] = channel("a")
    service.reconnects()
    assert (service.types, service.strays("ended")) == ([], 1)


def test_a_leg_that_we_were_hanging_up_is_hung_up_by_the_next_process(service):
    leg = service.leg()
    service.switch.away = True
    endings.hang_up(service.ctx, leg, "max_duration")
    service.switch.away = False
    restarted(service)
    service.switch.told.clear()
    service.reconnects()
    assert service.switch.heard("uuid_kill") == ["uuid_kill a ALLOTTED_TIMEOUT"]
    assert (service.types, list(service.ctx.legs)) == ([], [])
    service.hangs_up("a", "ALLOTTED_TIMEOUT")
    assert reason(service) == "max_duration"


# -- only we know it -------------------------------------------------------------------------------------


def test_a_leg_without_a_call_has_ended_unobserved(service):
    leg = service.leg()
    service.room("r", leg)
    del service.switch.channels["a"]
    service.reconnects(lambda: service.ctx.state.save_fact("seen", str(len(service.ctx.legs))))
    assert service.ctx.state.fact("seen") == "0"  # hidden at once, told a moment later
    assert service.types == ["leg.left_room", "leg.disconnected"]
    assert reason(service) == "unobserved"


def test_a_leg_that_the_process_before_knew_has_ended_unobserved(service):
    leg = service.leg(webhook=Webhook("https://hooks.example/x"))
    service.room("r", leg)
    service.switch.channels.clear()
    service.switch.members.clear()
    restarted(service)
    hooks = []
    service.when_told = lambda event: hooks.append(service.ctx.legs.webhooks["a"].url)
    service.reconnects()
    assert (service.types[-1], reason(service), hooks[-1]) == (
        "leg.disconnected",
        "unobserved",
        "https://hooks.example/x",
    )
    assert service.ctx.state.legs() == {}


def test_the_event_that_was_held_back_knows_better(service):
    service.leg()
    dump = service.switch.channels.pop("a")
    service.reconnects(
        lambda: service.report(
            {
                **dump,
                "Event-Name": "CHANNEL_HANGUP_COMPLETE",
                "Hangup-Cause": "NORMAL_CLEARING",
                "variable_sip_hangup_disposition": "recv_bye",
            }
        )
    )
    assert reason(service) == "remote_bye"
    assert service.ctx.legs.presumed_ended == {}


@pytest.mark.parametrize("event", ["CHANNEL_PARK", "CHANNEL_ANSWER", "CHANNEL_PROGRESS_MEDIA"])
def test_a_call_that_the_look_missed_is_seen_by_its_events(service, event):
    """It was dialled just before the connection was lost, and its channel comes now."""
    leg = service.leg(state=RINGING)
    dump = service.switch.channels.pop("a")

    def comes():
        assert list(service.ctx.legs) == []
        service.switch.channels["a"] = dump
        service.report({**dump, "Event-Name": event})

    service.reconnects(comes)
    assert service.told("leg.disconnected") == []
    assert (list(service.ctx.legs), leg.unseen) == ([leg], False)


def test_a_call_that_one_look_missed_is_there_again_for_the_next(service):
    """The connection was lost before it could be reported gone."""
    leg = service.leg()
    dump = service.switch.channels.pop("a")
    adoption.resync(service.ctx, service.switch)
    service.switch.channels["a"] = dump
    service.reconnects()
    assert (service.types, list(service.ctx.legs), leg.unseen) == ([], [leg], False)


def test_a_call_that_is_being_hung_up_stays_hidden_when_it_is_seen(service):
    leg = service.leg()
    endings.hang_up(service.ctx, leg, "api_hangup")
    dump = service.switch.channels.pop("a")
    service.reconnects(lambda: service.report({**dump, "Event-Name": "CHANNEL_PARK"}))
    assert (list(service.ctx.legs), service.ctx.legs.find("a")) == ([], leg)


def test_a_leg_that_is_being_dialled_need_not_be_there_yet(service):
    leg = service.leg(there=False, state=RINGING, dialling=True)
    service.reconnects()
    assert (service.types, service.ctx.legs.get("a")) == ([], leg)


def test_another_core_has_restarted_with_its_calls(service):
    service.leg()
    service.reconnects()
    service.switch.channels.clear()
    service.switch.facts.core_uuid = "core-2"
    service.reconnects()
    assert reason(service) == "switch_restarted"


def test_a_leg_that_was_hung_up_unseen_ends_for_our_reason(service):
    leg = service.leg()
    service.switch.away = True
    endings.hang_up(service.ctx, leg, "max_duration")
    service.switch.away = False
    service.switch.channels.clear()
    service.reconnects()
    assert reason(service) == "max_duration"


def test_an_end_that_was_waiting_is_told_as_it_was_known(service):
    """The process before died while its last event waited for a recording."""
    leg = service.leg()
    cdr = {"reason": "remote_bye", "duration_total": 7.0, "duration_answered": 5.0}
    service.ctx.state.save_end(leg, LegEnd(cdr, {"mos_score": 4.1}))
    service.switch.channels.clear()
    restarted(service)
    service.reconnects()
    (event,) = service.events
    assert (event["cdr"], event["quality"]) == (cdr, {"mos_score": 4.1})
    assert service.ctx.legs.presumed_ended == {}


def test_an_end_that_waits_in_this_process_is_not_told_by_a_reconnect(service):
    leg = service.leg()
    service.ctx.legs.remove(leg)
    service.ctx.legs.departing.add("a")
    service.switch.channels.clear()
    service.reconnects()
    assert service.types == []


def test_what_is_on_another_switch_is_left_alone(service):
    service.leg("a")
    service.leg("b", there=False, channel=Channel("other", parked=True))
    service.ctx.rooms.add(Room("s", 16000, node="other", matrix={"x": ["x"]}))
    service.switch.channels.clear()
    service.reconnects()
    assert [event["leg_id"] for event in service.events] == ["a"]
    assert service.other.told == []


def test_a_switch_that_goes_away_while_it_is_looked_at_ends_nothing(service):
    leg = service.leg()
    service.switch.answers("conference json_list", SwitchUnavailable("gone again"))
    with pytest.raises(SwitchUnavailable):
        service.reconnects()
    assert (service.types, service.ctx.legs.get("a")) == ([], leg)


def test_a_lost_switch_fails_who_waits_for_it_and_no_others(service):
    lost = []
    service.ctx.moments.lost.subscribe(lambda ctx, *_: lost.append(1))
    with service.switch.waits.expect("joined", "a", "c") as here, service.other.waits.expect("x") as there:
        service.loses_the_switch()
        with pytest.raises(SwitchUnavailable, match="it is away"):
            here.get(timeout=20)
        assert not there.ready()
    assert (lost, service.types) == ([1], [])


def test_a_fault_of_a_feature_does_not_hold_up_readoption(service):
    def broken(*_):
        raise RuntimeError("a fault")

    service.ctx.moments.adopt.subscribe(broken)
    service.leg()
    service.reconnects()
    settle()
    assert len(service.ctx.legs) == 1


def test_nothing_is_ended_that_a_feature_may_use_which_could_not_say_so(service):
    """Say, since the switch did not answer it in time."""

    def unanswered(*_):
        raise SwitchUnavailable("no answer in time")

    bot = channel("pb-00aa11bb-abc123", vsi_leg="", vsi_internal="true")
    service.switch.channels[bot["Unique-ID"]] = bot
    service.ctx.moments.adopt.subscribe(unanswered)
    looks_again(service, {"lv-00aa11bb22cc-abc123": bot, "b": channel("b")})
    assert service.switch.heard("uuid_kill") == []
    assert (service.types, len(service.ctx.legs)) == (["leg.ringing", "leg.connected"], 1)
