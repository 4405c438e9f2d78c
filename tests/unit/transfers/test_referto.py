"""What a Refer-To says."""

from __future__ import annotations

import pytest

from vsi_esl.transfers.referto import Replaces, is_cut, parse

ESCAPED = "a84b4c%40h%3Bto-tag%3Dt-1%3Bfrom-tag%3Df.1"
DIALOG = Replaces("a84b4c@h", "t-1", "f.1")


@pytest.mark.parametrize(
    ("header", "target", "replaces"),
    [
        ("<sip:bob@example.com>", "sip:bob@example.com", None),
        ("sip:bob@example.com", "sip:bob@example.com", None),
        (' "Bob" <sip:bob@example.com;user=phone>;x=y', "sip:bob@example.com;user=phone", None),
        ("<sips:bob@[::1]:5061>", "sips:bob@[::1]:5061", None),
        ("<sip:example.com>", "sip:example.com", None),
        ("<tel:+15550100>", "tel:+15550100", None),
        (f"<sip:b@h?Replaces={ESCAPED}>", "sip:b@h", DIALOG),
        (f"<sip:b@h;transport=tcp?X-A=1&replaces={ESCAPED}&X-B=2>", "sip:b@h;transport=tcp", DIALOG),
        ("<sip:b@h?Replaces=a%3Bearly-only%3BTo-Tag%3Dt>", "sip:b@h", Replaces("a", "t")),
        ("<sip:b@h?X-A=1>", "sip:b@h", None),
        (r' "Bob \"<b@h>" <sip:b@h>', "sip:b@h", None),
        ("<sip:b@h>;", "sip:b@h", None),
    ],
)
def test_whom_to_call_and_what_that_replaces(header, target, replaces):
    found = parse(header)
    assert (found.target, found.replaces, found.kind) == (
        target,
        replaces,
        "attended" if replaces else "blind",
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "<>",
        "bob",
        "<bob",
        "sip:",
        "<sip:@>",
        "sip:bob@",
        "sip:a b@h",
        "sip:b@h\r\nX: y",
        "<sip:b@h?Replaces=>",
    ],
)
def test_what_names_nobody(header):
    assert parse(header) is None


@pytest.mark.parametrize("shown", ["<sip:ER", "<sip:bob@", "<sip:bob@h", "<tel:ER", '"<b>" <sip:bob@h'])
def test_what_the_switch_has_cut_is_no_address(shown):
    assert is_cut(shown) and parse(shown) is None


@pytest.mark.parametrize("whole", ["<sip:bob@h>", "sip:bob@h", "", '"<" <sip:b@h>'])
def test_what_is_whole(whole):
    assert not is_cut(whole)


def test_a_dialog_is_named_whichever_side_the_tags_are_of():
    assert DIALOG.names("a84b4c@h", "t-1", "f.1") and DIALOG.names("a84b4c@h", "f.1", "t-1")
    assert not DIALOG.names("other@h", "t-1", "f.1")
    assert not DIALOG.names("a84b4c@h", "t-1", "t-1")
    assert not Replaces("a84b4c@h", "", "t-1").names("a84b4c@h", "", "t-1")


@pytest.mark.parametrize(
    ("replaces", "header"),
    [
        (DIALOG, "a84b4c@h;to-tag=t-1;from-tag=f.1"),
        (Replaces("a", "t"), ""),
        (Replaces("a\r\nX-Evil: 1", "t", "f"), ""),
        (Replaces("a", "t,u", "f"), ""),
        (Replaces("a", "t", "f" * 256), ""),
    ],
)
def test_only_a_whole_one_is_dialled(replaces, header):
    assert (replaces.header if replaces.complete else "") == header
