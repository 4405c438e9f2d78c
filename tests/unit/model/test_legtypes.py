"""The types of legs, and what they do not have."""

from __future__ import annotations

import pytest

from vsi_esl.errors import Conflict, Internal, Invalid
from vsi_esl.model.legtypes import (
    LEG_TYPES,
    SIP_INBOUND,
    SIP_OUTBOUND,
    WHATSAPP_IN,
    WHATSAPP_OUT,
    may,
    require,
)


@pytest.mark.parametrize("kind", [SIP_INBOUND, SIP_OUTBOUND])
def test_sip_legs_have_every_command(kind):
    assert not LEG_TYPES[kind].refusals
    require(kind, "hold_leg")


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        ("hold_leg", Conflict, "hold is not supported for WhatsApp legs"),
        ("unhold_leg", Conflict, "hold is not supported for WhatsApp legs"),
        ("leg_transfer", Conflict, "transfer is not supported for WhatsApp legs"),
        ("send_leg_dtmf", Internal, "DTMF send over WhatsApp not yet implemented"),
        ("leg_amd_start", Invalid, "AMD is only supported on SIP legs"),
        ("leg_ring", Invalid, "only SIP inbound legs can be rung"),
        ("leg_early_media", Invalid, "only SIP inbound legs support early media"),
    ],
)
@pytest.mark.parametrize("kind", [WHATSAPP_IN, WHATSAPP_OUT])
def test_whatsapp_legs_refuse(kind, command, error, words):
    with pytest.raises(error, match=words):
        require(kind, command)
    assert not may(kind, command)


def test_of_whatsapp_legs_the_inbound_can_be_answered():
    require(WHATSAPP_IN, "answer_leg")
    with pytest.raises(Conflict, match="outbound leg: nothing to answer"):
        require(WHATSAPP_OUT, "answer_leg")
