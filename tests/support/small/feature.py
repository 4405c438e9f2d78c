"""A command with a setting, an event, a series, a check, a translator, moments and a WebSocket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client.core import Metric

from vsi_esl.calls.context import Context
from vsi_esl.calls.moments import Awaited
from vsi_esl.calls.nodes import Node
from vsi_esl.commands.legs import LegPayload
from vsi_esl.config import Config
from vsi_esl.model.leg import Leg
from vsi_esl.ops.findings import OK, Ask, Check, machine_check, switch_check
from vsi_esl.ops.series import total
from vsi_esl.protocol.ids import RoomId
from vsi_esl.protocol.registry import Body, Rest, command
from vsi_esl.protocol.replies import Status
from vsi_esl.protocol.streams import Asked, Serve, Socket, stream
from vsi_esl.switch.facts import need
from vsi_esl.translate import SwitchEvent, on_event, text_of

from .events import SmallResult
from .settings import SmallSettings

need("mod_small", "small things")


class Analyses:
    """What the feature knows of one service."""

    def __init__(self) -> None:
        self.begun = 0
        self.connected: list[str] = []
        self.beeps: list[str] = []


@command("leg_small_start", LegPayload, rest=Rest("POST", "/legs/{id}/small", body=Body.OPTIONAL))
def leg_small_start(ctx: Context, id: str) -> Status[Literal["started"]]:
    """Begin a small thing."""
    leg = ctx.legs.get(id)
    ctx.get(Analyses).begun += 1
    ctx.emit(SmallResult.of(leg, limit=ctx.config.section(SmallSettings).limit))
    return {"status": "started"}


@stream("/rooms/{id}/small", ids={"id": RoomId})
def room_small(ctx: Context, asked: Asked) -> Serve:
    """Says which room it is, and repeats what it is told."""
    room = ctx.rooms.get(asked.ids["id"])

    def serve(socket: Socket) -> None:
        socket.send_text(room.id)
        while (message := socket.receive()) is not None:
            socket.send_text(f"{asked.query.get('say', '')}{message!r}")

    return serve


@on_event("small::beep")
def beep(ctx: Context, node: Node, event: SwitchEvent) -> None:
    ctx.get(Analyses).beeps.append(text_of(event, "Unique-ID"))


@machine_check("small machine")
def machine(config: Config) -> Iterator[Check]:
    """The limit."""
    yield Check("small machine", OK, f"{config.section(SmallSettings).limit:g} s")


@switch_check("small switch")
def switch(config: Config, ask: Ask) -> Iterator[Check]:
    """The switch answers; and then the check is at fault."""
    yield Check("small switch", OK, ask("version")[:10])
    raise ZeroDivisionError("a fault of the check")


def register(ctx: Context) -> None:
    """Make it a part of the service."""
    ctx.provide(Analyses())
    ctx.metrics.show(lambda: _series(ctx))
    ctx.moments.media_up.subscribe(_media_up)
    ctx.moments.ended.subscribe(_faulty)


def _media_up(ctx: Context, leg: Leg) -> None:
    ctx.get(Analyses).connected.append(leg.id)


def _faulty(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    raise ZeroDivisionError("a fault of the feature")


def _series(ctx: Context) -> Iterator[Metric]:
    yield total("vsi_esl_small_begun", "Analyses begun.", ctx.get(Analyses).begun)
