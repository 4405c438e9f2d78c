"""What happens to a leg: the model, the events and what is kept."""

from __future__ import annotations

import pytest
from gevent.event import AsyncResult

from tests.support.fakes import settle, until
from vsi_esl.calls import lifecycle
from vsi_esl.calls.moments import Awaited
from vsi_esl.errors import LegGone, StorageFailed
from vsi_esl.model.leg import CONNECTED, RINGING, Leg
from vsi_esl.model.room import Room
from vsi_esl.storage.state import LegEnd
from vsi_esl.work import clock


def kept(service, leg_id="a"):
    return service.ctx.state.legs().get(leg_id)


def end(service, leg, reason="remote_bye", **more):
    lifecycle.disconnected(service.ctx, leg, reason, clock.now(), **more)
    settle()


# -- told first, saved then ------------------------------------------------------------------------------


def test_a_leg_is_announced_before_it_is_kept(service):
    seen = []
    service.when_told = lambda event: seen.append(kept(service))
    lifecycle.appeared(service.ctx, Leg("a", "sip_inbound", clock.now()))
    assert seen == [None]
    assert kept(service).state == RINGING


def test_an_answer_is_told_before_it_is_kept(service):
    leg = service.leg(state=RINGING)
    seen = []
    service.when_told = lambda event: seen.append(kept(service).state)
    lifecycle.connected(service.ctx, leg, clock.now())
    assert (seen, kept(service).state) == ([RINGING], CONNECTED)


def test_an_end_is_told_before_the_leg_is_forgotten(service):
    leg = service.leg()
    seen = []
    service.when_told = lambda event: seen.append(kept(service) is not None)
    end(service, leg)
    assert (seen, kept(service)) == ([True], None)


def test_joining_and_leaving_are_told_before_they_are_kept(service):
    leg, room, seen = service.leg(), service.room(), []
    service.when_told = lambda event: seen.append(kept(service).room_id)
    lifecycle.entered(service.ctx, leg, room.conference, "5")
    lifecycle.left(service.ctx, leg, room.conference)
    assert (seen, kept(service).room_id) == (["", "r"], "")


def test_a_room_is_kept_before_it_is_announced_and_is_not_there_when_it_cannot_be(service, monkeypatch):
    def full(*_, **__):
        raise StorageFailed("no space left on device")

    service.when_told = lambda event: seen.append(service.ctx.state.rooms())
    seen = []
    lifecycle.room_created(service.ctx, Room("r", 16000))
    assert [room.id for room in seen[0]] == ["r"]
    monkeypatch.setattr(type(service.ctx.state), "save_room", full)
    with pytest.raises(StorageFailed):
        lifecycle.room_created(service.ctx, Room("s", 16000))
    assert service.ctx.rooms.find("s") is None
    assert service.types == ["room.created"]


# -- the end ---------------------------------------------------------------------------------------------


def test_an_end_is_told_once_and_last(service):
    leg = service.leg()
    service.room("r", leg)
    leg.speech_detection = True
    lifecycle.started_speaking(service.ctx, leg)
    end(service, leg, "remote_bye")
    end(service, leg, "api_hangup")
    assert service.types == ["speaking.started", "leg.left_room", "speaking.stopped", "leg.disconnected"]
    assert service.events[-1]["cdr"]["reason"] == "remote_bye"
    assert service.ctx.legs.find("a") is None
    assert service.ctx.rooms.get("r").legs == {}


def test_an_end_that_waits_is_the_last_and_known_to_the_next_process(service):
    """A feature has something to finish: the end is durable meanwhile, and its own event comes behind."""
    report: AsyncResult[None] = AsyncResult()
    service.ctx.moments.ended.subscribe(lambda ctx, leg, room_id: [Awaited(report, 30)])
    leg = service.leg()
    end(service, leg, quality={"mos_score": 4.2})
    assert service.types == []
    assert service.ctx.legs.departing == {"a"}
    assert kept(service).end == LegEnd({**kept(service).end.cdr, "reason": "remote_bye"}, {"mos_score": 4.2})
    report.set(None)
    settle()
    assert service.types == ["leg.disconnected"]
    assert (kept(service), service.ctx.legs.departing) == (None, set())


def test_an_end_does_not_wait_for_ever(service):
    service.ctx.moments.ended.subscribe(lambda ctx, leg, room_id: [Awaited(AsyncResult(), 0.001)])
    end(service, service.leg())
    assert service.wait_for("leg.disconnected")["leg_id"] == "a"


def test_an_end_that_waits_while_the_service_stops_is_left_to_the_next_process(service):
    report: AsyncResult[None] = AsyncResult()
    service.ctx.moments.ended.subscribe(lambda ctx, leg, room_id: [Awaited(report, 30)])
    end(service, service.leg())
    service.ctx.draining = True
    report.set(None)
    settle()
    assert service.types == []
    assert kept(service).end.cdr["reason"] == "remote_bye"


def test_what_the_process_before_knew_of_an_end_is_told_as_it_was(service):
    known = LegEnd(
        {"reason": "remote_bye", "duration_total": 1.5, "duration_answered": 1.0}, {"mos_score": 3}
    )
    end(service, service.leg(), "unobserved", known=known)
    assert (service.events[0]["cdr"], service.events[0]["quality"]) == (known.cdr, known.quality)


def test_who_waits_for_a_leg_that_ends_is_told(service):
    leg = service.leg()
    with service.switch.waits.expect("joined", "a", "c") as joined:
        end(service, leg)
        with pytest.raises(LegGone):
            joined.get(timeout=20)


def test_timers_end_with_the_leg(service):
    leg = service.leg()
    service.timers.at("a", "max_duration", clock.now() + 60, lambda: None)
    end(service, leg)
    assert not service.timers.pending("a", "max_duration")


@pytest.mark.parametrize(("answered", "total", "talked"), [(0.0, 10.0, 0.0), (4.0, 10.0, 6.0)])
def test_durations_of_the_end(service, answered, total, talked):
    leg = service.leg()
    leg.created_at, leg.answered_at = 1000.0, answered and 1000.0 + answered
    lifecycle.disconnected(service.ctx, leg, "remote_bye", 1010.0)
    cdr = service.events[0]["cdr"]
    assert (cdr["duration_total"], cdr["duration_answered"]) == (total, talked)


def test_an_end_dated_before_the_answer_has_no_negative_duration(service):
    leg = service.leg()
    leg.created_at, leg.answered_at = 1000.0, 1000.5
    lifecycle.disconnected(service.ctx, leg, "remote_bye", 1000.48)
    assert service.events[0]["cdr"]["duration_answered"] == 0


# -- rooms -----------------------------------------------------------------------------------------------


def test_a_leave_that_was_missed_is_told_when_the_leg_comes_elsewhere(service):
    leg = service.leg()
    old, new = service.room("old", leg), service.room("new")
    lifecycle.entered(service.ctx, leg, new.conference, "9")
    assert [(event["type"], event["room_id"]) for event in service.events] == [
        ("leg.left_room", "old"),
        ("leg.joined_room", "new"),
    ]
    assert (list(old.legs), list(new.legs), leg.room_id) == ([], ["a"], "new")


def test_the_leave_of_a_conference_that_the_leg_is_not_in_any_more_changes_nothing(service):
    """The report of leaving comes behind that of joining."""
    leg = service.leg()
    old, new = service.room("old", leg), service.room("new")
    lifecycle.entered(service.ctx, leg, new.conference, "9")
    service.events.clear()
    lifecycle.left(service.ctx, leg, old.conference)
    assert (service.types, leg.room_id, leg.channel.conference) == ([], "new", new.conference)


def test_being_reported_twice_in_a_room_is_one_join(service):
    leg, room = service.leg(), service.room()
    for member in ("5", "6"):
        lifecycle.entered(service.ctx, leg, room.conference, member)
    assert service.types == ["leg.joined_room"]
    assert leg.channel.member_id == "6"


def test_the_last_one_out_empties_the_room(service):
    emptied = []
    service.ctx.moments.room_emptied.subscribe(lambda ctx, room: emptied.append(room.id))
    a, b = service.leg("a"), service.leg("b")
    service.room("r", a, b)
    end(service, a)
    assert emptied == []
    end(service, b)
    assert emptied == ["r"]


def test_leaving_a_room_that_is_being_deleted_is_not_told(service):
    leg = service.leg()
    room = service.room("r", leg)
    leg.silent_leave = True
    lifecycle.left(service.ctx, leg, room.conference)
    assert (service.types, leg.room_id) == ([], "")


def test_a_listener_that_leaves_is_forgotten_by_the_relations(service):
    leg = service.leg()
    room = service.room("r", leg)
    mine = leg.channel.member_id
    room.relations = {(mine, "77"), ("77", mine)}
    lifecycle.left(service.ctx, leg, room.conference)
    assert room.relations == {("77", mine)}


def test_flags_that_changed_on_the_way_are_set_on_arrival(service):
    leg = service.leg(muted=True, deaf=True)
    room = service.room()
    lifecycle.entered(service.ctx, leg, room.conference, "5")
    settle()
    assert service.switch.heard("conference ") == [
        f"conference {room.conference} mute 5 quiet",
        f"conference {room.conference} deaf 5 quiet",
    ]


def test_a_role_that_was_given_with_the_add_is_announced_once(service):
    leg, room = service.leg(role="agent", role_given=True), service.room()
    lifecycle.entered(service.ctx, leg, room.conference, "5")
    lifecycle.left(service.ctx, leg, room.conference)
    lifecycle.entered(service.ctx, leg, room.conference, "6")
    assert len(service.told("room.routing_changed", reason="leg_joined")) == 1


# -- speaking and hold -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"speech_detection": False}, {"muted": True}, {"state": RINGING}, {"speaking": True}]
)
def test_speech_that_is_not_reported(service, fields):
    leg = service.leg(**{"speech_detection": True, **fields})
    lifecycle.started_speaking(service.ctx, leg)
    assert service.types == []


def test_silence_is_only_told_after_speech(service):
    leg = service.leg(speech_detection=True)
    lifecycle.stopped_speaking(service.ctx, leg)
    lifecycle.started_speaking(service.ctx, leg)
    lifecycle.stopped_speaking(service.ctx, leg)
    lifecycle.stopped_speaking(service.ctx, leg)
    assert service.types == ["speaking.started", "speaking.stopped"]


def test_hold_of_both_sides_ends_with_the_last(service):
    leg = service.leg()
    leg.held_since = 5.0
    service.timers.at("a", "hold", clock.now() + 60, lambda: None)
    lifecycle.held(service.ctx, leg, by_us=True)
    lifecycle.held(service.ctx, leg, by_peer=True)
    lifecycle.held(service.ctx, leg, by_us=False)
    assert (leg.held, leg.held_since, service.timers.pending("a", "hold")) == (True, 5.0, True)
    lifecycle.held(service.ctx, leg, by_peer=False)
    assert (leg.held, leg.held_since, service.timers.pending("a", "hold")) == (False, 0.0, False)
    assert service.types == ["leg.hold", "leg.hold", "leg.unhold", "leg.unhold"]


def test_the_answer_ends_the_ringing(service):
    leg = service.leg(state=RINGING, ring_deadline=5.0)
    service.timers.at("a", "ring", clock.now() + 60, lambda: None)
    media = []
    service.ctx.moments.media_up.subscribe(lambda ctx, leg: media.append(leg.id))
    lifecycle.connected(service.ctx, leg, clock.now())
    assert (service.timers.pending("a", "ring"), leg.ring_deadline, media) == (False, 0.0, ["a"])


def test_a_fault_of_a_feature_does_not_hold_up_the_end(service):
    def fail(ctx, leg, room_id):
        raise RuntimeError("broken feature")

    service.ctx.moments.ended.subscribe(fail)
    end(service, service.leg())
    until(lambda: service.types == ["leg.disconnected"], "the end")
