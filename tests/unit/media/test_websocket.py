"""One WebSocket of a session: what a peer that means harm can do to the others of its worker."""

from __future__ import annotations

import asyncio
import struct
import time

from tests.support.inasyncio import in_asyncio
from tests.support.mediaparts import open_one
from vsi_esl.media.websocket import FRAMES_A_SECOND, FRAMES_AT_ONCE, SLICE

MASK = b"abcd"
EMPTY = b"\x82\x80" + MASK
"""A binary message of nothing; the shortest frame there is."""


def masked(opcode: int, payload: bytes) -> bytes:
    body = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload)) + MASK + body


@in_asyncio
async def test_a_flood_of_frames_waits_and_holds_nobody_up():
    heard: list[str | bytes] = []
    began = time.monotonic()
    one, theirs = await open_one(heard.append)
    one.data_received(EMPTY * (256 * 1024 // len(EMPTY)))
    at_once = FRAMES_AT_ONCE + SLICE // len(EMPTY)
    assert len(heard) <= at_once
    taken = len(heard)
    async with asyncio.timeout(20):
        while len(heard) < taken + 100:
            await asyncio.sleep(0.01)
    took = time.monotonic() - began
    assert len(heard) <= at_once + took * FRAMES_A_SECOND, "it goes on, as fast as it may"
    assert not one.ended.done()
    one.close()
    theirs.close()


@in_asyncio
async def test_what_waited_is_heard_in_order():
    done = asyncio.Event()
    heard: list[str | bytes] = []

    def hear(message: str | bytes) -> None:
        heard.append(message)
        if message == "last":
            done.set()

    one, theirs = await open_one(hear)
    loop = asyncio.get_running_loop()
    frames = b"".join(masked(2, number.to_bytes(2, "big")) for number in range(FRAMES_AT_ONCE + 200))
    await loop.sock_sendall(theirs, frames + masked(1, b"last"))
    await asyncio.wait_for(done.wait(), 20)
    assert heard == [number.to_bytes(2, "big") for number in range(FRAMES_AT_ONCE + 200)] + ["last"]
    await loop.sock_sendall(theirs, masked(8, b"\x03\xe8"))
    assert await asyncio.wait_for(one.ended, 20) == "hangup"
    theirs.close()


@in_asyncio
async def test_a_flood_that_waits_does_not_keep_it_open():
    one, theirs = await open_one(lambda message: None)
    one.data_received(EMPTY * 100_000)
    one.close()
    assert await asyncio.wait_for(one.ended, 20) == "hangup"
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 10), 20) == b""
    theirs.close()


@in_asyncio
async def test_a_message_in_parts_is_put_together_and_empty_parts_cost_nothing():
    heard: list[str | bytes] = []
    one, theirs = await open_one(heard.append)
    one.data_received(b"\x01\x81" + MASK + b"\x00" + (b"\x00\x80" + MASK) * 500)
    assert not heard and len(one._parts) == 1
    one.data_received(b"\x80\x81" + MASK + b"\x03" + masked(2, b"next"))
    assert heard == ["ab", b"next"]
    one.close()
    theirs.close()
