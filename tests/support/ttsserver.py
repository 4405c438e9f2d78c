"""ElevenLabs' synthesis as tests play it, beside a service.

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
RATE = 16000


def tone(frequency: float, seconds: float, amplitude: float = 8000) -> bytes:
    """Samples."""
    times = np.arange(int(RATE * seconds)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype("<i2").tobytes()


class TtsServer:
    """On a port of loopback."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        """What it was asked for."""
        self.go_on = Event()
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None, error_log=None)
        self._server.start()

    @property
    def settings(self) -> dict[str, Any]:
        """Of a service that uses it."""
        return {"elevenlabs_key": KEY, "elevenlabs_url": f"http://127.0.0.1:{self._server.server_port}"}

    def stop(self) -> None:
        self.go_on.set()
        self._server.stop(timeout=0.1)

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        body = json.load(environ["wsgi.input"])
        self.texts.append(body["text"])
        kind, *told = environ["PATH_INFO"].split("/")[3].split("-")
        if environ.get("HTTP_XI_API_KEY") != KEY:
            kind, told = "status", ["401"]
        if kind == "hang":
            self.go_on.wait(30)
            kind, told = "status", ["500"]
        if kind == "status":
            start(f"{told[0]} Refused", [("Content-Type", "application/json")])
            return [json.dumps({"detail": f"no {body['text']}"}).encode()]
        start("200 OK", [("Content-Type", "audio/pcm")])
        return self._audio(tone(*map(float, told)), kind == "half")

    def _audio(self, pcm: bytes, halts: bool) -> Iterator[bytes]:
        half = len(pcm) // 4 * 2
        yield pcm[:half]
        if halts:
            self.go_on.wait(30)
        yield pcm[half:]
