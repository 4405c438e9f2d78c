"""Names of voices, as Azure and Google make them, and of Azure's places."""

from __future__ import annotations

ENGLISH = "en-US"
CLOUDS = {"china": "azure.cn", "usgov": "azure.us"}
"""By the beginning of a region's name: those that are not in the cloud of all others."""


def language_of(voice: str) -> str:
    """en-US of en-US-JennyNeural; also of a name that has none in it."""
    parts = voice.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else ENGLISH


def speech_service(kind: str, region: str) -> str:
    """Where Azure's recognition (`stt`) or synthesis (`tts`) of a region is."""
    cloud = next((host for start, host in CLOUDS.items() if region.startswith(start)), "microsoft.com")
    return f"https://{region}.{kind}.speech.{cloud}"
