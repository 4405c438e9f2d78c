"""create_leg of type whatsapp: what is refused whatever the server can do. (Calls: tests/service.)"""

from __future__ import annotations

import pytest

REQUEST = {"type": "whatsapp", "to": "+15550001", "from_": "+15550100", "auth": {"password": "secret"}}


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("to", "'to' is required"),
        ("from_", "'from' is required (business phone number, E.164)"),
        ("auth", "'auth.password' is required (Meta-issued digest password)"),
    ],
)
def test_what_a_call_of_a_user_needs(client, left_out, message):
    request = {name: value for name, value in REQUEST.items() if name != left_out}
    assert client.error("create_leg", room_id="r", **request) == (400, message)
    assert client.ok("list_legs") == client.ok("list_rooms") == []


def test_a_user_name_is_no_password(client):
    request = {**REQUEST, "auth": {"username": "15550100"}}
    message = "'auth.password' is required (Meta-issued digest password)"
    assert client.error("create_leg", **request) == (400, message)
