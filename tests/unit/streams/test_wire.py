"""What clients may ask for of a WebSocket's audio, and which headers go out."""

from __future__ import annotations

import pytest

from vsi_esl.errors import Invalid
from vsi_esl.streams.upgrade import outgoing, shown
from vsi_esl.streams.wire import Wire, rate_of, wire_of


@pytest.mark.parametrize(
    ("asked", "wire", "channel"),
    [
        ((0, "", ""), Wire(16000, "binary"), 16000),
        ((8000, "binary", "s16le"), Wire(8000, "binary"), 8000),
        ((24000, "json_base64", ""), Wire(24000, "json_base64"), 48000),
        ((48000, "", "s16le"), Wire(48000, "binary"), 48000),
    ],
)
def test_what_there_is(asked, wire, channel):
    assert wire_of(*asked) == wire
    assert wire.channel_rate == channel


@pytest.mark.parametrize("text", ["x", "16k", "1e4", " 16000", "16000.0", "٣", "9" * 40])
def test_a_rate_that_is_no_number(text):
    with pytest.raises(Invalid, match="sample_rate: not a number"):
        rate_of(text)


@pytest.mark.parametrize(("text", "rate"), [("", 0), ("16000", 16000), ("-8000", -8000), ("0", 0)])
def test_a_rate_that_is_one(text, rate):
    assert rate_of(text) == rate


def test_a_negative_rate_is_none():
    with pytest.raises(Invalid, match=r"wsmedia: invalid SampleRate -8000 \(want 8000/16000/24000/48000\)"):
        wire_of(-8000, "", "")


def test_headers_that_go_out():
    given = {"X-A": "1", "Authorization": "Basic x", "Origin": "http://a", "User-Agent": "u", "X-Text": "ä\t"}
    assert outgoing(given) == given


@pytest.mark.parametrize("name", ["Host", "CONNECTION", "te", "Sec-WebSocket-Key", "X:A", "X\r\nA", "ä", ""])
def test_headers_that_do_not(name):
    with pytest.raises(Invalid, match=r"^headers: "):
        outgoing({name: "1"})


def test_a_callers_headers_that_are_shown():
    headers = {
        "X-A": "1",
        "P-Asserted-Identity": "b",
        "Host": "c",
        "Authorization": "d",
        "X-Webhook-Secret": "e",
    }
    assert shown(headers, with_authorization=False) == {"X-A": "1", "P-Asserted-Identity": "b"}
    assert "Authorization" in shown(headers, with_authorization=True)
