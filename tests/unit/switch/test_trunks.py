"""Trunks: what the switch tells of its gateways, and which one speaks for a caller."""

from __future__ import annotations

import pytest

from vsi_esl.switch.trunks import MAX_TRUNKS, Trunk, read, speaking_for


def gateway(name: str, profile: str = "vsi", **told: str) -> str:
    elements = {"name": name, "profile": profile, "status": "UP", "state": "NOREG", **told}
    return "<gateway>" + "".join(f"<{key}>{value}</{key}>" for key, value in elements.items()) + "</gateway>"


def test_what_is_read():
    address = "&lt;sip:4930@Carrier.Example:5070;transport=tls&gt;"
    contact = "&lt;sip:gw+c@10.0.0.1:5071;transport=tls;gw=c&gt;"
    (trunk,) = read(gateway("c", state="REGED", **{"from": address, "contact": contact}), ["vsi"])
    assert trunk == Trunk("c", "vsi", "4930", "carrier.example", "tls", "REGED", up=True)
    (trunk,) = read(gateway("v6", **{"from": "&lt;sip:u@[2001:db8::1]&gt;", "status": "DOWN"}), ["vsi"])
    assert (trunk.user, trunk.host, trunk.transport, trunk.up) == ("u", "[2001:db8::1]", "udp", False)


@pytest.mark.parametrize(
    "status",
    [
        "",
        "Invalid Gateway!",
        "-ERR sofia Command not found!",
        "<gateway>",
        gateway("x", "external"),
        gateway(""),
    ],
)
def test_what_is_no_trunk_of_ours(status):
    assert read(status, ["vsi", "vsi6"]) == []


def test_how_many_are_read_is_bounded():
    assert len(read(gateway("x") * (MAX_TRUNKS + 5), ["vsi"])) == MAX_TRUNKS


ALICE, BOB, OTHER = (
    Trunk(name, "vsi", name, host, "udp", "NOREG", up=True)
    for name, host in (("alice", "a.example"), ("bob", "a.example"), ("carol", "c.example"))
)


@pytest.mark.parametrize(
    ("user", "host", "expected"),
    [
        ("alice", "a.example", ALICE),
        ("alice", "", ALICE),
        ("+4930", "c.example", OTHER),
        ("+4930", "a.example", None),  # two could be meant
        ("alice", "c.example", OTHER),
        ("alice", "x.example", None),
        ("nobody", "", None),
        ("", "c.example", None),
    ],
)
def test_who_speaks_for_a_caller(user, host, expected):
    assert speaking_for([ALICE, BOB, OTHER], user, host) is expected


def test_a_user_of_two_trunks_has_none_without_a_host():
    twin = Trunk("twin", "vsi", "alice", "t.example", "udp", "NOREG", up=True)
    assert speaking_for([ALICE, twin], "alice", "") is None
    assert speaking_for([ALICE, twin], "alice", "t.example") is twin
