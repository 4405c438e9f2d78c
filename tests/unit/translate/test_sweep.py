"""The slow look for calls without a leg, and legs without a call."""

from __future__ import annotations

import pytest

from tests.support.fakes import channel
from vsi_esl.calls import endings
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import RINGING
from vsi_esl.translate import sweep
from vsi_esl.work import clock


def test_when_all_is_well_nothing_is_told_and_little_asked(service):
    service.leg("a")
    assert service.looks() == set()
    assert (service.types, service.switch.told) == ([], ["show channels as json"])


def test_a_call_without_a_leg_becomes_one(service):
    room = service.room()
    service.switch.channels["b"] = channel("b", vsi_room="r")
    service.switch.members["b"] = (room.conference, "3")
    service.looks()
    assert service.types == ["leg.ringing", "leg.connected", "leg.joined_room"]
    assert service.strays("adopted") == 1
    service.looks()
    assert service.strays("adopted") == 1


def test_a_call_whose_leg_was_reported_as_ended_is_ended(service):
    endings.unreported(service.ctx, service.leg(), "unobserved")
    service.looks()
    assert (service.types, service.strays("ended")) == (["leg.disconnected"], 1)
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"]


def test_a_leg_without_a_call_is_reported_gone(service):
    service.leg(there=False)
    service.looks()
    assert service.told("leg.disconnected")[0]["cdr"]["reason"] == "unobserved"
    assert service.strays("gone") == 1


def test_a_leg_that_is_hung_up_and_gone_ends_for_our_reason(service):
    leg = service.leg(there=False)
    leg.ending = "max_duration"
    service.looks()
    assert service.told("leg.disconnected")[0]["cdr"]["reason"] == "max_duration"


def test_a_leg_that_the_list_did_not_show_yet_is_there(service):
    service.leg(there=False)
    service.switch.answers("uuid_exists a", "true")
    service.looks()
    assert (service.types, service.strays("gone")) == ([], 0)


def test_a_leg_that_is_being_dialled_is_not_missed(service):
    service.leg(there=False, state=RINGING, dialling=True)
    service.looks()
    assert service.types == []


def test_a_leg_on_another_switch_is_not_missed(service):
    service.leg(there=False, channel=Channel("other"))
    service.looks()
    assert service.types == []


def test_a_call_that_is_noticed_meanwhile_is_told_once(service, monkeypatch):
    service.switch.channels["b"] = channel("b", "inbound", "ringing")

    def pause(seconds):
        service.report({**service.switch.channels["b"], "Event-Name": "CHANNEL_PARK"})

    monkeypatch.setattr("gevent.sleep", pause)
    sweep.look(service.ctx, service.switch)
    assert (service.types, service.strays("adopted")) == (["leg.ringing"], 0)


def test_a_call_that_ends_meanwhile_is_no_leg(service):
    states = iter(["answered", "hangup"])
    dump = channel("b")
    service.switch.channels["b"] = dump

    def dumped(line):
        dump["Answer-State"] = next(states)
        return service.switch._carry_out(line)

    service.switch.answers("uuid_dump b", dumped)
    service.looks()
    assert service.types == []


@pytest.mark.parametrize(
    "dump",
    [
        channel("b", vsi_leg="other"),
        channel("b", vsi_internal="true"),
        channel("b", signal_bond="bond-of-another-service"),
        channel("b", "inbound", "ringing", signal_bond=""),
    ],
)
def test_calls_of_others_are_left_alone(service, dump):
    service.switch.channels["b"] = dump
    service.looks()
    assert (service.types, service.switch.heard("uuid_kill")) == ([], [])


def test_a_stranger_is_asked_for_once(service):
    service.switch.channels["x"] = channel("x", vsi_leg="")
    others = service.looks()
    assert others == {"x"}
    service.switch.told.clear()
    assert service.looks(others) == {"x"}
    assert service.switch.heard("uuid_dump") == []
    del service.switch.channels["x"]
    assert service.looks(others) == set()


def test_while_the_service_stops_no_call_is_taken(service):
    service.ctx.draining = True
    service.switch.channels["b"] = channel("b")
    service.looks()
    assert (service.types, service.strays("adopted")) == ([], 0)


def test_a_switch_that_does_not_answer_ends_nothing(service):
    service.leg(there=False)
    service.switch.answers("uuid_exists", SwitchUnavailable("no answer"))
    with pytest.raises(SwitchUnavailable):
        service.looks()
    assert service.types == []


def test_what_was_presumed_long_ago_is_forgotten_and_the_oldest_of_too_many(service, monkeypatch):
    monkeypatch.setattr(sweep, "MAX_PRESUMED", 2)
    for number, age in enumerate((sweep.PRESUMED_FOR_S + 1, 30, 20, 10)):
        service.ctx.legs.presumed_ended[f"leg{number}"] = clock.now() - age
    service.looks()
    assert sorted(service.ctx.legs.presumed_ended) == ["leg2", "leg3"]


def test_without_an_interval_nobody_looks(service):
    service.switch.settings = type(service.switch.settings)(sweep_interval=0)
    service.other.settings = service.switch.settings
    assert sweep.start(service.ctx) == []
