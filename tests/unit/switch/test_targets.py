"""Where outbound calls go: the dial string and what belongs to it."""

from __future__ import annotations

import pytest

from vsi_esl.errors import BadArgument
from vsi_esl.model.sipuri import parse
from vsi_esl.switch.lines.targets import Profiles, at_gateway, at_profile

PROFILES = Profiles("vsi", "vsi6")
ROUTE, REQUEST = "sip_invite_route_uri", "sip_invite_req_uri"


@pytest.mark.parametrize(
    ("uri", "proxy", "dialled", "variables"),
    [
        ("sip:a@b", "", "sofia/vsi/sip:a@b", {}),
        ("sip:a,b@c;x=1;lr", "", None, None),
        ("sip:a%2Cb@c;transport=TCP;x", "", "sofia/vsi/sip:a%2Cb@c;transport=tcp;x", {REQUEST: None}),
        ("sip:a@b:5;transport=tls", "", "sofia/vsi/sip:a@b:5;transport=tls", {}),
        ("sips:a@b:5", "", "sofia/vsi/sip:a@b:5;transport=tls", {REQUEST: None}),
        ("sips:b;transport=tcp", "", "sofia/vsi/sip:b;transport=tls", {REQUEST: None}),
        ("sip:a@[::1]:5", "", "sofia/vsi6/sip:a@[::1]:5", {}),
        ("sip:a@b", "sip:p", "sofia/vsi/sip:a@b", {ROUTE: "<sip:p;lr>"}),
        ("sip:a@b", "sip:u@[::1]", "sofia/vsi6/sip:a@b", {ROUTE: "<sip:[::1];lr>"}),
        (
            "sip:a@b;transport=tcp",
            "sips:p;LR",
            "sofia/vsi/sip:a@b;transport=tls",
            {ROUTE: "<sips:p;LR>", REQUEST: None},
        ),
        (
            "sip:a@[::1];transport=tcp",
            "sip:p:5;x",
            "sofia/vsi/sip:a@[::1]",
            {ROUTE: "<sip:p:5;x;lr>", REQUEST: None},
        ),
    ],
)
def test_the_first_hop_decides_what_is_dialled(uri, proxy, dialled, variables):
    if dialled is None:
        with pytest.raises(BadArgument):
            parse(uri)
        return
    target = at_profile(parse(uri), parse(proxy) if proxy else None, PROFILES)
    assert target.dial_string == dialled
    assert target.variables == {key: value or uri for key, value in variables.items()}


@pytest.mark.parametrize(
    ("to", "dialled", "request_uri"),
    [
        ("+1555", "+1555", None),
        ("*21#", "*21%23", None),
        (parse("sip:1@carrier.example"), "1@carrier.example", None),
        (parse("sip:1@h:5;user=phone"), "1@h:5", "sip:1@h:5;user=phone"),
        (parse("sip:1@h;transport=tcp"), "1@h", "sip:1@h;transport=tcp"),
    ],
)
def test_by_a_trunk(to, dialled, request_uri):
    target = at_gateway(to, "carrier", "tcp", None)
    assert target.dial_string == f"sofia/gateway/carrier/{dialled}"
    assert target.variables == ({REQUEST: request_uri} if request_uri else {})


@pytest.mark.parametrize(
    ("to", "gateway", "proxy"),
    [
        ("1;x=y", "carrier", ""),
        ("1^2", "carrier", ""),
        ("1/2", "carrier", ""),
        ("1,2", "carrier", ""),
        ("", "carrier", ""),
        ("1@2", "carrier", ""),
        ("1", "../x", ""),
        ("1", "a b", ""),
        ("1", "a/b", ""),
        ("1", "carrier", "sip:p;transport=tls"),
        ("sip:1@h;transport=udp", "carrier", ""),
        ("sip:h", "carrier", ""),
    ],
)
def test_what_no_trunk_can_dial(to, gateway, proxy):
    with pytest.raises(BadArgument):
        at_gateway(parse(to) if ":" in to else to, gateway, "tcp", parse(proxy) if proxy else None)
