"""What a peer's re-INVITE changes."""

from __future__ import annotations

import pytest

from tests.support.fakes import FakeService, settle
from vsi_esl.errors import SwitchUnavailable


@pytest.fixture
def service():
    service = FakeService()
    yield service
    service.close()


def reinvited(service, *answers):
    """A leg whose peer has sent a re-INVITE; the switch is asked for the codec, and answers so."""
    leg = service.leg("a")
    leg.channel.codec, leg.channel.rate = "PCMU", 8000
    changed = []
    service.ctx.moments.rate_changed.subscribe(lambda ctx, leg: changed.append(leg.channel.rate))
    watched = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_watched_header", "Unique-ID": "a"}
    watched["Header-Name"] = "CSeq"
    for answer in answers:
        service.switch.answers("uuid_getvar a rtp_use_codec_name", answer)
        for message in ("INVITE sip:x SIP/2.0", "ACK sip:x SIP/2.0"):
            service.report(watched | {"SIP-Message": message})
        service.timers.fire("a", "codec")
        settle()
    return leg, changed


@pytest.mark.parametrize(
    ("answers", "codec", "rate", "changes"),
    [
        (["PCMU"], "PCMU", 8000, []),
        (["PCMA"], "PCMA", 8000, []),
        (["G722", "G722", "PCMU"], "PCMU", 8000, [16000, 8000]),
        (["OPUS"], "OPUS", 48000, [48000]),
        (["_undef_"], "PCMU", 8000, []),
        (["-ERR No such channel!"], "PCMU", 8000, []),
        ([SwitchUnavailable("away")], "PCMU", 8000, []),
    ],
)
def test_another_codec(service, answers, codec, rate, changes):
    leg, changed = reinvited(service, *answers)
    assert (leg.channel.codec, leg.channel.rate, changed) == (codec, rate, changes)


def test_a_leg_that_has_ended_meanwhile_is_not_asked(service):
    leg = service.leg("a")
    watched = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_watched_header", "Unique-ID": "a"}
    for message in ("INVITE sip:x SIP/2.0", "ACK sip:x SIP/2.0"):
        service.report(watched | {"Header-Name": "CSeq", "SIP-Message": message})
    assert service.timers.pending("a", "codec")
    leg.ending = "api_hangup"
    service.timers.fire("a", "codec")
    settle()
    assert not service.switch.heard("uuid_getvar")
