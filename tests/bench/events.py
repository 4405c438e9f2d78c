"""Decoding and translating recorded events; bursts; the way of an event to a client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import gevent
from greenswitch.esl import ESLEvent

from tests.support.vsi import VsiClient
from vsi_esl.app import Service as InProcess
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, SpeechSettings, StateSettings, SwitchSettings
from vsi_esl.switch.esl.codec import Decoder, decode_event
from vsi_esl.translate import translate

from .processes import Sandbox, Service

RECORDED = Path(__file__).parents[1] / "data" / "call-events.jsonl"
ROUNDS = 40
TURNS = 15
STARTED_S = 5
"""Until the media worker has started, which takes a core meanwhile."""


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body


def decode_and_translate() -> list[tuple[str, str, str]]:
    """Bytes of a real switch to published VSI events, by CPU; greenswitch's parser beside it."""
    bodies = [line.encode() for line in RECORDED.read_text().splitlines()]
    channel = [body for body in bodies if b'"Event-Name":"CHANNEL_' in body]
    service = InProcess(
        Config(
            http=HttpSettings(addr="127.0.0.1:0"),
            state=StateSettings(path=":memory:"),
            speech=SpeechSettings(detection_enabled=True),
        )
    )
    node = service.ctx.nodes.default
    rows = []
    for name, chosen in (("CHANNEL_* events", channel), ("all events of a call", bodies)):
        stream = b"".join(map(frame, chosen))
        plain = [_plain(body) for body in chosen]
        decoded: list[float] = []
        translated: list[float] = []
        theirs: list[float] = []
        for _ in range(TURNS):
            decoded.append(_rate(len(chosen), partial(_read, stream, lambda _: None)))
            translated.append(
                _rate(len(chosen), partial(_read, stream, partial(translate, service.ctx, node)))
            )
            theirs.append(_rate(len(chosen), partial(_parse_all, plain)))
            gevent.sleep(0.05)  # what translating has begun is done, outside of what is measured
        ours, parsed = median(translated), median(theirs)
        rows += [
            (
                f"decode, {name}",
                f"{median(decoded):,.0f} events/s",
                f"greenswitch parses {parsed:,.0f}/s: {median(decoded) / parsed:.1f} x",
            ),
            (
                f"decode + translate, {name}",
                f"{ours:,.0f} events/s, best {max(translated):,.0f}",
                f"greenswitch parses {parsed:,.0f}/s: {ours / parsed:.1f} x; median of {TURNS} turns",
            ),
        ]
    service.ctx.workers.stop()
    service.ctx.timers.stop()
    service.ctx.state.close()
    return rows


def _rate(count: int, once: Callable[[], None]) -> float:
    """Events a second of this thread's CPU when `once` handles `count` of them: what else the machine does is
    not in it, but for its share of the caches."""
    started = time.thread_time()
    for _ in range(ROUNDS):
        once()
    return ROUNDS * count / (time.thread_time() - started)


def _read(stream: bytes, handle: Callable[[dict[str, Any]], None]) -> None:
    decoder = Decoder()
    decoder.feed(stream)
    while (one := decoder.next_frame()) is not None:
        handle(decode_event(one.body))


def _parse_all(texts: list[str]) -> None:
    for text in texts:
        ESLEvent(text)


def _plain(body: bytes) -> str:
    event: dict[str, Any] = json.loads(body)
    return "".join(f"{name}: {quote(str(value))}\n" for name, value in event.items())


def end_to_end() -> list[tuple[str, str, str]]:
    """Switch process -> service process -> this client."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = esl.send('api sandbox {"do":"call"}').split()[1]
        client.event("leg.ringing")
        client.ok("answer_leg", id=leg)
        client.event("leg.connected")
        count = 30_000
        before = service.info.cpu_times()
        started = time.perf_counter()
        esl.send(json.dumps({"do": "burst", "uuid": leg, "events": count}).join(["api sandbox ", ""]))
        client.event("dtmf.received", timeout=60, seq=count)
        seconds = time.perf_counter() - started
        after = service.info.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        received = sum(event["type"] == "dtmf.received" for event in client.events)
        dropped = sum(one["count"] for one in client.frames if one["type"] == "events_dropped")
        client.close()
        esl.stop()
        return [
            (
                "switch to VSI client, end to end",
                f"{received / seconds:,.0f} events/s",
                f"{received} received, {dropped} dropped; service CPU {cpu / seconds:.0%} of a core",
            )
        ]
    finally:
        service.end()
        sandbox.end()


def burst() -> list[tuple[str, str, str]]:
    """20,000 events at once: how late a 5 ms timer in the service gets."""
    sandbox = Sandbox()
    service = InProcess(
        Config(
            switch=SwitchSettings(port=sandbox.port),
            http=HttpSettings(addr="127.0.0.1:0"),
            state=StateSettings(path=":memory:"),
        )
    )
    service.start()
    try:
        service.ctx.nodes.default.wait_ready(10)
        esl = sandbox.client()
        leg = esl.send('api sandbox {"do":"call"}').split()[1]
        while service.ctx.legs.find(leg) is None:
            gevent.sleep(0.01)
        one = service.ctx.legs.get(leg)
        service.ctx.workers.run(leg, 10, service.ctx.nodes.default.switch.answer, one, "PCMU")
        while one.state != "connected":
            gevent.sleep(0.01)
        gevent.sleep(STARTED_S)
        late: list[float] = []

        def ticker() -> None:
            while True:
                due = time.perf_counter() + 0.005
                gevent.sleep(0.005)
                late.append(time.perf_counter() - due)

        timer = gevent.spawn(ticker)
        esl.send(json.dumps({"do": "burst", "uuid": leg, "events": 20_000}).join(["api sandbox ", ""]))
        with gevent.Timeout(60):
            while one.dtmf_seq < 20_000:
                gevent.sleep(0.02)
        timer.kill()
        esl.stop()
        worst = max(late) * 1000
        median = sorted(late)[len(late) // 2] * 1000
        return [
            (
                "5 ms timer during 20,000 events",
                f"worst {worst:.1f} ms late",
                f"median {median:.1f} ms; goal: at most 50",
            )
        ]
    finally:
        service.stop()
        sandbox.end()
