"""Speech to text: what is refused, in which order and with which words; and that somebody is understood."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, in_room, ring

local = pytest.mark.beyond("recognition without a provider is ours")


@pytest.mark.parametrize("kind", ["leg", "room"])
def test_unknown_legs_and_rooms(client, kind):
    for id in ("nobody", ""):
        start = client.error(f"{kind}_stt_start", id=id, provider="deepgram", api_key="k")
        assert start == (404, f"{kind} not found")
        assert client.error(f"{kind}_stt_stop", id=id) == (404, "no STT in progress")


@pytest.mark.beyond("the target may have keys")
@pytest.mark.parametrize("provider", ["elevenlabs", "deepgram", "azure", ""])
def test_a_key_comes_before_all_else(client, provider):
    refused = (503, f"no {provider or 'elevenlabs'} API key provided")
    assert client.error("leg_stt_start", id="nobody", provider=provider) == refused
    assert client.error("room_stt_start", id="nobody", provider=provider) == refused


@pytest.mark.beyond("the reference takes every name for elevenlabs")
def test_a_provider_that_does_not_exist(client):
    code, message = client.error("leg_stt_start", id="nobody", provider="eleven")
    assert code == 400
    assert "azure, deepgram, elevenlabs, local, or openai" in message


def test_a_leg_that_is_not_connected(switch, client):
    _, leg = ring(switch, client)
    wanted = {"provider": "deepgram", "api_key": "k"}
    assert client.error("leg_stt_start", id=leg, **wanted) == (409, "leg not connected")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    assert client.error("leg_stt_start", id=leg, **wanted) == (409, "leg not connected")


def test_a_room_without_legs(client):
    client.ok("create_room", id="empty")
    start = client.error("room_stt_start", id="empty", provider="deepgram", api_key="k")
    assert start == (409, "room has no participants")


@local
def test_one_at_a_time(switch, client):
    _, leg = in_room(switch, client)
    wanted = {"provider": "local", "language": "en", "partial": True}
    assert client.ok("leg_stt_start", id=leg, **wanted) == {"status": "stt_started", "leg_id": leg}
    assert client.error("leg_stt_start", id=leg, **wanted) == (409, "STT already running on this leg")
    started = client.ok("room_stt_start", id="r", **wanted)
    assert started == {"status": "stt_started", "room_id": "r", "leg_ids": [leg]}
    assert client.error("room_stt_start", id="r", **wanted) == (409, "STT already running on this room")
    for kind, owner in (("leg", leg), ("room", "r")):
        assert client.ok(f"{kind}_stt_stop", id=owner) == {"status": "stt_stopped"}
        assert client.error(f"{kind}_stt_stop", id=owner) == (404, "no STT in progress")
    assert client.ok("get_leg", id=leg)["state"] == "connected"


@local
def test_it_ends_with_its_leg_and_with_its_room(switch, client):
    peer, leg = answered(switch, client)
    client.ok("leg_stt_start", id=leg, provider="local")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert client.error("leg_stt_stop", id=leg) == (404, "no STT in progress")
    _, other = in_room(switch, client, "s")
    client.ok("room_stt_start", id="s", provider="local")
    client.ok("delete_room", id="s")
    client.event("leg.disconnected", leg_id=other)
    assert client.error("room_stt_stop", id="s") == (404, "no STT in progress")
