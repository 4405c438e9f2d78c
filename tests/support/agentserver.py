"""The providers of agents in a process of their own, for tests of whole services.

`python -m tests.support.agentserver [HOST]` serves `agentparties` on a port of loopback or of that address,
which it prints, until its input ends. `AgentServer` is such a process, seen from a test: it says what each
party is to do, and sees what each was sent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from .drivers import eventually

LOOPBACK = "127.0.0.1"
RATE = 16000
LOOKED_AT_MS = 300
"""Of what a party heard last, for the level of a tone."""


class AgentServer:
    """The process."""

    def __init__(self, host: str = LOOPBACK) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.agentserver", host],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.http = f"http://{host}:{self.port}"
        self.bot = f"ws://{host}:{self.port}/bot"
        """A Pipecat bot."""

    @property
    def settings(self) -> dict[str, str]:
        """Of a service's section `providers`."""
        from .agentparties import KEY

        keys = {f"{name}_key": KEY for name in ("elevenlabs", "vapi", "deepgram")}
        urls = ("elevenlabs_url", "vapi_url", "deepgram_agent_url")
        return {**keys, **dict.fromkeys(urls, self.http)}

    @property
    def environment(self) -> dict[str, str]:
        """The same, for a service that is started as a user does it, Pipecat bots included."""
        from .agentparties import KEY

        return {
            **dict.fromkeys(("ELEVENLABS_API_KEY", "VAPI_API_KEY", "DEEPGRAM_API_KEY"), KEY),
            **dict.fromkeys(
                ("VSI_ESL_ELEVENLABS_URL", "VSI_ESL_VAPI_URL", "VSI_ESL_DEEPGRAM_AGENT_URL"), self.http
            ),
            "VSI_ESL_AGENTS_ALLOW_PRIVATE_URLS": "true",
        }

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{self.http}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    @property
    def wrongs(self) -> list[str]:
        """What clients did that no provider takes."""
        found: list[str] = self.ask("/tests/state")["wrongs"]
        return found

    def party(self, number: int = 1) -> There:
        """The other side of the session of this number, as soon as it is there."""
        eventually(lambda: len(self.ask("/tests/state")["sessions"]) >= number, f"session {number}")
        return There(self, number)

    def reset(self, **given: Any) -> None:
        """Forget all sessions, closing those there are. `given` is how the providers behave from now on."""
        self.ask("/tests/reset", **given)

    def stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(20) == 0


class There:
    """One session, seen from its provider."""

    def __init__(self, server: AgentServer, number: int) -> None:
        self._server, self._number = server, number

    def _do(self, what: str, **given: Any) -> None:
        self._server.ask(f"/tests/{self._number}/{what}", **given)

    def speak(self, hz: float, ms: int) -> None:
        """A tone, all of it at once."""
        self._do("speak", hz=hz, ms=ms)

    def said(self, text: str, *, user: bool) -> None:
        self._do("said", text=text, user=user)

    def interrupt(self) -> None:
        self._do("interrupt")

    def end(self, code: int = 1000) -> None:
        self._do("end", code=code)

    def abort(self) -> None:
        """Cut the connection."""
        self._do("abort")

    def broken(self, data: str) -> None:
        """Send this text, which is no message."""
        self._do("broken", data=data)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._server.ask("/tests/state")["sessions"][self._number - 1]
        return found

    def level(self, hz: float) -> float:
        """How loud it heard a tone just now; nothing when little came."""
        found: float = self._server.ask(f"/tests/{self._number}/level", hz=hz)["level"]
        return found

    def gone(self) -> None:
        """Until the client has closed it."""
        eventually(lambda: self.state["closed_by_client"], "the provider's session is closed")


def main(host: str = LOOPBACK) -> None:
    import asyncio

    import numpy as np
    from aiohttp import web

    from .agentparties import Parties, Party

    parties = Parties()
    heard: dict[Party, int] = {}

    def tone(hz: float, ms: int) -> bytes:
        samples = np.arange(RATE * ms // 1000)
        return (8000 * np.sin(2 * np.pi * hz * samples / RATE)).astype("<i2").tobytes()

    async def state(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "sessions": [one.state() for one in parties.sessions],
                "wrongs": parties.wrongs,
                "controls": parties.controls,
            }
        )

    async def reset(request: web.Request) -> web.Response:
        before, routes_of = list(parties.sessions), vars(Parties())
        for name, value in {**routes_of, **await request.json()}.items():
            setattr(parties, name, value)
        for one in before:
            await one.socket.close()
        return web.json_response({})

    async def act(request: web.Request) -> web.Response:
        party = parties.sessions[int(request.match_info["number"]) - 1]
        given = await request.json()
        what = request.match_info["what"]
        if what == "level":
            last = party.heard[-RATE * LOOKED_AT_MS // 1000 * 2 :]
            fresh = len(party.heard) > heard.get(party, 0)
            heard[party] = len(party.heard)
            samples = np.frombuffer(bytes(last), "<i2").astype(float)
            level = 0.0
            if fresh and len(samples):
                wave = np.exp(-2j * np.pi * given["hz"] * np.arange(len(samples)) / RATE)
                level = float(2 * abs(np.mean(samples * wave)))
            return web.json_response({"level": level})
        if what == "speak":
            await party.speak(tone(given["hz"], given["ms"]))
        elif what == "abort":
            assert party.request.transport is not None
            party.request.transport.abort()
        elif what == "broken":
            await party.socket.send_str(given["data"])
        else:
            await getattr(party, what)(**given)
        return web.json_response({})

    async def serve() -> None:
        app = web.Application()
        for path, handler in {
            **parties.routes(),
            "/tests/state": state,
            "/tests/reset": reset,
            "/tests/{number}/{what}": act,
        }.items():
            app.router.add_route("*", path, handler)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, host, 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()

    asyncio.run(serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
