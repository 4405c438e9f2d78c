"""What a peer's re-INVITE changes."""

from __future__ import annotations

import pytest

from tests.support.fakes import FakeService, channel, settle
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.translate.legs import leg_from


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


def test_another_codec_on_a_switch_that_does_not_show_what_peers_send(service):
    """It tells of a re-INVITE all the same."""
    leg = service.leg("a")
    leg.channel.codec, leg.channel.rate = "PCMU", 8000
    service.switch.facts.watches_headers = False
    service.switch.answers("uuid_getvar a rtp_use_codec_name", "G722")
    reinvite = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::reinvite"}
    service.report({**reinvite, "Unique-ID": "another"})
    service.report({**reinvite, "Unique-ID": "a"})
    service.timers.fire("a", "codec")
    settle()
    assert (leg.channel.codec, leg.channel.rate) == ("G722", 16000)


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


@pytest.mark.parametrize("inbound", [True, False])
def test_which_tag_is_whose_is_known_over_a_reinvite_and_a_restart(service, inbound):
    """The switch's From and To are those of the last INVITE."""
    leg = service.leg("a", inbound=inbound, state="ringing")
    first = ("theirs", "ours") if inbound else ("ours", "theirs")
    tags = {"variable_sip_call_id": "c", "variable_sip_from_tag": first[0], "variable_sip_to_tag": first[1]}
    service.happens("CHANNEL_ANSWER", "a", tags)
    assert (leg.call_id, leg.local_tag, leg.remote_tag) == ("c", "ours", "theirs")
    remembered = {"vsi_remote_tag": "theirs"} if inbound else {"vsi_local_tag": "ours"}
    if not inbound:
        watched = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_watched_header"}
        watched |= {"Unique-ID": "a", "Header-Name": "CSeq", "Header-Value": "2 INVITE"}
        service.report(watched | {"SIP-Message": "INVITE sip:x SIP/2.0"})
        assert service.switch.heard("uuid_setvar a vsi_local_tag ours")
    turned = {"sip_from_tag": first[1], "sip_to_tag": first[0], "sip_call_id": "c", **remembered}
    dump = channel("a", "inbound" if inbound else "outbound", **turned)
    again = leg_from(service.ctx, service.ctx.nodes.default, dump)
    assert (again.call_id, again.local_tag, again.remote_tag) == ("c", "ours", "theirs")


def test_a_caller_is_remembered_by_its_tag(service):
    tags = {"sip_from_tag": "theirs", "sip_call_id": "c"}
    service.report({**channel("a", "inbound", "ringing", **tags), "Event-Name": "CHANNEL_PARK"})
    assert service.switch.heard("uuid_setvar a vsi_remote_tag theirs")


@pytest.mark.parametrize("tag", ["x" * 20_000, "\N{SNOWMAN}" * 3_000])
def test_a_callers_tag_that_no_variable_can_hold_is_not_kept(service, tag):
    report = channel("a", "inbound", "ringing", sip_from_tag=tag, sip_call_id=tag)
    service.report({**report, "Event-Name": "CHANNEL_PARK"})
    assert service.types == ["leg.ringing"]
    leg = service.ctx.legs.find("a")
    assert (leg.call_id, leg.remote_tag) == ("", "")


def test_the_highest_number_of_the_switch_s_own_requests_is_known(service):
    leg = service.leg("a")
    watched = {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_watched_header", "Unique-ID": "a"}
    for value in ("3 INVITE", "8 NOTIFY", "7 INFO", "nonsense", ""):
        service.report(
            watched | {"Header-Name": "CSeq", "Header-Value": value, "SIP-Message": "SIP/2.0 200 OK"}
        )
    assert leg.own_cseq == 8
