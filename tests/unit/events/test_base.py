"""Events as they are sent."""

from __future__ import annotations

from vsi_esl.events.legs import LegMuted


def test_members_that_are_none_are_left_out():
    assert LegMuted(leg_id="x").payload() == {"leg_id": "x"}
