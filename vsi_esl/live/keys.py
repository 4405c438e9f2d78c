"""What a session at a provider is given of the settings: whose account it is, and where the provider is."""

from __future__ import annotations

import re
from typing import Any

from ..calls.context import Context
from ..errors import Invalid, VsiError

OWN_AUTHORITY = frozenset({"elevenlabs", "deepgram", "azure", "vapi"})
"""Those of whom nothing can be had without a key, wherever they are."""
OPEN_ELSEWHERE = frozenset({"openai"})
"""Those whose interface others serve as well, perhaps without a key."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class NoKey(VsiError):
    """Neither the request nor the settings have a key for a provider."""

    code = 503


def for_provider(ctx: Context, kind: str, provider: str, api_key: str = "") -> dict[str, Any]:
    """`api_key`, `base_url` and `region` for a session of this kind (stt, tts, agent): the request's key, or
    that of the settings. NoKey where none is, and one is needed; the reference checks it before all else.
    Invalid for one that no header can hold."""
    settings = ctx.config.providers
    if CONTROL.search(api_key):
        raise Invalid("api_key must not hold control characters")
    key = api_key or str(getattr(settings, f"{provider}_key", ""))
    base_url = settings.base_url(kind, provider)
    if not key and (provider in OWN_AUTHORITY or (provider in OPEN_ELSEWHERE and not base_url)):
        raise NoKey(f"no {provider} API key provided")
    return {"api_key": key, "base_url": base_url, "region": getattr(settings, f"{provider}_region", "")}
