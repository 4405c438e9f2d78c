"""ElevenLabs' synthesis as tests play it, beside a service, and OpenAI's, which asks for no key.

The voice says what the answer is: `tone-440-2.5` is so many Hz for so many seconds (`tone-440-2.5-600` of
this amplitude), `half-440-2.5` the first half of it until `go_on`, `status-401` a refusal, and `hang` none at
all. What it refuses: see tests/unit/providers/test_tts_http.py, where each provider's wire is tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from gevent.event import Event
from gevent.pywsgi import WSGIServer

KEY = "good-key-0123456789"
RATE, OPENAI_RATE = 16000, 24000


def tone(rate: int, frequency: float, seconds: float, amplitude: float = 8000) -> bytes:
    """Samples."""
    times = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype("<i2").tobytes()


class TtsServer:
    """On a port of loopback, or of another address of this host."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.texts: list[str] = []
        """What it was asked for."""
        self.go_on = Event()
        self._server = WSGIServer((host, 0), self._answer, log=None, error_log=None)
        self._server.start()

    @property
    def http(self) -> str:
        return f"http://{self._host}:{self._server.server_port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Of a service that uses it."""
        return {"elevenlabs_key": KEY, "elevenlabs_url": self.http}

    def stop(self) -> None:
        self.go_on.set()
        self._server.stop(timeout=0.1)

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        body = json.load(environ["wsgi.input"])
        openai = environ["PATH_INFO"] == "/v1/audio/speech"
        text, voice = (
            (body["input"], body["voice"]) if openai else (body["text"], environ["PATH_INFO"].split("/")[3])
        )
        self.texts.append(text)
        kind, *told = voice.split("-")
        if not openai and environ.get("HTTP_XI_API_KEY") != KEY:
            kind, told = "status", ["401"]
        if kind == "hang":
            self.go_on.wait(30)
            kind, told = "status", ["500"]
        if kind == "status":
            start(f"{told[0]} Refused", [("Content-Type", "application/json")])
            return [json.dumps({"detail": f"no {text}"}).encode()]
        start("200 OK", [("Content-Type", "audio/pcm")])
        return self._audio(tone(OPENAI_RATE if openai else RATE, *map(float, told)), kind == "half")

    def _audio(self, pcm: bytes, halts: bool) -> Iterator[bytes]:
        half = len(pcm) // 4 * 2
        yield pcm[:half]
        if halts:
            self.go_on.wait(30)
        yield pcm[half:]
