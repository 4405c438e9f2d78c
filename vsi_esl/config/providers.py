"""Settings of the speech and agents of others: who we are there, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import values
from .declare import setting


def _key(env: str, whose: str) -> Any:
    return setting(
        env, values.text, "", f"Key at {whose}, for commands that bring none.", secret=True, live=True
    )


def _url(env: str, what: str, default: str) -> Any:
    return setting(
        env, values.http_url, "", f"Address of {what}; empty for theirs.", live=True, default_text=default
    )


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Providers of speech and agents."""

    elevenlabs_key: str = _key("ELEVENLABS_API_KEY", "ElevenLabs")
    elevenlabs_url: str = _url("VSI_ESL_ELEVENLABS_URL", "ElevenLabs", "https://api.elevenlabs.io")
    deepgram_key: str = _key("DEEPGRAM_API_KEY", "Deepgram")
    deepgram_url: str = _url("VSI_ESL_DEEPGRAM_URL", "Deepgram's speech", "https://api.deepgram.com")
    deepgram_agent_url: str = _url(
        "VSI_ESL_DEEPGRAM_AGENT_URL", "Deepgram's agents", "https://agent.deepgram.com"
    )
    azure_key: str = _key("AZURE_SPEECH_KEY", "Azure's speech services")
    azure_region: str = setting(
        "AZURE_SPEECH_REGION", values.name, "eastus", "Region of Azure's speech services.", live=True
    )
    azure_stt_url: str = _url(
        "VSI_ESL_AZURE_STT_URL", "Azure's recognition", "https://REGION.stt.speech.microsoft.com"
    )
    azure_tts_url: str = _url(
        "VSI_ESL_AZURE_TTS_URL", "Azure's synthesis", "https://REGION.tts.speech.microsoft.com"
    )
    aws_tts_url: str = _url(
        "VSI_ESL_AWS_TTS_URL", "Amazon Polly", "https://polly.REGION.amazonaws.com, of S3_REGION"
    )
    google_tts_url: str = _url(
        "VSI_ESL_GOOGLE_TTS_URL", "Google's synthesis", "https://texttospeech.googleapis.com"
    )
    openai_key: str = setting(
        "OPENAI_API_KEY",
        values.text,
        "",
        "Key at OpenAI, or at the server in its place, which may need none.",
        secret=True,
        live=True,
    )
    openai_url: str = _url(
        "VSI_ESL_OPENAI_URL",
        "any server with OpenAI's interface, /v1 included",
        "https://api.openai.com/v1",
    )
    openai_stt_url: str = setting(
        "VSI_ESL_OPENAI_STT_URL",
        values.http_url,
        "",
        "The same for recognition alone.",
        live=True,
        default_text="providers.openai_url",
    )
    openai_tts_url: str = setting(
        "VSI_ESL_OPENAI_TTS_URL",
        values.http_url,
        "",
        "The same for synthesis alone.",
        live=True,
        default_text="providers.openai_url",
    )
    openai_stt_api: str = setting(
        "VSI_ESL_OPENAI_STT_API",
        values.choice("realtime", "transcriptions"),
        "realtime",
        "How that server recognises speech: realtime, its WebSocket for transcription, or transcriptions, a"
        " request per utterance.",
        live=True,
    )
    openai_stt_model: str = setting(
        "VSI_ESL_OPENAI_STT_MODEL",
        values.text,
        "",
        "Its model for commands that name none.",
        live=True,
        default_text="gpt-transcribe",
    )
    vapi_key: str = _key("VAPI_API_KEY", "VAPI")
    vapi_url: str = _url("VSI_ESL_VAPI_URL", "VAPI", "https://api.vapi.ai")

    def base_url(self, kind: str, provider: str) -> str:
        """Where a provider is for this kind of service (stt, tts, agent); empty for its own address."""
        return str(getattr(self, f"{provider}_{kind}_url", "") or getattr(self, f"{provider}_url", ""))
