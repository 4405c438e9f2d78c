"""OpenAI's recognition, or that of any server with the same interface.

Two of them: the WebSocket for transcription (`/realtime`), and a request per utterance
(`/audio/transcriptions`), which is what most servers for one's own machines have.
"""

from __future__ import annotations

import asyncio
import io
import wave
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import orjson
import soxr

from ..answers import beginning
from ..base import (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    TRANSIENT,
    ProviderError,
    Transcriber,
    Transcript,
    category_of,
)
from ..utterances import Utterances
from ..websocket import ProviderSocket, websocket_url

MODEL = "gpt-transcribe"
WITHOUT_TURNS = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""Models that do not find the ends of utterances: we do, and commit there."""
WITH_KEYWORDS = ("gpt-transcribe", "gpt-live-transcribe")
TRANSCRIPTION = "conversation.item.input_audio_transcription"
THEIR_RATE = 24000
"""The only one that the WebSocket takes."""
MOST_UTTERANCES, LONGEST_TEXT = 64, 16_384
"""Under way at the same time, and characters of one whose parts are put together."""
LAST_S = 0.5
"""What we commit at the end may come behind what they had committed before: how much later at most."""
NOTHING = "input_audio_buffer_commit_empty"
LAST = "last"
"""Our name for the commit at the end, by which they say that there was nothing."""

WAITING = 8
"""Utterances that wait for the one before them; more are given up."""
REQUEST_S = 60.0
ATTEMPTS, PAUSE_S = 3, 0.5
LONGEST_ANSWER = 1 << 20


def language_of(tag: str) -> str:
    """ISO 639-1, as they take it: en of en-US."""
    return tag.partition("-")[0].lower()


class OpenAI(Transcriber):
    """The one or the other, as `settings["api"]` says: realtime or transcriptions."""

    BASE_URL = "https://api.openai.com/v1"
    NEEDS_KEY = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        kind = Requests if self.settings.get("api") == "transcriptions" else Realtime
        self._one = kind(self)

    @property
    def model(self) -> str:
        return str(self.settings.get("model") or MODEL)

    @property
    def headers(self) -> dict[str, str]:
        key = self.settings.get("api_key")
        return {"Authorization": f"Bearer {key}"} if key else {}

    async def open(self) -> None:
        await self._one.open()

    async def send(self, pcm: bytes) -> None:
        await self._one.send(pcm)

    async def finish(self) -> None:
        await self._one.finish()

    def texts(self) -> AsyncIterator[Transcript]:
        return self._one.texts()

    async def close(self) -> None:
        await self._one.close()


class Realtime:
    """The WebSocket."""

    def __init__(self, provider: OpenAI) -> None:
        self._provider = provider
        self._socket = ProviderSocket("openai")
        self._resampler = soxr.ResampleStream(RATE, THEIR_RATE, 1, dtype="int16", quality="MQ")
        self._turns = Utterances() if provider.model in WITHOUT_TURNS else None
        self._partials: dict[str, str] = {}
        self._committed: set[str] = set()
        """Utterances of which the text is still to come."""
        self._finishing = False

    async def open(self) -> None:
        provider = self._provider
        await self._socket.open(
            provider.http,
            websocket_url(provider.base_url, "/realtime"),
            params={"intent": "transcription"},
            headers=provider.headers,
        )
        transcription: dict[str, Any] = {"model": provider.model}
        if language := language_of(str(provider.settings.get("language") or "en")):
            transcription["language"] = language
        if provider.model in WITH_KEYWORDS and provider.settings.get("keyterms"):
            transcription["keywords"] = list(provider.settings["keyterms"])
        audio = {
            "format": {"type": "audio/pcm", "rate": THEIR_RATE},
            "transcription": transcription,
            "turn_detection": None if self._turns is not None else {"type": "server_vad"},
        }
        session = {"type": "transcription", "audio": {"input": audio}}
        await self._socket.send_json({"type": "session.update", "session": session})

    async def send(self, pcm: bytes) -> None:
        samples = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2"))
        if len(samples):
            audio = b64encode(samples.astype("<i2").tobytes()).decode()
            await self._socket.send_json({"type": "input_audio_buffer.append", "audio": audio})
        if self._turns is not None and self._turns.take(pcm):
            await self._socket.send_json({"type": "input_audio_buffer.commit"})

    async def finish(self) -> None:
        self._finishing = True
        await self._socket.send_json({"type": "input_audio_buffer.commit", "event_id": LAST})

    async def texts(self) -> AsyncIterator[Transcript]:
        async for message in self._socket.objects():
            kind, item = message.get("type"), str(message.get("item_id", ""))
            if kind == f"{TRANSCRIPTION}.delta" and isinstance(message.get("delta"), str):
                if item in self._partials or len(self._partials) < MOST_UTTERANCES:
                    whole = self._partials.get(item, "") + message["delta"]
                    self._partials[item] = whole[:LONGEST_TEXT]
                    yield Transcript(self._partials[item], False)
            elif kind in (f"{TRANSCRIPTION}.completed", f"{TRANSCRIPTION}.failed"):
                self._partials.pop(item, None)
                self._committed.discard(item)
                text = message.get("transcript")
                if isinstance(text, str):
                    yield Transcript(text.strip(), True)
                if self._finishing and not self._committed:
                    self._socket.close_soon(LAST_S)
            elif kind == "input_audio_buffer.committed":
                if len(self._committed) < MOST_UTTERANCES:
                    self._committed.add(item)
                self._socket.stay()
            elif kind == "error" and self._is_end(message.get("error")):
                return

    def _is_end(self, error: Any) -> bool:
        """Whether nothing more comes. ProviderError for what ends the session."""
        told = error if isinstance(error, dict) else {}
        kind, code = str(told.get("type", "")), str(told.get("code", ""))
        if code == NOTHING or told.get("event_id") == LAST:
            return self._finishing and not self._committed
        if "auth" in kind or "api_key" in code:
            raise self._socket.error("refused the key", PERMANENT_AUTH)
        if kind == "invalid_request_error":
            raise self._socket.error("refused the request", PERMANENT_INPUT)
        if kind == "server_error":
            raise self._socket.error("reported an error", RETRYABLE)
        return False  # of others the session is said to recover

    async def close(self) -> None:
        await self._socket.close()


class Requests:
    """A request per utterance, one after the other."""

    def __init__(self, provider: OpenAI) -> None:
        self._provider = provider
        self._utterances = Utterances()
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING)

    async def open(self) -> None:
        """There is nothing that could be opened; a key that is wrong is seen with the first utterance."""

    async def send(self, pcm: bytes) -> None:
        for utterance in self._utterances.take(pcm):
            self._put(utterance)

    def _put(self, utterance: bytes | None) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()  # the oldest: its text would come too late anyway
        self._waiting.put_nowait(utterance)

    async def finish(self) -> None:
        if (last := self._utterances.end()) is not None:
            self._put(last)
        self._put(None)

    async def texts(self) -> AsyncIterator[Transcript]:
        while (utterance := await self._waiting.get()) is not None:
            yield Transcript(await self._text(wav(utterance)), True)

    async def _text(self, audio: bytes) -> str:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._request(audio)
            except ProviderError as error:
                if error.category not in TRANSIENT or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _request(self, audio: bytes) -> str:
        provider = self._provider
        form = aiohttp.FormData()
        form.add_field("file", audio, filename="speech.wav", content_type="audio/wav")
        form.add_field("model", provider.model)
        form.add_field("response_format", "json")
        if language := language_of(str(provider.settings.get("language") or "en")):
            form.add_field("language", language)
        try:
            async with (
                asyncio.timeout(REQUEST_S),
                provider.http.post(
                    f"{provider.base_url}/audio/transcriptions",
                    data=form,
                    headers=provider.headers,
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    raise ProviderError(
                        f"openai: refused an utterance: status {answer.status}", category_of(answer.status)
                    )
                body = await beginning(answer, LONGEST_ANSWER)
        except TimeoutError:
            raise ProviderError(f"openai: no answer within {REQUEST_S:g} s", RETRYABLE) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderError(f"openai: no answer: {type(error).__name__}", SERVICE_UNAVAILABLE) from None
        return _text_of(body)

    async def close(self) -> None:
        """A request under way is cancelled together with `texts`."""


def wav(pcm: bytes) -> bytes:
    """An utterance as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(pcm)
    return file.getvalue()


def _text_of(body: bytes) -> str:
    """Of an answer. ProviderError when it is none."""
    try:
        text = orjson.loads(body)["text"]
    except (ValueError, LookupError, TypeError):
        text = None
    if not isinstance(text, str):
        raise ProviderError("openai: an answer without a text", SERVICE_UNAVAILABLE)
    return text.strip()


PROVIDER = OpenAI
