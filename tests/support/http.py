"""A plain HTTP client for tests: one request, its status, headers and JSON body."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 20.0


@dataclass(slots=True)
class Answer:
    """`body` is the decoded JSON, or None when there is none; `raw` are its bytes."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None

    @property
    def error(self) -> tuple[int, str]:
        """Status and text of an error."""
        return self.status, self.body["error"]


class HttpClient:
    """Requests to one service, each on a connection of its own."""

    def __init__(self, address: str, **headers: str) -> None:
        self.address = address
        self.headers = headers

    def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Answer:
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        sent = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()
