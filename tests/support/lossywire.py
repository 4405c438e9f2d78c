"""SIP by UDP over a network that loses messages, as RFC 3261 (17) has it: what is not answered is sent again,
and what is asked again is answered again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from .sipmessage import Message
from .sipwire import Wire

T1_S, T2_S = 0.5, 4.0
LONGEST_S = 64 * T1_S


class LossyWire(Wire):
    """A listener for UDP."""

    def __init__(self, host: str) -> None:
        super().__init__(host=host)
        self._open: set[tuple[str, ...]] = set()
        """Requests without an answer, by Call-ID and CSeq; and final answers to INVITEs without an ACK."""
        self._said: dict[tuple[str, ...], Message] = {}
        """The last answer to each request."""

    def send(self, message: Message, to: tuple[str, int]) -> None:
        super().send(message, to)
        if message.method != "ACK":
            self._again((message.get("call-id"), message.get("cseq")), lambda: Wire.send(self, message, to))

    def answer(self, request: Message, response: Message) -> None:
        super().answer(request, response)
        self._said[_asked(request)] = response
        if request.method == "INVITE" and response.status >= 200:
            self._again(_acknowledged(request), lambda: Wire.answer(self, request, response))

    def _again(self, key: tuple[str, ...], send: Callable[[], None]) -> None:
        if key not in self._open:
            self._open.add(key)
            self._greenlets.append(gevent.spawn(self._until_answered, key, send))

    def _until_answered(self, key: tuple[str, ...], send: Callable[[], None]) -> None:
        pause, until = T1_S, time.monotonic() + LONGEST_S
        while True:
            gevent.sleep(pause)
            if key not in self._open or time.monotonic() > until:
                return
            send()
            pause = min(pause * 2, T2_S)

    def _take(self, data: bytes, came: Any) -> None:
        message = Message.parse(data)
        if message.status:
            self._open.discard((message.get("call-id"), message.get("cseq")))
        elif message.method == "ACK":
            self._open.discard(_acknowledged(message))
        elif (said := self._said.get(_asked(message))) is not None:
            message.came = came
            super().answer(message, said)
        super()._take(data, came)


def _asked(request: Message) -> tuple[str, ...]:
    return (request.get("call-id"), request.get("cseq"), request.get("via"))


def _acknowledged(request: Message) -> tuple[str, ...]:
    return (request.get("call-id"), request.get("cseq").split()[0], "ACK")
