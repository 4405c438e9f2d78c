"""A service that has stood still, and what came meanwhile: it is read before anybody is told that it did not
come, and it happened when it happened."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from tests.support.fakes import NO_CHANNEL, FakeService, settle
from tests.support.stalls import comes_while_still
from vsi_esl.calls import endings, lifecycle, placement
from vsi_esl.calls.moments import Awaited
from vsi_esl.model.leg import RINGING
from vsi_esl.translate import adoption, sweep
from vsi_esl.work import clock
from vsi_esl.work.timers import Timers

STILL_S = 0.4
IN_S = 0.2
SAID = {"variable_sip_hangup_disposition": "recv_refuse", "variable_sip_term_status": "486"}


@pytest.fixture
def service() -> Iterator[FakeService]:
    one = FakeService()
    one.ctx.timers = Timers()
    yield one
    one.ctx.timers.stop()
    one.close()


def ends(service: FakeService, id: str = "a") -> None:
    """What the switch has said meanwhile."""
    busy = {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": id, "Hangup-Cause": "USER_BUSY"}
    service.report({**busy, **SAID})


def reason(service: FakeService) -> str:
    return str(service.wait_for("leg.disconnected")["cdr"]["reason"])


def test_a_call_that_was_answered_in_time_is_not_hung_up_for_ringing_too_long(service):
    leg = service.leg(state=RINGING)
    leg.ring_deadline = clock.now() + IN_S
    placement.arm_ring_timeout(service.ctx, leg)
    comes_while_still(STILL_S, lambda: service.happens("CHANNEL_ANSWER", "a"))
    service.wait_for("leg.connected")
    settle()
    assert service.switch.heard("uuid_kill") == []


def test_a_call_that_was_not_is(service):
    leg = service.leg(state=RINGING)
    leg.ring_deadline = clock.now() + IN_S
    placement.arm_ring_timeout(service.ctx, leg)
    comes_while_still(STILL_S, lambda: None)
    gevent.sleep(0.1)
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NO_ANSWER"]


def test_a_call_that_is_gone_ended_for_the_reason_that_the_switch_has_told(service, monkeypatch):
    monkeypatch.setattr(endings, "GRACE_S", IN_S)
    leg = service.leg(state=RINGING)
    service.switch.answers("uuid_exists", "false")
    looking = gevent.spawn(endings.unless_there, service.ctx, leg, "invite_failed")
    settle()
    comes_while_still(STILL_S, lambda: ends(service))
    assert not looking.get(timeout=20)
    assert reason(service) == "busy"


def test_a_leg_that_was_not_seen_anew_ended_for_the_reason_that_the_switch_has_told(service, monkeypatch):
    monkeypatch.setattr(adoption, "UNSEEN_GRACE_S", IN_S)
    service.leg(there=False, state=RINGING)
    adopting = gevent.spawn(service.reconnects)
    settle()
    comes_while_still(STILL_S, lambda: ends(service))
    adopting.get(timeout=20)
    assert reason(service) == "busy"


def test_a_look_at_the_switch_leaves_what_the_switch_has_told_of(service, monkeypatch):
    monkeypatch.setattr(sweep, "SECOND_LOOK_S", IN_S)
    monkeypatch.setattr(endings, "GRACE_S", 0.0)
    service.leg(there=False, state=RINGING)
    looking = gevent.spawn(service.looks)
    settle()
    comes_while_still(STILL_S, lambda: ends(service))
    looking.get(timeout=20)
    assert (reason(service), service.strays("gone")) == ("busy", 0)


def test_the_last_event_of_a_leg_waits_for_what_has_come(service):
    """As for the end of its recording, or of the call that takes its place."""
    known = gevent.event.AsyncResult()
    service.ctx.moments.ended.subscribe(lambda ctx, leg, room_id: [Awaited(known, IN_S, instead_of="busy")])
    leg = service.leg()
    lifecycle.disconnected(service.ctx, leg, "busy", clock.now())
    settle()
    comes_while_still(STILL_S, lambda: known.set("transfer_completed"))
    assert reason(service) == "transfer_completed"


def test_a_leg_is_moved_when_the_switch_has_said_so(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.JOIN_TIMEOUT_S", IN_S)
    service.switch.answers("uuid_transfer", "+OK")
    leg = service.leg()
    moving = gevent.spawn(service.switch.switch.park, leg)
    settle()
    comes_while_still(STILL_S, lambda: service.switch.waits.fulfil("parked", "a"))
    moving.get(timeout=20)


def test_a_peer_that_has_accepted_a_hold_has_answered(service, monkeypatch):
    monkeypatch.setattr("vsi_esl.switch.actions.calls.REINVITE_TIMEOUT_S", IN_S)
    leg = service.leg()
    holding = gevent.spawn(service.switch.switch.hold, leg, True)
    settle()
    comes_while_still(STILL_S, lambda: service.switch.waits.fulfil("reinvite", "a", value=(200, "OK")))
    holding.get(timeout=20)


def test_work_that_was_done_in_time_is_done(service):
    done = gevent.event.AsyncResult()
    asked = gevent.spawn(service.ctx.workers.run, "a", IN_S, done.get)
    settle()
    comes_while_still(STILL_S, lambda: done.set("done"))
    assert asked.get(timeout=20) == "done"
    assert service.ctx.workers.withdrawn == 0


def at(seconds_ago: float) -> dict[str, str]:
    """When the switch fired an event, by its clock, which is right."""
    return {"Event-Date-Timestamp": str(round((clock.now() - seconds_ago) * 1_000_000))}


def learn(service: FakeService) -> None:
    service.switch.clock.learn(at(0))


def press(service: FakeService, way: str, seconds_ago: float) -> None:
    service.happens("DTMF", "a", {"DTMF-Digit": "5", "DTMF-Source": way, **at(seconds_ago)})


def test_a_digit_that_came_two_ways_is_one_whenever_the_second_is_read(service, monkeypatch):
    learn(service)
    service.leg()
    press(service, "RTP", 0)
    monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + 3)
    press(service, "INBAND_AUDIO", 2.9)
    assert len(service.told("dtmf.received")) == 1


def test_two_presses_are_two(service, monkeypatch):
    learn(service)
    service.leg()
    press(service, "RTP", 0)
    monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + 3)
    press(service, "INBAND_AUDIO", 0)
    assert len(service.told("dtmf.received")) == 2


def test_what_is_no_event_happens_now(service):
    learn(service)
    service.leg()
    press(service, "RTP", 5)
    assert abs(clock.happened() - clock.now()) < 1


def test_an_event_that_cannot_be_dealt_with_is_over_as_well(service, monkeypatch):
    learn(service)
    service.leg()
    monkeypatch.setattr(service.ctx.bus, "publish", lambda event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        press(service, "RTP", 5)
    assert abs(clock.happened() - clock.now()) < 1


def test_a_leg_that_is_gone_is_hung_up_no_more(service):
    """It has ended by itself while it was to be hung up for its duration."""
    leg = service.leg()
    leg.max_duration = clock.now() - leg.answered_at + IN_S
    placement.arm_max_duration(service.ctx, leg)
    service.switch.answers("uuid_kill", NO_CHANNEL)
    comes_while_still(STILL_S, lambda: ends(service))
    service.wait_for("leg.disconnected")
    assert service.switch.heard("uuid_kill") == []
