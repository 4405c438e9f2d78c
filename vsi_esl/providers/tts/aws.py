"""Amazon Polly: SynthesizeSpeech, by boto3 in threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnection

from ..answers import CONNECT_S, LONGEST_REASON, PIECE, SILENCE_S, private
from ..base import PERMANENT_AUTH, RATE, RETRYABLE, UNKNOWN, ProviderError, Synthesiser
from ..base import category_of as of_status
from ..samples import Samples

T = TypeVar("T")

ENGINES = ("standard", "neural", "long-form", "generative")
ENGINE = "neural"
REGION = "us-east-1"
MOST = 32
"""Requests of a worker at the same time; more wait."""
NO_PAIR = "polly: build client: polly: invalid api_key format, expected 'ACCESS_KEY:SECRET_KEY'"
AUTH = frozenset({"UnrecognizedClientException", "InvalidSignatureException", "InvalidClientTokenId"})
"""What Amazon answers with 400 or 403 to whom it does not know."""
OVER_QUOTA = frozenset({"ThrottlingException", "TooManyRequestsException", "Throttling"})


class Polly(Synthesiser):
    """`settings`: text, voice, model (an engine; unknown ones are neural), api_key (access and secret key
    with a colon between them; without it the credentials of this machine count), region, base_url."""

    NEEDS_KEY = False

    async def speak(self) -> AsyncIterator[bytes]:
        samples, body = Samples(), None
        try:
            client = await _in_thread(self._client)
            body = await _in_thread(partial(self._request, client))
            while piece := await _in_thread(partial(body.read, PIECE)):
                yield samples.feed(piece)
        except (BotoCoreError, ClientError, OSError) as error:
            raise self._failure(error) from None
        finally:
            if body is not None:
                body.close()

    def _client(self) -> Any:
        access = secret = ""
        if pair := str(self.settings.get("api_key") or ""):
            access, _, secret = pair.partition(":")
            if not (access and secret):
                raise ProviderError(NO_PAIR, UNKNOWN)
        return _client(str(self.settings.get("region") or REGION), self.base_url, access, secret)

    def _request(self, client: Any) -> Any:
        model = self.settings.get("model")
        answer = client.synthesize_speech(
            Text=self.settings["text"],
            VoiceId=self.settings["voice"],
            Engine=model if model in ENGINES else ENGINE,
            OutputFormat="pcm",
            SampleRate=str(RATE),
        )
        return answer["AudioStream"]

    def _failure(self, error: Exception) -> ProviderError:
        if isinstance(error, ClientError):
            told = error.response.get("Error", {})
            code = str(told.get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            reason = private(self, str(told.get("Message", "")))[:LONGEST_REASON]
            return ProviderError(f"polly: status {status}: {code}: {reason}", category_of(code, status))
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            return ProviderError(
                "polly: no credentials: neither of the request nor of this machine", PERMANENT_AUTH
            )
        if isinstance(error, (HTTPClientError, NoConnection, IncompleteReadError, OSError)):
            return ProviderError(f"polly: {type(error).__name__}", RETRYABLE)
        return ProviderError(f"polly: {type(error).__name__}", UNKNOWN)


def category_of(code: str, status: int) -> str:
    """Of what Amazon answers: the status alone does not say it."""
    if code in AUTH:
        return PERMANENT_AUTH
    if code in OVER_QUOTA:
        return of_status(429)
    return of_status(status)


@lru_cache(maxsize=16)
def _client(region: str, base_url: str, access: str, secret: str) -> Any:
    """Made once for each account: it takes a tenth of a second. A session each, as they are no thread's but
    one's; the tries are counted by whoever speaks."""
    session = boto3.Session(
        aws_access_key_id=access or None, aws_secret_access_key=secret or None, region_name=region
    )
    return session.client(
        "polly",
        endpoint_url=base_url or None,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=SILENCE_S,
            retries={"total_max_attempts": 1},
            max_pool_connections=MOST,
        ),
    )


@cache
def _threads() -> ThreadPoolExecutor:
    """The loop's own look up names."""
    return ThreadPoolExecutor(MOST, "polly")


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


PROVIDER = Polly
