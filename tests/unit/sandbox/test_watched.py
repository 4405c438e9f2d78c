"""Headers with an address as sip_watch_headers shows them, held to what a real switch has shown."""

from __future__ import annotations

import pytest

from vsi_esl.sandbox.sip import as_watched

LONG = "x" * 600


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("<sip:bob@example.com>", "<sip:bob@example.com>"),
        (f"<sip:{LONG}@example.com>", "<sip:ER"),
        (f"<sip:bob:{LONG}@example.com>", "<sip:bob:"),
        (f"<sip:bob@{LONG}.com>", "<sip:bob@"),
        (f"<sip:bob@example.com;x={LONG}>", "<sip:bob@example.com"),
        (f"<sip:bob@example.com?x={LONG}>", "<sip:bob@example.com"),
        (f"<tel:{'1' * 600}>", "<tel:ER"),
        (f"<sip:{LONG[:493]}@example.com>", f"<sip:{LONG[:493]}@example.com>"),
        (f"<sip:{LONG[:494]}@example.com>", f"<sip:{LONG[:494]}@example.com"),
        (f"<sip:{LONG[:495]}@example.com>", f"<sip:{LONG[:495]}@example.co"),
    ],
)
def test_what_is_shown(header, shown):
    assert as_watched(header, before="3 REFER") == shown
