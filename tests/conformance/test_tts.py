"""Text to speech: what is refused, and a speech from its begin to its end."""

from __future__ import annotations

import shutil

import pytest

from tests.support.calls import answered, in_room, ring

KEY = {"api_key": "some-key"}
OWN = "the provider local is ours"


def test_refusals_of_a_leg(switch, client):
    _, leg = ring(switch, client)
    asked = {"text": "Hello", "voice": "v"}
    assert client.error("leg_tts", id="x", **asked) == (404, "leg not found")
    assert client.error("leg_tts", **asked) == (404, "leg not found")
    no_text, no_voice = (400, "text is required"), (400, "voice is required")
    assert client.error("leg_tts", id=leg, voice="v", **KEY) == no_text
    assert client.error("leg_tts", id=leg, **KEY) == no_text
    assert client.error("leg_tts", id=leg, text="Hello", volume=9, **KEY) == no_voice
    for volume in (-9, 9):
        assert client.error("leg_tts", id=leg, volume=volume, **asked, **KEY) == (
            400,
            "volume must be between -8 and 8",
        )
    assert client.error("leg_tts", id=leg, **asked, **KEY) == (409, "leg has no audio writer")


def test_refusals_of_a_room(switch, client):
    client.ok("create_room", id="empty")
    asked = {"text": "Hello", "voice": "v"}
    assert client.error("room_tts", id="x", **asked) == (404, "room not found")
    assert client.error("room_tts", id="empty", voice="v", **KEY) == (400, "text is required")
    assert client.error("room_tts", id="empty", text="Hello", **KEY) == (400, "voice is required")
    assert client.error("room_tts", id="empty", volume=9, **asked, **KEY) == (
        400,
        "volume must be between -8 and 8",
    )
    assert client.error("room_tts", id="empty", **asked, **KEY) == (409, "room has no participants")


@pytest.mark.parametrize("provider", ["elevenlabs", "deepgram", "azure"])
def test_without_a_key(switch, client, provider):
    _, leg = ring(switch, client)
    no_key = (503, f"no {provider} API key provided")
    assert client.error("leg_tts", id=leg, provider=provider) == no_key
    if provider == "elevenlabs":
        assert client.error("leg_tts", id=leg, text="Hello", voice="v") == no_key


@pytest.mark.beyond("an unknown provider is elevenlabs in the reference")
def test_a_provider_that_there_is_not(switch, client):
    _, leg = ring(switch, client)
    assert client.error("leg_tts", id=leg, provider="eleven labs", text="x", voice="v", **KEY) == (
        400,
        "invalid provider: must be aws, azure, deepgram, elevenlabs, google, local, or openai",
    )


@pytest.fixture
def local() -> dict[str, str]:
    """How to have something said without anybody else."""
    if shutil.which("flite") is None and shutil.which("espeak-ng") is None:
        pytest.skip("neither flite nor espeak-ng is installed")
    return {"provider": "local", "voice": "default"}


@pytest.mark.beyond(OWN)
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_a_speech(switch, client, local, kind):
    _, leg = in_room(switch, client)
    owner = leg if kind == "leg" else "r"
    reply = client.ok(f"{kind}_tts", id=owner, text="Hello.", volume=-1, **local)
    assert reply.keys() == {"tts_id", "status"} and reply["status"] == "playing"
    assert reply["tts_id"].startswith("tts-") and len(reply["tts_id"]) == 12
    started = client.event("tts.started", **{f"{kind}_id": owner})
    assert started["tts_id"] == reply["tts_id"]
    assert not {"leg_id", "room_id"} - {f"{kind}_id"} & started.keys()
    finished = client.event("tts.finished", tts_id=reply["tts_id"])
    assert finished["reason"] == "completed" and 200 < finished["played_ms"] < 20_000
    assert client.types(tts_id=reply["tts_id"]) == ["tts.started", "tts.finished"]


@pytest.mark.beyond(OWN)
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_it_is_stopped_and_adjusted_as_a_playback_is(switch, client, local, kind):
    _, leg = in_room(switch, client)
    owner = leg if kind == "leg" else "r"
    tts_id = client.ok(f"{kind}_tts", id=owner, text="Hello. " * 50, **local)["tts_id"]
    client.event("tts.started", tts_id=tts_id)
    ids = {"id": owner, "playback_id": tts_id}
    assert client.ok(f"{kind}_play_volume", volume=-4, **ids) == {"status": "ok"}
    assert client.error(f"{kind}_play_volume", volume=9, **ids) == (400, "volume must be between -8 and 8")
    assert client.ok(f"{kind}_play_stop", **ids) == {"status": "stopped"}
    assert client.event("tts.finished", tts_id=tts_id)["reason"] == "stopped"
    assert client.error(f"{kind}_play_stop", **ids) == (404, "no playback in progress")


@pytest.mark.beyond(OWN)
def test_what_cannot_be_said_is_told_once(switch, client, local):
    _, leg = answered(switch, client)
    asked = {**local, "voice": "../nobody"}
    tts_id = client.ok("leg_tts", id=leg, text="Hello", **asked)["tts_id"]
    error = client.event("tts.error", tts_id=tts_id)
    assert error["error"].startswith("local: ") and error["category"] == "permanent_input"
    assert client.types(tts_id=tts_id) == ["tts.error"]
