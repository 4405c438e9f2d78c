"""What a provider answers to one request by HTTP: audio as it comes, or why there is none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .base import PERMANENT_AUTH, RATE, RETRYABLE, UNKNOWN, Provider, ProviderError, category_of
from .private import without
from .samples import Samples

CONNECT_S = 5.0
"""For the name, TCP and TLS."""
SILENCE_S = 20.0
"""For the first byte, and between two pieces."""
LONGEST_REASON = 1024
"""Bytes of an answer that says what is wrong."""
PIECE = 16384
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=SILENCE_S)
NO_AUDIO = ("application/json", "text/", "application/xml", "application/problem+json")


Explain = Callable[[Provider, str, Mapping[str, str]], str]
"""What is wrong, of the body of an answer and its headers."""


def _body(provider: Provider, body: str, headers: Mapping[str, str]) -> str:
    return private(provider, body)


@asynccontextmanager
async def answer(
    provider: Provider,
    name: str,
    url: str,
    headers: Mapping[str, str],
    data: bytes,
    *,
    explain: Explain = _body,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """POST `data`; the answer, when its status is 200. `name` is whose it is, for errors.

    ProviderError for everything else, also for what breaks while the answer is read. Redirects are refused:
    the key is for this address only.
    """
    try:
        async with provider.http.post(
            url, headers=headers, data=data, timeout=TIMEOUT, allow_redirects=False
        ) as got:
            if got.status != 200:
                body = await beginning(got, LONGEST_REASON)
                reason = explain(provider, body.decode(errors="replace"), got.headers)
                raise ProviderError(f"{name}: status {got.status}: {reason}", category_of(got.status))
            yield got
    except TimeoutError:
        raise ProviderError(f"{name}: no answer in time", RETRYABLE) from None
    except aiohttp.InvalidURL:
        raise ProviderError(f"{name}: the base URL is none", UNKNOWN) from None
    except aiohttp.ClientConnectionError as error:
        raise ProviderError(f"{name}: {_reason(error)}", RETRYABLE) from None
    except aiohttp.ClientPayloadError:
        raise ProviderError(f"{name}: the answer broke off", RETRYABLE) from None
    except ValueError:
        raise ProviderError(f"{name}: a key that no header can hold", PERMANENT_AUTH) from None
    except (aiohttp.ClientError, OSError) as error:
        raise ProviderError(f"{name}: {type(error).__name__}", RETRYABLE) from None


async def beginning(got: aiohttp.ClientResponse, most: int) -> bytes:
    """The body of an answer, cut behind so many bytes. It may come in any number of pieces."""
    body = bytearray()
    async for piece in got.content.iter_any():
        body += piece
        if len(body) >= most:
            break
    return bytes(body[:most])


def _reason(error: aiohttp.ClientConnectionError) -> str:
    """Without the address: it may hold a password."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not good"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {os.strerror(error.errno) if error.errno else 'refused'}"
    return "the connection was lost"


def private(provider: Provider, text: str) -> str:
    """A text of the provider's, without what the request held."""
    settings: Mapping[str, Any] = provider.settings
    secret = str(settings.get("api_key") or "")
    texts = [str(settings.get(one) or "") for one in ("text", "prompt")]
    return without(text, secret, *secret.split(":"), *texts)


async def audio(
    provider: Provider,
    name: str,
    url: str,
    headers: Mapping[str, str],
    data: bytes,
    *,
    rate: int = RATE,
    explain: Explain = _body,
) -> AsyncIterator[bytes]:
    """The body of such an answer in pieces, as they come: samples at `rate` there, at `RATE` here."""
    samples = Samples(rate)
    async with answer(provider, name, url, headers, data, explain=explain) as got:
        if got.content_type.startswith(NO_AUDIO):
            raise ProviderError(f"{name}: answered with {got.content_type}, not with audio", UNKNOWN)
        async for piece in got.content.iter_chunked(PIECE):
            yield samples.feed(piece)
        yield samples.rest()
