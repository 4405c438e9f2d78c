"""An outbound call, from the command until its channel is ours to move."""

from __future__ import annotations

import gevent
import pytest

from tests.support.fakes import channel, settle
from vsi_esl.calls import dialling
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.leg import RINGING
from vsi_esl.switch.lines.targets import Target


def leg_to_dial(service, **fields):
    return service.leg(there=False, state=RINGING, dialling=True, uri="sip:bob@127.0.0.1", **fields)


def dial(service, leg):
    dialling.dial(service.ctx, leg, {}, Target("sofia/vsi/sip:bob@127.0.0.1"))
    settle()


def test_a_call_that_is_parked_is_not_reported_by_its_job(service):
    leg = leg_to_dial(service)
    service.switch.channels["a"] = channel("a")
    dial(service, leg)
    assert (service.types, leg.dialling) == ([], False)


def test_a_call_without_a_channel_has_failed(service):
    leg = leg_to_dial(service)
    service.switch.answers("originate", "-ERR INVALID_URL")
    dial(service, leg)
    assert service.told("leg.disconnected")[0]["cdr"]["reason"] == "invite_failed"
    assert list(service.ctx.legs.presumed_ended) == ["a"]


@pytest.mark.parametrize("result", ["-ERR ORIGINATOR_CANCEL", "-ERR USER_BUSY", ""])
def test_a_job_that_failed_is_not_the_end_of_a_call_that_is_there(service, result):
    """Its channel was taken out of the dialler, and is up."""
    leg = leg_to_dial(service)
    service.switch.channels["a"] = channel("a")
    service.switch.answers("originate", result)
    dial(service, leg)
    assert (service.types, service.ctx.legs.find("a")) == ([], leg)


def test_the_end_of_a_call_is_that_of_its_channel(service):
    """The events of a busy peer come before the result of the job, and nothing behind them."""
    leg = leg_to_dial(service)

    def busy(line):
        service.happens(
            "CHANNEL_HANGUP_COMPLETE",
            "a",
            {
                "Hangup-Cause": "USER_BUSY",
                "variable_sip_term_status": "486",
                "variable_sip_network_ip": "127.0.0.1",
            },
        )
        return "-ERR USER_BUSY"

    service.switch.answers("originate", busy)
    dial(service, leg)
    assert [event["cdr"]["reason"] for event in service.told("leg.disconnected")] == ["busy"]
    assert service.ctx.legs.presumed_ended == {}


def test_dialling_that_is_not_confirmed_ends_nothing(service):
    leg = leg_to_dial(service)
    service.switch.answers("originate", SwitchUnavailable("the connection was lost"))
    dial(service, leg)
    assert (service.types, service.ctx.legs.find("a"), leg.dialling) == ([], leg, False)


def test_the_dialler_lets_go_when_it_parks_not_when_its_job_is_done(service):
    leg = leg_to_dial(service)
    gate = service.switch.late("originate")
    job = gevent.spawn(dialling.dial, service.ctx, leg, {}, Target("sofia/vsi/sip:bob@127.0.0.1"))
    settle()
    waiting = gevent.spawn(service.switch.switch.wait_dialled, leg)
    settle()
    assert (leg.dialling, waiting.ready()) == (True, False)
    service.switch.channels["a"] = channel("a", answer="early")
    service.happens("CHANNEL_PARK", "a")
    assert (leg.dialling, waiting.ready(), job.ready()) == (False, True, False)
    gate.set()
    job.get(timeout=20)
    assert service.types == []


@pytest.mark.parametrize(("limit", "expected"), [(30.0, "90"), (0.0, "86460")])
def test_the_switch_gets_a_limit_that_ours_comes_before(service, limit, expected):
    leg = leg_to_dial(service)
    leg.ring_deadline = limit and leg.created_at + limit
    service.switch.channels["a"] = channel("a")
    dial(service, leg)
    (line,) = service.switch.heard("originate")
    assert f"originate_timeout={expected}," in line
