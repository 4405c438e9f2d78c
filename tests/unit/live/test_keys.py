"""What a session at a provider is given of the settings."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vsi_esl.config import load
from vsi_esl.errors import Invalid
from vsi_esl.live.keys import NoKey, for_provider


def service(**environ: str):
    return SimpleNamespace(config=load(None, environ).config)


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("elevenlabs", "ELEVENLABS_API_KEY"),
        ("deepgram", "DEEPGRAM_API_KEY"),
        ("azure", "AZURE_SPEECH_KEY"),
        ("openai", "OPENAI_API_KEY"),
        ("vapi", "VAPI_API_KEY"),
    ],
)
def test_the_key_of_the_request_goes_before_that_of_the_settings(provider, variable, tmp_path):
    ctx = service(**{variable: "ours"})
    assert for_provider(ctx, "stt", provider)["api_key"] == "ours"
    assert for_provider(ctx, "stt", provider, "theirs")["api_key"] == "theirs"
    (tmp_path / "key").write_text("filed\n")
    assert for_provider(service(**{f"{variable}_FILE": str(tmp_path / "key")}), "stt", provider)[
        "api_key"
    ] == ("filed")
    with pytest.raises(NoKey) as refused:
        for_provider(service(), "stt", provider)
    assert (refused.value.code, refused.value.message) == (503, f"no {provider} API key provided")


@pytest.mark.parametrize("provider", ["local", "aws", "google", "pipecat"])
def test_who_needs_no_key_is_asked_for_none(provider):
    assert for_provider(service(), "tts", provider) == {"api_key": "", "base_url": "", "region": ""}


def test_a_server_with_openais_interface_may_need_no_key():
    ctx = service(VSI_ESL_OPENAI_STT_URL="http://127.0.0.1:8000/v1")
    assert for_provider(ctx, "stt", "openai")["base_url"] == "http://127.0.0.1:8000/v1"
    with pytest.raises(NoKey):  # speech goes to OpenAI itself
        for_provider(ctx, "tts", "openai")


def test_where_a_provider_is_depends_on_what_is_wanted_of_it():
    ctx = service(
        VSI_ESL_OPENAI_URL="http://one/v1",
        VSI_ESL_OPENAI_TTS_URL="http://two/v1",
        VSI_ESL_DEEPGRAM_URL="https://dg",
        VSI_ESL_DEEPGRAM_AGENT_URL="https://agents",
        AZURE_SPEECH_REGION="westeurope",
    )
    assert for_provider(ctx, "stt", "openai", "k")["base_url"] == "http://one/v1"
    assert for_provider(ctx, "tts", "openai", "k")["base_url"] == "http://two/v1"
    assert for_provider(ctx, "tts", "deepgram", "k")["base_url"] == "https://dg"
    assert for_provider(ctx, "agent", "deepgram", "k")["base_url"] == "https://agents"
    assert for_provider(ctx, "stt", "azure", "k") == {
        "api_key": "k",
        "base_url": "",
        "region": "westeurope",
    }


@pytest.mark.parametrize("key", ["k\r\nX-Other: 1", "k\n", "\x00", "\x7f"])
def test_a_key_that_no_header_can_hold_is_refused(key):
    with pytest.raises(Invalid, match="control characters"):
        for_provider(service(), "stt", "openai", key)
