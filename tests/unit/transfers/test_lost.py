"""A peer that answers a report with 481: asked whether it has the call."""

from __future__ import annotations

import pytest

from tests.support.fakes import FakeService, settle
from vsi_esl.calls.moments import Signal
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.transfers import feature, lost


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(lost, "ANSWER_S", 0.001)
    service = FakeService()
    feature.register(service.ctx)
    yield service
    service.close()


def answers(service, leg, status, method):
    service.ctx.moments.signalled(
        service.ctx, leg, Signal(f"SIP/2.0 {status} X", "CSeq", f"7 {method}", True)
    )


@pytest.mark.parametrize(
    ("status", "ended"),
    [("481", True), ("200", False), ("405", False), ("408", False), ("500", False), ("", False)],
)
def test_its_answer_decides(service, status, ended):
    leg = service.leg("a")
    if status:
        service.switch.answers(
            "uuid_send_info a", lambda line: answers(service, leg, status, "INFO") or "+OK Success"
        )
    answers(service, leg, 481, "NOTIFY")
    settle()
    assert service.switch.heard("uuid_send_info") == ["uuid_send_info a"]
    assert (leg.ending == "remote_bye") is ended


@pytest.mark.parametrize("status", [200, 489, 500, 408])
def test_other_answers_to_a_report_say_nothing_of_the_call(service, status):
    leg = service.leg("a")
    answers(service, leg, status, "NOTIFY")
    answers(service, leg, 481, "INVITE")
    settle()
    assert not service.switch.heard("uuid_send_info") and not leg.ending


def test_a_leg_that_is_ending_is_not_asked_about(service):
    leg = service.leg("a")
    leg.ending = "api_hangup"
    answers(service, leg, 481, "NOTIFY")
    settle()
    assert not service.switch.heard("uuid_send_info")


def test_a_switch_that_is_away_ends_nothing(service):
    leg = service.leg("a")
    service.switch.answers("uuid_setvar a fs_send_unsupported_info", SwitchUnavailable("away"))
    answers(service, leg, 481, "NOTIFY")
    settle()
    assert not leg.ending and service.ctx.legs.find("a") is leg


def test_a_peer_is_asked_when_no_other_report_follows(service):
    leg = service.leg("a")
    lost.ask_later(service.ctx, leg)
    settle()
    assert not service.switch.heard("uuid_send_info")
    service.timers.fire("a", lost.TIMER)
    settle()
    assert service.switch.heard("uuid_send_info") == ["uuid_send_info a"] and not leg.ending


def test_a_peer_is_not_asked_when_one_follows(service):
    leg = service.leg("a")
    lost.ask_later(service.ctx, leg)
    lost.need_not_ask(service.ctx, leg)
    assert not service.timers.pending("a", lost.TIMER)


def test_a_peer_is_not_asked_when_the_leg_is_ending(service):
    leg = service.leg("a")
    lost.ask_later(service.ctx, leg)
    leg.ending = "api_hangup"
    service.timers.fire("a", lost.TIMER)
    settle()
    assert not service.switch.heard("uuid_send_info")
