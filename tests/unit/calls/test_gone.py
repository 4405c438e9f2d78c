"""Commands that the switch refuses because the call is over, of which it has not told yet: the leg's end is
the one thing that is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fakes import NO_CHANNEL, FakeService, settle
from vsi_esl.calls import placement
from vsi_esl.commands import answering, audio
from vsi_esl.model.leg import CONNECTED, RINGING, OfferedCodec

REFUSED = "-ERR Operation failed"
OFFERED = (OfferedCodec("PCMU", 0, 8000, 1),)


@pytest.fixture
def service() -> Iterator[FakeService]:
    one = FakeService()
    yield one
    one.close()


def hold(service: FakeService) -> None:
    audio.hold_leg(service.ctx, "a")


def ring(service: FakeService) -> None:
    answering.leg_ring(service.ctx, "a")


def early_media(service: FakeService) -> None:
    answering.leg_early_media(service.ctx, "a", "PCMU")


def answer_into_a_room(service: FakeService) -> None:
    leg = service.ctx.legs.get("a")
    leg.target_room = "r"
    service.ctx.workers.submit("a", placement.answer, service.ctx, leg, "PCMU")


WAYS = [(hold, CONNECTED), (ring, RINGING), (early_media, RINGING), (answer_into_a_room, RINGING)]
COMMANDS = ("uuid_hold", "uuid_ring_ready", "uuid_pre_answer", "uuid_answer", "uuid_transfer")


def refuse_all(service: FakeService, answer: str) -> None:
    for command in COMMANDS:
        service.switch.answers(command, answer)


@pytest.mark.parametrize(("act", "state"), WAYS)
def test_the_end_of_a_leg_says_it_all(service, act, state):
    service.leg(state=state, inbound=True, offered_codecs=OFFERED)
    refuse_all(service, NO_CHANNEL)
    service.switch.answers("uuid_dump", NO_CHANNEL)
    act(service)
    settle()
    assert service.told("leg.command_failed") == []
    service.report(
        {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": "a", "Hangup-Cause": "NORMAL_CLEARING"}
    )
    service.wait_for("leg.disconnected")
    assert service.told("leg.command_failed") == []


@pytest.mark.parametrize(("act", "state"), WAYS)
def test_of_a_leg_that_is_there_it_is_told_that_it_was_refused(service, act, state):
    service.leg(state=state, inbound=True, offered_codecs=OFFERED)
    refuse_all(service, REFUSED)
    act(service)
    assert REFUSED in service.wait_for("leg.command_failed")["error"]
