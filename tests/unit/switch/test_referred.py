"""What is sent to the switch about a peer's REFER."""

from __future__ import annotations

import pytest

from vsi_esl.errors import BadArgument
from vsi_esl.switch.lines import referred
from vsi_esl.switch.lines.referred import Status

DIALOG = {
    "call_id": "c@h",
    "contact": "alice@127.0.0.1:63406;transport=udp",
    "own": "svc@127.0.0.1",
    "own_tag": "o1",
    "peer": "alice@127.0.0.1",
    "peer_tag": "p1",
}


def test_a_report_from_beside_the_dialog():
    assert referred.interim("vsi", DIALOG, 52) == (
        "Event-Name=NOTIFY,profile=vsi,contact-uri=sip:alice@127.0.0.1:63406;transport=udp,"
        "from-uri=<sip:svc@127.0.0.1>;tag=o1,to-uri=<sip:alice@127.0.0.1>;tag=p1,call-id=c@h,"
        "event-string=refer;id=52,content-type=message/sipfrag;version=2.0,no-sub-state=true,"
        "extra-headers=${vsi_notify_headers},_body=${vsi_notify_body}"
    )
    assert referred.interim_variables("u-1", 8, Status(180, "It's, \\ringing")) == [
        r"uuid_setvar u-1 vsi_notify_headers Subscription-State: active;expires=60\r\nCSeq: 7 NOTIFY",
        r"uuid_setvar u-1 vsi_notify_body SIP/2.0 180 It s   ringing\r\n",
    ]


@pytest.mark.parametrize("name", sorted(DIALOG))
@pytest.mark.parametrize("value", ["", "a,b", "a b", "${x}", "a\r\nb", "'a'", "<a>"])
def test_a_dialog_that_cannot_be_written(name, value):
    with pytest.raises(BadArgument):
        referred.interim("vsi", DIALOG | {name: value}, 1)


@pytest.mark.parametrize("reason", ["", "a\r\nb", "${x}", "\x7f", "x" * 129])
def test_a_reason_that_cannot_be_sent(reason):
    for make in (
        lambda: Status(603, reason).line,
        lambda: referred.interim_variables("u", 2, Status(180, reason)),
    ):
        with pytest.raises(BadArgument):
            make()


def test_the_last_report():
    assert referred.fragment(Status(486, "Busy Here")) == "SIP/2.0 486 Busy Here\r\n"
    assert referred.final_headers("u-1", 0)["event-string"] == "refer"
    assert referred.final_headers("u-1", 7)["event-string"] == "refer;id=7"
