"""A server of the tests for one provider: aiohttp handlers on a port of loopback, which fail the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Scripted:
    """Where it listens, and what was asked of it."""

    port: int = 0
    requests: list[web.Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@asynccontextmanager
async def scripted(routes: Mapping[str, Handler]) -> AsyncIterator[Scripted]:
    """Serve these paths (aiohttp's patterns, any method). What a handler raises, an assertion say, is raised
    here when the block is left."""
    server = Scripted()
    app = web.Application(client_max_size=64 << 20)
    for path, handler in routes.items():
        app.router.add_route("*", path, _noted(server, handler))
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        yield server
    finally:
        await runner.cleanup()
        if server.failures:
            raise server.failures[0]


def _noted(server: Scripted, handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        server.requests.append(request)
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except BaseException as failure:
            server.failures.append(failure)
            raise

    return handle


async def websocket(request: web.Request, **options: Any) -> web.WebSocketResponse:
    """The request's upgrade, accepted."""
    one = web.WebSocketResponse(**options)
    await one.prepare(request)
    return one
