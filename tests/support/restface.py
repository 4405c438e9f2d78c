"""A test client whose commands go over REST, so that the conformance tests show that both faces are one."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import gevent
from gevent.queue import Queue

from vsi_esl.protocol.registry import Body, Rest
from vsi_esl.protocol.routes import routes

from .http import Answer, HttpClient
from .vsi import VsiClient

PARAMETER = re.compile(r"\{(\w+)\}")


class RestFace(VsiClient):
    """Commands as HTTP requests, one after the other as on a VSI connection; events by VSI as ever.

    What REST cannot express (a missing id, a payload that is no object) is sent over VSI.
    """

    def __init__(self, address: str, query: str = "") -> None:
        super().__init__(address, query)
        self._http = HttpClient(address)
        self._routes = routes()
        self._requests: Queue[Any] = Queue()
        self._sender = gevent.spawn(self._run)

    def send(self, name: str, **payload: Any) -> str:
        rest = self._routes.get(name)
        payload = {key.rstrip("_"): value for key, value in payload.items()}
        if rest is None or not all(
            isinstance(payload.get(key), str) and payload[key] for key in PARAMETER.findall(rest.path)
        ):
            return super().send(name, **payload)
        self._number += 1
        self._requests.put((str(self._number), name, rest, payload))
        return str(self._number)

    def close(self) -> None:
        self._sender.kill()
        super().close()

    def _run(self) -> None:
        while True:
            number, name, rest, payload = self._requests.get()
            try:
                answer = self._http(rest.method, _path(rest, payload), _body(rest, payload))
            except OSError:
                continue  # the service is gone; nobody gets a reply
            self.replies[number] = _frame(number, name, rest, answer)
            self.frames.append(self.replies[number])
            self._changed.set()


def _path(rest: Rest, payload: dict[str, Any]) -> str:
    return "/v1" + PARAMETER.sub(lambda found: quote(payload[found[1]], safe=""), rest.path)


def _body(rest: Rest, payload: dict[str, Any]) -> dict[str, Any] | None:
    if rest.body is Body.NONE:
        return None
    if rest.within:
        return payload.get(rest.within)
    called = {inside: outside for outside, inside in rest.names.items()}
    path = PARAMETER.findall(rest.path)
    return {called.get(key, key): value for key, value in payload.items() if key not in path}


def _frame(number: str, name: str, rest: Rest, answer: Answer) -> dict[str, Any]:
    """The VSI reply that says the same, after checking what only REST has."""
    data = json.loads(answer.raw)
    assert answer.raw.endswith(b"\n") and answer.headers["Content-Type"] == "application/json"
    if isinstance(data, dict):
        assert next(iter(data)) == "instance_id"
        del data["instance_id"]
    if answer.status >= 400:
        frame = {"type": "error", "data": {"code": answer.status, "message": data["error"]}}
    else:
        assert answer.status == rest.status, answer
        frame = {"type": f"{name}.result", "data": data}
    return {**frame, "request_id": number}
