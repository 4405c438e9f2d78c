"""What the scenarios for the published client share: its two sides as one, its events, the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from voiceblender import Client, Event
from voiceblender.sync import SyncClient, SyncEventStream, SyncLeg, SyncRoom

BROKEN_URL = "http://127.0.0.1:1/private.wav"
"""Of an address that the service does not fetch from."""
MACHINE = {"greeting_duration": 200, "beep_timeout": 5000}
"""A short greeting will do, and a beep is wanted."""
OFFER = """\
v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=ice-ufrag:Ss0j
a=ice-pwd:nqQE9wuuYYYVtiUYxuu21zIB
a=fingerprint:sha-256 1A:E9:31:59:DE:9B:98:F2
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
"""
"""What a browser could say."""
CANDIDATE = "candidate:1 1 udp 2113937151 192.0.2.2 39378 typ host"
HANDLES = {"leg", "room"}
"""Methods that ask nothing of the server, and are not awaited on either side."""


def sandbox(port: int, request: dict[str, Any]) -> str:
    """Have the sandbox's people do something; its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        stream = sock.makefile("rwb")
        stream.write(f"auth ClueCon\n\napi sandbox {json.dumps(request)}\n\n".encode())
        stream.flush()
        while not (line := stream.readline()).startswith(b"Content-Length: "):
            assert line, "the sandbox hung up"
        stream.readline()
        return stream.read(int(line.split()[1])).decode().strip()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Sync:
    """An object of the client's synchronous side, for a scenario that awaits: each call runs in a thread."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if not callable(value):
            return value
        if name in HANDLES:
            return lambda *arguments: Sync(value(*arguments))

        async def call(*arguments: Any) -> Any:
            return _wrapped(await asyncio.to_thread(value, *arguments))

        return call

    async def __aenter__(self) -> Sync:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.target.close)


def _wrapped(value: Any) -> Any:
    if isinstance(value, list):
        return [_wrapped(one) for one in value]
    return Sync(value) if isinstance(value, (SyncLeg, SyncRoom, SyncEventStream)) else value


class Events:
    """What came over the client's event stream, typed."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def seen(self, kind: str, **members: Any) -> Event | None:
        """The first event of a type with these members."""
        for event in self.all:
            if event.type == kind and all(getattr(event, k, None) == v for k, v in members.items()):
                return event
        return None

    async def wait(self, kind: str, **members: Any) -> Event:
        """The same, when it has come."""
        await until(lambda: self.seen(kind, **members) is not None)
        found = self.seen(kind, **members)
        assert found is not None
        return found

    async def collect(self, client: Any) -> None:
        """Take what the client's hub gets from now on."""
        if isinstance(client, Sync):
            take = asyncio.get_running_loop().call_soon_threadsafe
            subscription = await asyncio.to_thread(client.target.subscribe)

            def collecting() -> None:
                with contextlib.suppress(RuntimeError):  # the end of the client is that of its subscriptions
                    while True:  # its `events()` yields something else than events in this release
                        event = subscription.next()
                        take(self._add, event)

            threading.Thread(target=collecting, daemon=True).start()
            return
        self._task = asyncio.create_task(self._collect(client.subscribe()))

    async def _collect(self, subscription: Any) -> None:
        async for event in subscription.events():
            self._add(event)

    def _add(self, event: Event) -> None:
        self.all.append(event)


@contextlib.asynccontextmanager
async def connected(address: str, side: str) -> AsyncIterator[tuple[Any, Any, Events]]:
    """A client of one side, `async` or `sync`, its VSI stream, and its events."""
    base = f"http://{address}/v1"
    client = Client(base) if side == "async" else Sync(await asyncio.to_thread(SyncClient, base))
    async with client, await client.events_stream() as stream:
        events = Events()
        await events.collect(client)
        yield client, stream, events


async def rarer_events(
    leg: str, port: int, events: Events, *, hold: Awaitable[Any], play: Awaitable[Any]
) -> None:
    """What no command brings about by itself, for a leg in a room. `play` is of BROKEN_URL."""
    for on, kind in ((True, "speaking.started"), (False, "speaking.stopped")):
        sandbox(port, {"do": "talk", "uuid": leg, "on": on})
        await events.wait(kind, leg_id=leg)
    playing = await play
    failed = await events.wait("playback.error", playback_id=playing.playback_id)
    assert failed.error
    sandbox(port, {"do": "hold_reject", "uuid": leg, "code": 488})
    await hold
    refused = await events.wait("leg.command_failed", leg_id=leg)
    assert refused.command == "hold"


async def transfers(
    port: int,
    events: Events,
    *,
    answer: Callable[[str], Awaitable[Any]],
    transfer: Callable[[str, str | None], Awaitable[Any]],
) -> None:
    """One to TARGET that succeeds, in the place of another leg, and one that fails."""
    legs = []
    for _ in range(3):
        legs.append(sandbox(port, {"do": "call"}).split()[1])
        await events.wait("leg.ringing", leg_id=legs[-1])
        await answer(legs[-1])
        await events.wait("leg.connected", leg_id=legs[-1])
    for leg, other, code, phrase, kind in (
        (legs[0], legs[1], 200, "OK", "leg.transfer_completed"),
        (legs[2], None, 486, "Busy Here", "leg.transfer_failed"),
    ):
        assert (await transfer(leg, other)).status == "transfer_initiated"
        begun = await events.wait("leg.transfer_initiated", leg_id=leg)
        assert (begun.target, begun.replaces_leg_id) == (TARGET, other)
        await until(lambda: json.loads(sandbox(port, {"do": "far", "uuid": leg}))["referred"])  # noqa: B023
        sandbox(port, {"do": "notify", "uuid": leg, "line": "SIP/2.0 180 Ringing", "state": "active"})
        progress = await events.wait("leg.transfer_progress", leg_id=leg)
        assert (progress.status_code, progress.reason) == (180, "Ringing")
        sandbox(
            port, {"do": "notify", "uuid": leg, "line": f"SIP/2.0 {code} {phrase}", "state": "terminated"}
        )
        over = await events.wait(kind, leg_id=leg)
        assert (over.status_code, over.reason) == (code, phrase)
        for ended in (leg, other) if other else (leg,):
            await events.wait("leg.disconnected", leg_id=ended)


async def decisions(
    leg: str,
    port: int,
    events: Events,
    *,
    accept: Callable[[], Awaitable[Any]],
    progress: Callable[[], Awaitable[Any]],
    complete: Callable[[], Awaitable[Any]],
    decline: Callable[[], Awaitable[Any]],
) -> None:
    """On two REFERs of a leg's peer: one is accepted and carried out, the other one declined with 486."""
    refer = {"do": "refer", "uuid": leg, "to": "sip:bob@example.com"}
    sandbox(port, refer)
    asked = await events.wait("leg.transfer_requested", leg_id=leg)
    assert (asked.kind, asked.target, asked.declined) == ("blind", "sip:bob@example.com", False)
    assert (await accept()).status == "accepting"
    assert (await progress()).status == "progress"
    assert (await complete()).status == "completing"
    completed = await events.wait("leg.transfer_completed", leg_id=leg)
    assert (completed.status_code, completed.reason) == (200, "OK")
    sandbox(port, refer)
    await until(lambda: sum(event.type == "leg.transfer_requested" for event in events.all) == 2)
    assert (await decline()).status == "declining"
    failed = await events.wait("leg.transfer_failed", leg_id=leg)
    assert (failed.status_code, failed.reason) == (486, "Busy Here")


async def machine(leg: str, port: int, events: Events, *, start: Awaitable[Any]) -> None:
    """A leg that is a machine, by a tone that is its greeting and its beep. `start` is of a detection that
    waits for both."""
    assert (await start).status == "started"
    sandbox(port, {"do": "say", "uuid": leg, "frequency": 1000})
    result = await events.wait("amd.result", leg_id=leg)
    assert (result.result, result.greeting_duration_ms) == ("machine", MACHINE["greeting_duration"])
    beep = await events.wait("amd.beep", leg_id=leg)
    assert beep.beep_ms >= 80
    sandbox(port, {"do": "say", "uuid": leg})


AGENTS = {
    "elevenlabs": {"agent_id": "a", "first_message": "Hello", "dynamic_variables": {"name": "Ann"}},
    "vapi": {"assistant_id": "a", "first_message": "Hello", "variable_values": {"name": "Ann"}},
    "deepgram": {"greeting": "Hello", "language": "en"},
    "pipecat": {"websocket_url": ""},
}
"""Provider: what it is started with."""
_sessions = itertools.count(1)


async def conversations(
    events: Events,
    about: dict[str, str],
    *,
    start: Callable[[str, dict[str, Any]], Awaitable[Any]],
    message: Callable[[str], Awaitable[Any]],
    stop: Callable[[], Awaitable[Any]],
) -> None:
    """One with each of the providers, which are at VSI_ESL_TEST_AGENTS, of the leg or room in `about`."""
    address = os.environ["VSI_ESL_TEST_AGENTS"]
    for provider, given in AGENTS.items():
        events.all = [event for event in events.all if not event.type.startswith("agent.")]
        wanted = {**given, **({"websocket_url": f"ws{address[4:]}/bot"} if provider == "pipecat" else {})}
        assert (await start(provider, wanted)).status == "agent_started"
        assert (await events.wait("agent.connected", **about)).conversation_id
        number = next(_sessions)
        for user in (True, False):
            said = json.dumps({"text": f"said in {number}", "user": user}).encode()
            await asyncio.to_thread(urllib.request.urlopen, f"{address}/tests/{number}/said", said, 5)
        for kind in ("agent.user_transcript", "agent.agent_response"):
            assert (await events.wait(kind, **about)).text == f"said in {number}"
        if provider != "elevenlabs":
            assert (await message("be brief")).status == "message_sent"
        assert (await stop()).status == "agent_stopped"
        await events.wait("agent.disconnected", **about)


TARGET = "sip:sales@127.0.0.1"
STT = {"language": "en", "partial": False, "provider": "deepgram"}


async def transcript(
    events: Events, start: Awaitable[Any], stop: Callable[[], Awaitable[Any]], **about: str
) -> Any:
    """Of a leg or room, by a provider that has understood something at the end; what start answers."""
    events.all = [event for event in events.all if event.type != "stt.text"]
    started = await start
    assert started.status == "stt_started"
    assert (await stop()).status == "stt_stopped"
    text = await events.wait("stt.text", **about)
    assert (text.text, text.is_final) == ("goodbye", True)
    return started


SPEECH = {"text": "Hello", "model_id": "", "volume": 0, "provider": "openai"}


async def speech(
    events: Events, about: dict[str, str], say: Callable[[dict[str, Any]], Awaitable[Any]]
) -> None:
    """A text that is said to the leg or room in `about`, and one that cannot be."""
    saying = await say({**SPEECH, "voice": "tone-440-0.1"})
    assert saying.status == "playing"
    for kind in ("tts.started", "tts.finished"):
        await events.wait(kind, tts_id=saying.tts_id, **about)
    saying = await say({**SPEECH, "voice": "status-401"})
    assert (await events.wait("tts.error", tts_id=saying.tts_id, **about)).error


def main(scenario: Callable[[str, int, str], Awaitable[Events]]) -> None:
    """Run a scenario: address, port of the sandbox, side. Prints the types of the events it saw."""
    address, port, side = sys.argv[1:]

    async def run() -> list[str]:
        events = (await scenario(address, int(port), side)).all
        assert not [event.type for event in events if type(event) is Event], "events that are not typed"
        return sorted({event.type for event in events})

    print(json.dumps(asyncio.run(run())))
