"""What is kept of a leg for its record: with the leg, and as long as it."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.support.fakes import settle
from vsi_esl.calls import lifecycle
from vsi_esl.cdr import accounts
from vsi_esl.cdr.accounts import Account, Accounts
from vsi_esl.model.leg import RINGING, Leg
from vsi_esl.model.recording import Recording
from vsi_esl.sound.recording.events import RecordingStarted
from vsi_esl.work import clock


@pytest.fixture
def kept(service) -> Accounts:
    one = Accounts(service.ctx)
    service.ctx.bus.add_sink(lambda event, event_id, frame: one.follow(event))
    return one


def after_a_crash(service) -> dict[str, Account]:
    """What the next process knows."""
    one = Accounts(service.ctx)
    one.restore()
    return one._of


def test_what_happens_to_a_leg_is_kept_with_it(service, kept):
    who = {"from_user": "4930", "to_user": "100", "trunk": "t"}
    leg, room = Leg("a", "sip_inbound", clock.now(), **who), service.room()
    lifecycle.appeared(service.ctx, leg)
    leg.call_id, leg.channel.codec, leg.rang_at = "c@x", "PCMU", 5.0
    lifecycle.connected(service.ctx, leg, clock.now())
    lifecycle.entered(service.ctx, leg, room.conference, "5")
    recording = Recording("rec-1", "/r/a.wav", 8000, "", leg_id="a")
    service.ctx.emit(RecordingStarted.of(recording, file=recording.file))
    settle()
    (found,) = after_a_crash(service).values()
    assert found == Account("a", "4930", "100", "t", "c@x", "PCMU", 5.0, recordings=1, rooms=["r"])


def test_nothing_is_left_of_a_leg_that_has_ended(service, kept):
    lifecycle.appeared(service.ctx, leg := Leg("a", "sip_inbound", clock.now()))
    lifecycle.disconnected(service.ctx, leg, "remote_bye", clock.now())
    kept.close("a")
    assert len(kept) == 0
    assert after_a_crash(service) == {}


def test_what_the_version_before_has_kept_is_taken_over_until_the_end(service):
    """It had an entry of its own, which also those of legs that are gone are left of."""
    state = service.ctx.state
    service.leg("a", state=RINGING)
    for one in ("a", "b"):
        state.save_item(accounts.KIND, one, asdict(Account(one, from_=f"of {one}")) | {"later": 1})
    taken = Accounts(service.ctx)
    taken.restore()
    assert taken.of("a").from_ == "of a"
    assert [one["id"] for one in state.items(accounts.KIND)] == ["a"]
    taken.close("a")
    assert state.items(accounts.KIND) == []
