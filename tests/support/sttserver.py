"""Deepgram's recognition as tests play it, beside a service: it hears what a media worker brings, and says
what the test wants.

What it refuses: see tests/unit/providers/test_stt_deepgram.py, where each provider's wire is tested.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from gevent.pywsgi import WSGIServer
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import WebSocketHandler

from .drivers import eventually

KEY = "good-key"


class Connection:
    """One of a session."""

    def __init__(self, connected: Any, query: str) -> None:
        self._socket = connected
        self.query = query
        self.heard = bytearray()
        """Mono, 16 bit, little endian, 16 kHz."""
        self.ended = False
        """The client said that no more comes."""
        self.gone = False

    def says(self, text: str, final: bool = True) -> None:
        """Have understood this."""
        alternatives = [{"transcript": text, "confidence": 0.9, "words": []}]
        self.send(
            json.dumps({"type": "Results", "is_final": final, "channel": {"alternatives": alternatives}})
        )

    def send(self, message: str | bytes) -> None:
        self._socket.send(message)

    def breaks(self) -> None:
        """The connection is gone, without a word."""
        self._socket.stream.handler.socket.shutdown(socket.SHUT_RDWR)

    def loud(self) -> bool:
        """Whether anything but silence came."""
        return max(self.heard[1::2], default=0) > 0


class SttServer:
    """On a port of loopback, or of another address of this host."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.connections: list[Connection] = []
        self.refused = 0
        self.last_text = ""
        """What it has understood when the audio ends; nothing when empty."""
        self.refuses = False
        """From now on, all."""
        server = self

        class Handler(WebSocketHandler):
            def upgrade_websocket(self) -> Any:
                if status := server._refusal(self.environ):
                    self.start_response(status, [])
                    return [b""]
                return super().upgrade_websocket()

        self._server = WSGIServer((host, 0), self._serve, handler_class=Handler, log=None, error_log=None)
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._server.server_port}"

    def stop(self) -> None:
        self._server.stop(timeout=0.2)

    def _refusal(self, environ: dict[str, Any]) -> str:
        """The status with which a connection is not taken."""
        status = ""
        if environ.get("HTTP_AUTHORIZATION") != f"Token {KEY}":
            status = "401 Unauthorized"
        elif self.refuses or environ["PATH_INFO"] != "/v1/listen":
            status = "503 Service Unavailable"
        self.refused += bool(status)
        return status

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        connected = environ["wsgi.websocket"]
        one = Connection(connected, environ["QUERY_STRING"])
        self.connections.append(one)
        try:
            while (message := connected.receive()) is not None:
                if isinstance(message, (bytes, bytearray)):
                    one.heard += message
                elif json.loads(message)["type"] == "CloseStream":
                    one.ended = True
                    if self.last_text:
                        one.says(self.last_text)
                    connected.close()
        except (WebSocketError, OSError):
            pass
        one.gone = True
        return []

    def connection(self, number: int = 0) -> Connection:
        """The so-manyeth, once it is there and hears."""
        eventually(lambda: len(self.connections) > number, f"connection {number}")
        one = self.connections[number]
        eventually(lambda: len(one.heard) > 0, "audio comes")
        return one
