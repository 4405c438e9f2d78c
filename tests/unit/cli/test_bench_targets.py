"""Whom `vsi-esl bench call` calls without being told that it may."""

from __future__ import annotations

import pytest

from vsi_esl.cli.bench import targets


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("sip:answer@127.0.0.1", True),
        ("sip:answer@127.9.9.9:5080;transport=tcp", True),
        ("sip:answer@localhost", True),
        ("sip:answer@[::1]", True),
        ("sip:answer@192.0.2.1", False),
        ("sip:answer@10.0.0.1", False),
        ("sip:answer@0.0.0.0", False),
        ("sip:answer@pbx.example", False),
        ("sip:answer@localhost.example", False),
        ("sip:answer@127.0.0.1;maddr=192.0.2.1", False),
        ("sip:127.0.0.1@192.0.2.1", False),
    ],
)
def test_only_this_machine_is_called_unasked(uri, own):
    assert targets.is_own(uri) is own
    assert bool(targets.refusal(uri, "--to")) is not own


def test_what_is_no_uri_is_refused():
    assert "invalid SIP URI" in targets.refusal("sip:a@127.0.0.1,sip:b@192.0.2.1", "--to")
