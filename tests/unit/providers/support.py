"""What the tests of transcribers share: one that is opened, told audio, and asked for its texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.support.scripted import Scripted
from vsi_esl.providers import STT, find
from vsi_esl.providers.base import ProviderError, Transcriber

FRAME = b"\x01\x00" * 320
KEY = "sesame"


@asynccontextmanager
async def transcriber(name: str, server: Scripted, **settings: Any) -> AsyncIterator[Transcriber]:
    """One of this provider at a scripted server, not yet opened; closed at the end."""
    async with aiohttp.ClientSession() as http:
        given = {"api_key": KEY, "base_url": server.http, **settings}
        one: Transcriber = find(STT, name)(http, given)
        try:
            yield one
        finally:
            await one.close()


async def said(one: Transcriber, frames: int = 5) -> list[tuple[str, bool]]:
    """Open it, say something, end; all texts, with whether they are final."""
    await one.open()
    texts = asyncio.create_task(collect(one))
    for _ in range(frames):
        await one.send(FRAME)
    await one.finish()
    async with asyncio.timeout(20):
        return await texts


async def collect(one: Transcriber) -> list[tuple[str, bool]]:
    return [(text.text, text.final) async for text in one.texts()]


async def refusal(action: Callable[[], Any]) -> tuple[str, str]:
    """Category and text of the ProviderError, which holds no key."""
    with pytest.raises(ProviderError) as refused:
        await action()
    assert KEY not in refused.value.message
    return refused.value.category, refused.value.message
