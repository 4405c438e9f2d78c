"""A small answering system on the published client: pip install voiceblender; python examples/ivr.py

Every caller is answered and hears a tone (or `--greeting URL`). Then the digits decide:

    1   join the room `meeting`, which is recorded from its first member to its last
    2   a busy tone, and the end of the call
    #   the end of the call, at any time

`--address` is the service's, 127.0.0.1:8080 by default. A service with tokens wants one, in VSI_TOKEN, with
the scope `control`. It may be confined to an app_id: then the calls are those of that application.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys

import httpx
from voiceblender import (
    AddLegRequest,
    AnswerLegRequest,
    APIError,
    Client,
    CreateRoomRequest,
    DeleteLegRequest,
    Event,
    EventStream,
    Leg,
    PlaybackRequest,
    RecordingRequest,
    Subscription,
    is_conflict,
    is_not_found,
    play_tone,
    play_url,
)
from websockets.exceptions import WebSocketException

ROOM = "meeting"
PATIENCE_S = 15.0
"""How long a caller may take to choose."""
ANSWER_LIMIT_S = 10.0
OF_A_CALL = ("leg.connected", "dtmf.received", "leg.disconnected")


class HungUp(Exception):
    """The caller is gone; there is nothing left to do for the call."""


async def next_event(events: Subscription, kind: str, limit: float | None) -> Event:
    """The call's next event of a kind. HungUp at its end, TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while True:
            event = await events.next()
            if event.type == "leg.disconnected":
                raise HungUp(event.cdr.reason)
            if event.type == kind:
                return event


async def handle(client: Client, leg: Leg, prompt: PlaybackRequest) -> None:
    """One call, from ringing to its end."""
    events = leg.subscribe(*OF_A_CALL)  # before the first command, so that no event of the call is missed
    try:
        await leg.answer(AnswerLegRequest())
        await next_event(events, "leg.connected", ANSWER_LIMIT_S)
        await menu(client, leg, events, prompt)
        await leg.hangup(DeleteLegRequest(reason=""))
    except HungUp as end:
        print(f"{leg.id}: ended, {end}", flush=True)
    except TimeoutError:
        print(f"{leg.id}: no answer, or no choice", flush=True)
        await hang_up(leg)
    except APIError as error:
        if not is_not_found(error):  # it may have hung up while we were asking for something
            print(f"{leg.id}: {error}", file=sys.stderr, flush=True)
            await hang_up(leg)
    finally:
        await events.close()


async def menu(client: Client, leg: Leg, events: Subscription, prompt: PlaybackRequest) -> None:
    """Until the caller has had enough."""
    playing = await leg.play(prompt)
    while True:
        digit = (await next_event(events, "dtmf.received", PATIENCE_S)).digit
        if digit == "#":
            return
        if digit == "2":
            await leg.stop_play(playing.playback_id)
            await leg.play(play_tone("busy", repeat=-1))
            await asyncio.sleep(2)
            return
        if digit == "1":
            await leg.stop_play(playing.playback_id)
            await meet(client, leg)
            while (await next_event(events, "dtmf.received", None)).digit != "#":
                pass
            return


async def meet(client: Client, leg: Leg) -> None:
    """Into the room; the first one there makes it and has it recorded."""
    try:
        await client.create_room(CreateRoomRequest(id=ROOM))
    except APIError as error:
        if not is_conflict(error):  # it is there already
            raise
    room = client.room(ROOM)
    await room.add_leg(AddLegRequest(leg_id=leg.id))
    try:
        # not `RecordingRequest(...)`, whose model wants every member, where the server wants none
        recording = await room.record(RecordingRequest.model_construct(storage="file"))
        print(f"{leg.id}: the room is recorded to {recording.file}", flush=True)
    except APIError as error:
        if not is_conflict(error):  # it is recorded already
            raise


async def hang_up(leg: Leg) -> None:
    try:
        await leg.hangup(DeleteLegRequest(reason=""))
    except APIError as error:
        if not is_not_found(error):
            raise


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--greeting", metavar="URL", help="a WAV or MP3 file to play instead of a tone")
    options = parser.parse_args()
    prompt = play_url(options.greeting) if options.greeting else play_tone("dial", repeat=-1)
    token = os.environ.get("VSI_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}  # for both ways to the service

    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        client = Client(f"http://{options.address}/v1", http)
        ringing = client.subscribe("leg.ringing")
        taken: set[str] = set()
        try:
            stream = await client.events_stream(additional_headers=headers)
        except (OSError, WebSocketException) as error:
            raise SystemExit(f"cannot connect to {options.address}: {error}") from error
        print(f"connected to {options.address}", flush=True)
        async with client, asyncio.TaskGroup() as calls:

            def take(leg_id: str, caller: str) -> None:
                if leg_id not in taken:
                    taken.add(leg_id)
                    print(f"{leg_id}: call from {caller}", flush=True)
                    calls.create_task(handle(client, client.leg(leg_id), prompt))

            for leg in await client.list_legs():  # who rang before we were there
                if leg.type == "sip_inbound" and leg.state == "ringing":
                    take(leg.id, "somebody who has been waiting")
            calls.create_task(end_with(stream, client, ringing))
            async for event in ringing.events():
                if event.leg_type == "sip_inbound":
                    take(event.leg_id, event.from_)
            raise SystemExit("the connection has ended; the calls stay up")


async def end_with(stream: EventStream, client: Client, ringing: Subscription) -> None:
    """The end of the connection is that of the subscription."""
    await stream.pipe_to(client)
    await ringing.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
