"""What the commands about sound and text have in them."""

from __future__ import annotations

import pytest

from vsi_esl.switch.lines import audio


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("hello\r\n", "hello\r\n"),
        ("helo\blo\r\n", "hello\r\n"),
        ("a\b\b\bb\n", "b\n"),
        ("one\u2028\btwo", "one\u2028two"),  # a line that is over is not erased
        ("be\x07ll \x1b[2J\t!\n", "bell [2J!\n"),
        ("grüß\b😀\b\b\r\n", "gr\r\n"),
        ("\b\x00", ""),
    ],
)
def test_what_is_passed_on_of_a_peers_text(typed, left):
    assert audio.readable(typed) == left
    assert "uuid_send_text" in audio.send_text("a-1", audio.text_line(audio.readable(typed)) or "x")
