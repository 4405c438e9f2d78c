"""Parts of a task that run beside its main work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def beside(work: Coroutine[Any, Any, T], *parts: Coroutine[Any, Any, None]) -> T:
    """What `work` returns or raises, with the parts under way meanwhile.

    What a part raises is raised: without it the task would go on, and do nothing that anybody could notice.
    One that returns is done. Whatever the outcome, all have ended when this returns.
    """
    main = asyncio.create_task(work)
    running: set[asyncio.Future[Any]] = {main, *(asyncio.create_task(part) for part in parts)}
    every = list(running)
    try:
        while not main.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for part in done - {main}:
                part.result()
        return main.result()
    finally:
        for one in every:
            one.cancel()
        await asyncio.gather(*every, return_exceptions=True)
