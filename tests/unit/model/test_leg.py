"""What clients are shown of a leg."""

from __future__ import annotations

from vsi_esl.model.leg import CONNECTED, Leg


def leg(**more) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 100.0, **more})


def test_held_is_shown_as_a_state():
    one = leg(state=CONNECTED, held_by_peer=True)
    assert (one.view()["state"], one.view()["held"]) == ("held", True)
    assert leg(held_by_us=True).view()["state"] == "ringing"


def test_headers_are_shown_for_inbound_legs_only():
    assert leg(headers={"X-A": "1"}).view()["headers"] == {"X-A": "1"}
    assert "headers" not in leg(type="sip_outbound", headers={"X-A": "1"}).view()
