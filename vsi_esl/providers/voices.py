"""Names of voices, as Azure and Google make them."""

from __future__ import annotations

ENGLISH = "en-US"


def language_of(voice: str) -> str:
    """en-US of en-US-JennyNeural; also of a name that has none in it."""
    parts = voice.split("-")
    return "-".join(parts[:2]) if len(parts) > 2 else ENGLISH
