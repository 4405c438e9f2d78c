"""Waiting for what only an event can confirm."""

from __future__ import annotations

import pytest

from vsi_esl.errors import Conflict, SwitchUnavailable
from vsi_esl.work.waits import Waits


def test_waits():
    waits = Waits()
    with waits.expect("joined", "leg", "room") as joined:
        assert not waits.fulfil("joined", "leg", "other")
        assert waits.fulfil("joined", "leg", "room", value=5)
        assert joined.get(timeout=20) == 5
    with waits.expect("reinvite", "leg") as failed:
        waits.fail("leg", Conflict("gone"))
        with pytest.raises(Conflict):
            failed.get(timeout=20)
    with waits.expect("reinvite", "leg") as failed:
        waits.fail_all(SwitchUnavailable("lost"))
        with pytest.raises(SwitchUnavailable):
            failed.get(timeout=20)
    assert waits._waiting == {}
