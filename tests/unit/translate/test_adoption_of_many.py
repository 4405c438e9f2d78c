"""What re-adoption tells the switch: nothing that its channels show to be done, and not too much at once."""

from __future__ import annotations

from itertools import groupby

import pytest

from tests.support.fakes import channel
from vsi_esl.model.leg import CONNECTED, RINGING
from vsi_esl.switch.actions.calls import HOLD_MUSIC, PARKED
from vsi_esl.switch.esl.writer import MAX_PENDING
from vsi_esl.translate.adoption import ADOPTED_AT_ONCE, ANYTHING


def taken(bond: str) -> dict[str, str]:
    settings = {"signal_bond": bond, "hold_music": HOLD_MUSIC, **PARKED}
    return {f"variable_{key}": value for key, value in settings.items()}


def about(service, id: str) -> list[str]:
    return [
        line for line in service.switch.told if line.startswith((f"uuid_setvar {id} ", f"sched_del {id}"))
    ]


def test_a_channel_that_was_taken_over_is_not_taken_over_again(service):
    service.leg("a")
    service.switch.channels["a"] |= taken(service.switch.bond)
    service.reconnects()
    assert not [line for line in about(service, "a") if "vsi_" not in line]


def test_a_channel_whose_taking_over_was_cut_short_is_kept_first_and_bonded_last(service):
    service.leg("a")
    service.switch.channels["a"] |= taken("") | {"variable_hold_music": "something else"}
    service.reconnects()
    lines = [line for line in about(service, "a") if "vsi_" not in line or "vsi-bond" in line]
    assert lines == [
        "sched_del a",
        f"uuid_setvar a hold_music {HOLD_MUSIC}",
        f"uuid_setvar a signal_bond {service.switch.bond}",
    ]


def test_so_many_legs_at_a_time_that_all_they_need_is_sent(service):
    for number in range(3 * ADOPTED_AT_ONCE):
        service.leg(f"leg-{number}")
    service.reconnects()
    told = service.switch.told[service.switch.told.index("uuid_dump leg-0 json") :]
    runs = [
        list(lines)
        for posted, lines in groupby(told, lambda line: line.startswith(("uuid_setvar", "sched_del")))
        if posted
    ]
    assert told.count(ANYTHING) == 3
    assert sum(map(len, runs)) == 3 * 3 * ADOPTED_AT_ONCE
    assert max(map(len, runs)) < MAX_PENDING / 2


OFFER = "v=0\nm=audio 4000 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n"


@pytest.mark.parametrize(("answer", "count"), [("ringing", 2), ("early", 2), ("answered", 0)])
def test_the_codecs_of_an_offer_are_read_while_one_may_be_chosen(service, answer, count):
    leg = service.leg("a", inbound=True, state=RINGING if answer != "answered" else CONNECTED)
    service.switch.channels["a"] = channel("a", "inbound", answer, switch_r_sdp=OFFER)
    service.ctx.legs.remove(leg)  # as after a restart: only the state knows it
    service.reconnects()
    (again,) = service.ctx.legs
    assert len(again.offered_codecs) == count
