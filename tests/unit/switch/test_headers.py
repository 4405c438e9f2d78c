"""The headers and the caller of an outbound INVITE."""

from __future__ import annotations

import pytest

from vsi_esl.errors import BadArgument
from vsi_esl.sandbox.invite import SHORT_FORMS as OF_THE_STACK
from vsi_esl.switch.lines import headers, identity


def test_every_short_form_of_the_stack_is_known():
    assert OF_THE_STACK.items() <= headers.SHORT_FORMS.items()


@pytest.mark.parametrize("known", sorted(headers.REFUSED))
def test_what_is_refused_is_refused_by_every_name(known):
    short = [name for name, long in headers.SHORT_FORMS.items() if long == known]
    for name in [known, known.upper(), known.title(), *short, *(one.upper() for one in short), f" {known} "]:
        with pytest.raises(BadArgument, match="is written by the switch"):
            headers.of_invite([(name, "x")])


@pytest.mark.parametrize("name", ["Allow", "u", "Min-SE", "k", "SUPPORTED"])
def test_what_the_switch_says_of_itself_is_left_out(name):
    found = headers.of_invite([(name, "100rel"), ("X-Order", "42")])
    assert found.dropped == [name]
    assert found.variables == {"sofia_session_timeout": "0", "sip_h_X-Order": "42"}


@pytest.mark.parametrize("value", ["timer", " Timer,replaces ", ""])
def test_what_the_switch_says_anyway_is_left_out_in_silence(value):
    assert headers.of_invite([("Supported", value)]).dropped == []


@pytest.mark.parametrize(
    ("value", "seconds", "plain"),
    [
        ("600", "600", True),
        (" 0600 ; Refresher = UAC", "600", True),
        ("600;refresher=uas", "600", False),
        ("60", "60", True),
        ("2147483647", "2147483647", True),
        ("2147483648", "0", False),
        ("9" * 5000, "0", False),
        ("0", "0", False),
        ("-1", "0", False),
        ("soon", "0", False),
        ("", "0", False),
    ],
)
@pytest.mark.parametrize("name", ["Session-Expires", "x", "session-expires"])
def test_a_session_timer_is_the_switchs_own(name, value, seconds, plain):
    found = headers.of_invite([(name, value)])
    assert found.variables == {"sofia_session_timeout": seconds}
    assert found.dropped == ([] if plain else [name])


def test_a_header_given_twice():
    with pytest.raises(BadArgument, match='"s" and "SUBJECT" are the same header'):
        headers.of_invite([("s", "a"), ("SUBJECT", "b")])


@pytest.mark.parametrize(
    ("text", "user", "host", "display"),
    [
        ("", "", "", ""),
        ("+15550100", "+15550100", "", ""),
        ("sip:alice@pbx.example.com", "alice", "pbx.example.com", ""),
        ("sips:bob@tls.example.com:5061", "bob", "tls.example.com", ""),
        ("SIP:Alice@PBX.Example.COM", "Alice", "pbx.example.com", ""),
        ("sip:alice@pbx.example.com;transport=tcp", "alice", "pbx.example.com", ""),
        ("sip:alice:secret@h", "alice", "h", ""),
        ("sip:alice@[2001:DB8::1]:5060", "alice", "[2001:db8::1]", ""),
        ("alice@pbx.example.com", "alice", "pbx.example.com", ""),
        ("tel:+1555;phone-context=x", "+1555", "", ""),
        ('"Alice B" <sip:alice@pbx.example.com>;tag=1', "alice", "pbx.example.com", "Alice B"),
        (r'"A \"q\" \\ B" <SIPS:alice@H:5061;x=y>', "alice", "h", "A q  B"),
        ("  Alice B  <sip:alice@h>", "alice", "h", "Alice B"),
        ('"" <sip:alice@h>', "alice", "h", ""),
        (" " * 512, "", "", ""),
        ("<sip:alice@h>", "alice", "h", ""),
    ],
)
def test_who_calls(text, user, host, display):
    assert identity.caller(text) == identity.Caller(user, host, display)


@pytest.mark.parametrize(
    "text", ["sip:pbx.example.com", "sip:@h", "<sip:h>", "@h", "sip:alice@", "<sip:a@;x>"]
)
def test_a_caller_without_a_user_or_a_host(text):
    with pytest.raises(BadArgument, match="from: needs a user and a host"):
        identity.variables(text, False, "")


@pytest.mark.parametrize("text", ["sip:a@h\r\nX: 1", "<sip:a@b,sip:c@d>", "sip:a@b|c", "sip:a@h:x", "a@b c"])
def test_a_caller_whose_host_is_none(text):
    with pytest.raises(BadArgument, match="invalid SIP URI"):
        identity.variables(text, False, "")


def test_the_from_of_a_user_with_blanks_in_a_domain():
    found = identity.variables("Front Desk", False, "pbx.example.com")
    assert found["sip_from_uri"] == "sip:Front%20Desk@pbx.example.com"
