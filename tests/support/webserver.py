"""A web server for tests: files by path, and the ways in which a server can fail."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import numpy as np
from gevent.pywsgi import WSGIServer

Start = Callable[..., Any]


def tone(frequency: float, seconds: float, rate: int = 8000, amplitude: int = 8000) -> bytes:
    """A WAV file of a tone."""
    samples = amplitude * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return target.getvalue()


class WebServer:
    """Serves `files`; `/hang` never answers, `/endless` never ends, `/stall` stops midway."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.files: dict[str, tuple[str, bytes]] = {}
        self.requests: list[str] = []
        self.stopping = gevent.event.Event()
        self._server = WSGIServer((host, 0), self._answer, log=None, error_log=None)
        self._server.start()

    def put(self, path: str, body: bytes, content_type: str = "audio/wav") -> str:
        """Serve this; the URL."""
        self.files[path] = (content_type, body)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://{self._host}:{self._server.server_port}{path}"

    def stop(self) -> None:
        self.stopping.set()
        self._server.stop(timeout=0.1)

    def _answer(self, environ: dict[str, Any], start: Start) -> Any:
        path = environ["PATH_INFO"]
        self.requests.append(path)
        if path == "/hang":
            self.stopping.wait(30)
            start("500 Late", [])
            return [b""]
        if path in ("/endless", "/stall"):
            start("200 OK", [("Content-Type", "audio/wav")])
            return self._stream(path == "/endless")
        if path not in self.files:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"no such file"]
        content_type, body = self.files[path]
        start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]

    def _stream(self, endless: bool) -> Iterator[bytes]:
        yield tone(440, 1)
        while not self.stopping.is_set():
            if endless:
                yield bytes(65536)
                gevent.sleep(0)
            else:
                self.stopping.wait(30)
