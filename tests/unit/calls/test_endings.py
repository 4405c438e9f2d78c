"""Hanging up, and ends that the switch has not reported."""

from __future__ import annotations

import pytest

from tests.support.fakes import NO_CHANNEL, channel, settle
from vsi_esl.calls import endings
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.leg import RINGING
from vsi_esl.work import clock


def hang_up(service, leg, reason="api_hangup"):
    endings.hang_up(service.ctx, leg, reason)
    settle()


def reason(service):
    (event,) = service.told("leg.disconnected")
    return event["cdr"]["reason"]


# -- our own hangups -------------------------------------------------------------------------------------


def test_a_hangup_is_told_when_the_switch_reports_it(service):
    leg = service.leg()
    hang_up(service, leg)
    assert service.types == []
    assert (len(service.ctx.legs), service.ctx.legs.find("a")) == (0, leg)
    service.hangs_up("a", sip_hangup_disposition="send_bye")
    assert reason(service) == "api_hangup"


def test_the_first_reason_wins(service):
    leg = service.leg()
    hang_up(service, leg, "max_duration")
    hang_up(service, leg, "api_hangup")
    assert service.switch.heard("uuid_kill") == ["uuid_kill a ALLOTTED_TIMEOUT"]
    service.hangs_up("a", "ALLOTTED_TIMEOUT")
    assert reason(service) == "max_duration"


def test_the_reason_is_kept_for_the_next_process_before_the_switch_is_told(service):
    leg, seen = service.leg(), []
    service.switch.answers(
        "uuid_kill", lambda line: seen.append(service.ctx.state.legs()["a"].ending) or "+OK"
    )
    hang_up(service, leg, "max_duration")
    assert seen == ["max_duration"]


def test_a_peer_that_hangs_up_at_the_same_time(service):
    """There is no channel any more to hang up: what ended it was not ours."""
    leg = service.leg()
    service.switch.answers("uuid_kill", NO_CHANNEL)
    service.switch.answers("uuid_exists", "true")  # just ending
    hang_up(service, leg, "declined")
    service.hangs_up("a", "CALL_REJECTED", sip_hangup_disposition="recv_bye")
    assert reason(service) == "remote_bye"


def test_a_hangup_whose_cause_is_not_ours_was_not_ours(service):
    """The peer's BYE came between our decision and our command."""
    leg = service.leg()
    hang_up(service, leg, "ring_timeout")
    service.hangs_up("a", "NORMAL_CLEARING", sip_hangup_disposition="recv_bye")
    assert reason(service) == "remote_bye"


def test_a_hangup_while_the_switch_is_away_is_told_when_it_is_back(service):
    leg = service.leg()
    service.switch.away = True
    hang_up(service, leg)
    assert (service.types, service.ctx.legs.find("a")) == ([], leg)
    service.switch.away = False
    service.reconnects()
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"] * 2
    service.hangs_up("a", sip_hangup_disposition="send_bye")
    assert reason(service) == "api_hangup"


def test_a_connection_that_is_lost_again_before_the_hangup_is_repeated(service, capsys):
    leg = service.leg()
    service.switch.away = True
    hang_up(service, leg)
    service.switch.away = False

    def lost(line):
        raise SwitchUnavailable("lost again")

    service.switch.answers("uuid_kill", lost)
    service.reconnects()
    settle()
    assert len(service.switch.heard("uuid_kill")) == 2
    assert capsys.readouterr().err == "", "it is what happens to switches, and no fault of ours"
    assert service.types == []


def test_a_hangup_that_is_not_reported_is_repeated_for_as_long_as_the_call_is_there(service):
    leg = service.leg()
    hang_up(service, leg)
    for _ in range(2):
        service.timers.fire("a", "report")
        settle()
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"] * 3
    assert service.types == []
    del service.switch.channels["a"]
    service.timers.fire("a", "report")
    settle()
    assert reason(service) == "api_hangup"


def test_a_hangup_that_is_not_reported_is_not_repeated_to_a_switch_that_is_away(service):
    leg = service.leg()
    hang_up(service, leg)
    service.switch.away = True
    service.timers.fire("a", "report")
    settle()
    assert len(service.switch.heard("uuid_kill")) == 1
    assert service.timers.pending("a", "report")


# -- a leg that is being dialled -------------------------------------------------------------------------


def test_a_call_is_pursued_that_is_hung_up_before_it_has_a_channel(service):
    leg = service.leg(there=False, state=RINGING, dialling=True)
    kills = iter([NO_CHANNEL, NO_CHANNEL, "+OK"])
    service.switch.answers("uuid_kill", lambda line: next(kills))
    hang_up(service, leg)
    assert len(service.switch.heard("uuid_kill")) == 3
    assert service.types == []
    service.hangs_up("a", sip_hangup_disposition="send_cancel")
    assert reason(service) == "api_hangup"


def test_a_call_that_never_gets_a_channel_is_reported_when_its_dialling_is_over(service):
    leg = service.leg(there=False, state=RINGING, dialling=True)
    endings.hang_up(service.ctx, leg, "api_hangup")
    settle()
    assert service.types == []
    leg.dialling = False
    settle()
    assert reason(service) == "api_hangup"
    assert leg.outrun


def test_a_call_whose_channel_comes_just_as_its_dialling_is_over(service):
    leg = service.leg(there=False, state=RINGING, dialling=True)

    def kill(line):
        if leg.dialling:
            leg.dialling = False
            return NO_CHANNEL
        return "+OK"

    service.switch.answers("uuid_kill", kill)
    hang_up(service, leg)
    assert service.types == []
    assert len(service.switch.heard("uuid_kill")) == 2


def test_the_pursuit_ends_with_the_connection(service):
    leg = service.leg(there=False, state=RINGING, dialling=True)
    endings.hang_up(service.ctx, leg, "api_hangup")
    service.switch.away = True
    settle()
    tried = len(service.switch.heard("uuid_kill"))
    settle()
    assert (len(service.switch.heard("uuid_kill")), service.types) == (tried, [])


# -- legs that are presumed to have ended ----------------------------------------------------------------


def test_nothing_is_presumed_of_a_call_that_is_there(service):
    assert not endings.unless_there(service.ctx, service.leg(), "invite_failed")
    assert service.types == []


def test_nothing_is_presumed_while_the_switch_cannot_be_asked(service):
    leg = service.leg(there=False)
    service.switch.away = True
    assert not endings.unless_there(service.ctx, leg, "invite_failed")
    assert service.types == []


def test_the_report_of_the_switch_is_waited_for_and_outranks_what_is_presumed(service, monkeypatch):
    leg = service.leg(there=False)
    monkeypatch.setattr(endings, "GRACE_S", 0.01)

    def gone(line):
        service.report(
            {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": "a", "Hangup-Cause": "USER_BUSY"}
        )
        return "false"

    service.switch.answers("uuid_exists", gone)
    assert not endings.unless_there(service.ctx, leg, "invite_failed")
    assert reason(service) == "remote_bye"
    assert service.ctx.legs.presumed_ended == {}


@pytest.mark.parametrize("event", ["CHANNEL_PARK", "CHANNEL_ANSWER"])
def test_a_presumed_ended_call_that_comes_back_is_ended(service, event):
    leg = service.leg(there=False)
    assert endings.unless_there(service.ctx, leg, "invite_failed")
    service.switch.channels["a"] = channel("a")
    service.happens(event, "a")
    assert service.switch.heard("uuid_kill") == ["uuid_kill a NORMAL_CLEARING"]
    assert (service.types, service.ctx.legs.find("a")) == (["leg.disconnected"], None)
    assert service.strays("ended") == 1


def test_what_is_presumed_is_remembered_until_the_switch_confirms_it(service):
    endings.unless_there(service.ctx, service.leg(there=False), "invite_failed")
    assert [item["id"] for item in service.ctx.state.items(endings.PRESUMED)] == ["a"]
    service.ctx.legs.presumed_ended.clear()
    endings.restore(service.ctx)  # as the next process
    assert list(service.ctx.legs.presumed_ended) == ["a"]
    service.hangs_up("a")
    assert service.ctx.legs.presumed_ended == {}
    assert service.ctx.state.items(endings.PRESUMED) == []
    assert service.types == ["leg.disconnected"]


def test_another_call_is_not_refused(service):
    service.switch.channels["b"] = channel("b", "inbound", "ringing")
    service.happens("CHANNEL_PARK", "b")
    assert (service.types, service.switch.heard("uuid_kill")) == (["leg.ringing"], [])


def test_an_end_is_presumed_before_it_is_told(service):
    """A crash in between must not let the call come back behind its own end."""
    seen = []
    service.when_told = lambda event: seen.append(len(service.ctx.state.items(endings.PRESUMED)))
    endings.unreported(service.ctx, service.leg(), "unobserved")
    assert seen == [1]
    assert service.ctx.legs.presumed_ended["a"] <= clock.now()
