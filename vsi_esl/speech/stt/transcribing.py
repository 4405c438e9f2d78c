"""Transcriptions: a leg's, or a room's, which has a session for each of the legs in it.

They outlive the service: what is not asked to end, and has not failed, is begun again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gevent
import structlog

from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import CompanionAway, Conflict, NotFound, SwitchUnavailable, VsiError
from ...later import Within
from ...live.keys import for_provider
from ...live.plan import End, Hears, Plan
from ...live.session import Session
from ...live.sessions import Sessions
from ...model.leg import CONNECTED, Leg
from ...model.owner import ROOM, Owner, of_leg, of_room
from ...model.room import Room
from ...work import clock
from .events import SttError, SttText

log = structlog.get_logger(__name__)

KIND = "transcription"
LAST_WORDS_S = 2.0
"""For text that is on its way at the end."""
PAUSES_S = (0.25, 1.0, 4.0)
"""Before a session that was lost here (a worker died, the switch ended the fork) is begun again."""
STEADY_S = 60.0
"""One that lasted so long was a good one, and the times are counted anew."""
READY_S = 30.0
FORGIVEN = frozenset({"worker", "switch", "done"})
"""Why a session ends that has not failed: what is on this machine, and audio that ended before its leg."""


@dataclass(slots=True, eq=False)
class Line:
    """A leg that is transcribed."""

    leg_id: str
    session: Session | None = None
    """None while it is to be begun, and for a leg that has left the room."""
    begun_at: float = 0.0
    lost: int = 0
    """How often it was lost, one soon after the other."""


@dataclass(slots=True, eq=False)
class Transcription:
    """What was asked for, and the legs."""

    owner: Owner
    provider: str
    node: str
    """The switch that its legs are on."""
    language: str = ""
    partial: bool = False
    model: str = ""
    keyterms: list[str] = field(default_factory=list)
    api_key: str = field(default="", repr=False)
    """The request's own."""
    lines: dict[str, Line] = field(default_factory=dict)
    """By leg: those whose transcription has not failed, also of legs that are in the room no more."""

    @property
    def id(self) -> str:
        return f"{self.owner.kind} {self.owner.id}"

    @property
    def room_id(self) -> str | None:
        return self.owner.id if self.owner.kind == ROOM else None

    def saved(self) -> dict[str, Any]:
        """As it is kept over a restart."""
        return {
            "owner": list(self.owner),
            "provider": self.provider,
            "node": self.node,
            "language": self.language,
            "partial": self.partial,
            "model": self.model,
            "keyterms": self.keyterms,
            "api_key": self.api_key,
            "legs": list(self.lines),
        }

    @classmethod
    def of_saved(cls, body: dict[str, Any]) -> Transcription:
        legs, owner = body.pop("legs"), Owner(*body.pop("owner"))
        return cls(owner, **body, lines={leg: Line(leg) for leg in legs})


class Transcriptions:
    """Those that run."""

    def __init__(self) -> None:
        self._by_owner: dict[Owner, Transcription] = {}

    def __len__(self) -> int:
        return len(self._by_owner)

    def __iter__(self) -> Iterator[Transcription]:
        return iter(list(self._by_owner.values()))

    def find(self, owner: Owner) -> Transcription | None:
        return self._by_owner.get(owner)

    def add(self, one: Transcription) -> None:
        """Conflict when there is one, in the reference's words."""
        if one.owner in self._by_owner:
            raise Conflict(f"STT already running on this {one.owner.kind}")
        self._by_owner[one.owner] = one

    def remove(self, one: Transcription) -> bool:
        if self._by_owner.get(one.owner) is not one:
            return False
        del self._by_owner[one.owner]
        return True


# -- commands ----------------------------------------------------------------------------------------------


def start(ctx: Context, one: Transcription, legs: list[Leg]) -> None:
    """Transcribe these legs. Raises what keeps the first of them from it; nothing is begun then."""
    transcriptions = ctx.get(Transcriptions)
    transcriptions.add(one)
    try:
        for leg in legs:
            line = one.lines[leg.id] = Line(leg.id)
            _begin(ctx, one, line, leg)
        ctx.state.save_item(KIND, one.id, one.saved(), needed=True)
    except Exception:
        transcriptions.remove(one)
        _close(one, 0.0)
        raise


def stop(ctx: Context, owner: Owner) -> None:
    """End one; what is on its way may still come. NotFound when there is none."""
    one = ctx.get(Transcriptions).find(owner)
    if one is None:
        raise NotFound("no STT in progress")
    _forget(ctx, one)


def _forget(ctx: Context, one: Transcription) -> list[Session]:
    """End one; its sessions, which are closing."""
    if not ctx.get(Transcriptions).remove(one):
        return []
    ctx.state.forget_item(KIND, one.id)
    ctx.timers.cancel(one.id)
    return _close(one, LAST_WORDS_S)


def _close(one: Transcription, grace_s: float) -> list[Session]:
    closing = [line.session for line in one.lines.values() if line.session is not None]
    for session in closing:
        session.close(grace_s)
    return closing


# -- a leg's session -----------------------------------------------------------------------------------------


def _begin(ctx: Context, one: Transcription, line: Line, leg: Leg) -> None:
    """Raises what `Sessions.begin` does."""
    plan = Plan(
        kind="stt",
        provider=one.provider,
        task="stt",
        parameters=_parameters(ctx, one),
        hears=Hears.LEG,
        leg_id=leg.id,
        owner=of_leg(leg.id),
        last_words_s=LAST_WORDS_S,
        on_report=partial(_reported, ctx, one, leg),
        on_closed=partial(_closed, ctx, one, line),
    )
    line.session, line.begun_at = ctx.get(Sessions).begin(ctx, plan), clock.now()


def _parameters(ctx: Context, one: Transcription) -> dict[str, Any]:
    told = {
        **for_provider(ctx, "stt", one.provider, one.api_key),
        "provider": one.provider,
        "language": one.language,
        "partial": one.partial,
        "model": one.model,
        "keyterms": one.keyterms,
    }
    if one.provider == "openai":
        settings = ctx.config.providers
        told["api"], told["model"] = settings.openai_stt_api, one.model or settings.openai_stt_model
    return told


def _reported(ctx: Context, one: Transcription, leg: Leg, what: str, data: dict[str, Any]) -> None:
    if what == "text":
        text, final = data["text"], data["final"]
        ctx.emit(SttText.of(leg, room_id=one.room_id, text=text, is_final=final))


def _closed(ctx: Context, one: Transcription, line: Line, end: End) -> None:
    line.session = None
    if not _wanted(ctx, one, line):
        return
    if end.reason == "owner" or ctx.legs.find(line.leg_id) is None:
        _drop(ctx, one, line)
    elif end.reason == "closed":
        return  # the service stops, or the leg has left the room
    elif end.reason in FORGIVEN:
        _again(ctx, one, line, End(reason=end.reason, error=end.error or "the audio of the leg ended"))
    else:
        _failed(ctx, one, line, end)


def _wanted(ctx: Context, one: Transcription, line: Line) -> bool:
    return ctx.get(Transcriptions).find(one.owner) is one and one.lines.get(line.leg_id) is line


def _again(ctx: Context, one: Transcription, line: Line, end: End) -> None:
    """Begin it once more, in a moment; given up when it is lost again and again."""
    if line.begun_at and clock.now() - line.begun_at > STEADY_S:
        line.lost = 0
    if line.lost == len(PAUSES_S):
        _failed(ctx, one, line, end)
        return
    when = clock.now() + PAUSES_S[line.lost]
    line.lost += 1
    ctx.timers.at(one.id, line.leg_id, when, _begin_soon, ctx, one, line)


def _begin_soon(ctx: Context, one: Transcription, line: Line) -> None:
    """Where nobody waits for it."""
    ctx.workers.submit(f"{KIND} {line.leg_id}", _begin_again, ctx, one, line)


def _begin_again(ctx: Context, one: Transcription, line: Line) -> None:
    leg = ctx.legs.find(line.leg_id)
    if leg is not None:
        ctx.node(leg).wait_ready(READY_S)  # its calls are being looked at
    if not _wanted(ctx, one, line) or line.session is not None or ctx.draining:
        return
    leg = ctx.legs.find(line.leg_id)
    if leg is None or leg.ending:
        _drop(ctx, one, line)
        return
    if one.room_id is not None and leg.room_id != one.room_id:
        return  # it is silent until it is back
    try:
        _begin(ctx, one, line, leg)
    except (SwitchUnavailable, CompanionAway):
        return  # when the switch is back, `readopt` comes to it, or `host_back`
    except VsiError as error:
        _again(ctx, one, line, End(reason="refused", error=error.message))


def _failed(ctx: Context, one: Transcription, line: Line, end: End) -> None:
    log.warning(
        "transcription failed",
        leg_id=line.leg_id,
        room_id=one.room_id,
        provider=one.provider,
        reason=end.reason,
        error=end.error,
    )
    leg = ctx.legs.find(line.leg_id)
    if leg is not None:
        error, category = end.error or end.reason, end.category or None
        ctx.emit(SttError.of(leg, room_id=one.room_id, error=error, category=category))
    _drop(ctx, one, line)


def _drop(ctx: Context, one: Transcription, line: Line) -> None:
    """A leg is transcribed no more; without any the whole is over."""
    one.lines.pop(line.leg_id, None)
    ctx.timers.cancel(one.id, line.leg_id)
    if one.lines:
        ctx.state.save_item(KIND, one.id, one.saved())
    else:
        _forget(ctx, one)


# -- what happens to legs and rooms ------------------------------------------------------------------------


def joined(ctx: Context, room: Room, leg: Leg) -> None:
    """A leg came into a room; one that is transcribed has it transcribed as well."""
    one = ctx.get(Transcriptions).find(of_room(room.id))
    if one is None:
        return
    line = one.lines.get(leg.id)
    if line is None or line.session is not None:  # that of a leg that has just left is closing
        line = one.lines[leg.id] = Line(leg.id)
        ctx.state.save_item(KIND, one.id, one.saved())
    _begin_soon(ctx, one, line)


def left(ctx: Context, room: Room, leg: Leg) -> None:
    """A leg went out of a room: it is heard no more, and counts as the room's until it ends."""
    one = ctx.get(Transcriptions).find(of_room(room.id))
    line = one.lines.get(leg.id) if one is not None else None
    if line is not None and line.session is not None:
        line.session.close(LAST_WORDS_S)


def leg_ended(ctx: Context, leg: Leg) -> None:
    """A leg has ended; its sessions end by themselves."""
    for one in ctx.get(Transcriptions):
        line = one.lines.get(leg.id)
        if line is not None and line.session is None:
            _drop(ctx, one, line)


def room_deleting(ctx: Context, room: Room) -> None:
    """Its last texts come before its end."""
    one = ctx.get(Transcriptions).find(of_room(room.id))
    if one is not None:
        with Within(LAST_WORDS_S + 1, False):
            gevent.wait([session.done for session in _forget(ctx, one)])


# -- the service -------------------------------------------------------------------------------------------


def restore(ctx: Context) -> None:
    """At start: those of the process before. They begin when the switch is there."""
    for body in ctx.state.items(KIND):
        ctx.get(Transcriptions).add(Transcription.of_saved(body))


def readopt(ctx: Context, node: Node) -> None:
    """After each connect to a switch: what runs no more, and should."""
    for one in ctx.get(Transcriptions):
        if ctx.node(one) is not node:
            continue
        for line in [line for line in one.lines.values() if line.session is None]:
            if ctx.legs.find(line.leg_id) is None:
                _drop(ctx, one, line)
            else:
                _begin_soon(ctx, one, line)
        if one.room_id is not None and (room := ctx.rooms.find(one.room_id)) is not None:
            for leg in list(room.legs.values()):
                if leg.id not in one.lines:
                    joined(ctx, room, leg)  # while nobody looked


def host_back(ctx: Context, node: Node) -> None:
    """The companion of a switch is there again: what runs no more, and should."""
    for one in ctx.get(Transcriptions):
        for line in one.lines.values() if ctx.node(one) is node else ():
            if line.session is None and ctx.legs.find(line.leg_id) is not None:
                _begin_soon(ctx, one, line)


def transcribable(leg: Leg) -> bool:
    """Whether a leg can be asked to be transcribed: not while it rings, or is on hold."""
    return leg.shown_state == CONNECTED


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which begins its transcriptions again."""
    transcriptions = ctx.get(Transcriptions)
    for one in transcriptions:
        if ctx.node(one) is node:
            transcriptions.remove(one)
            ctx.timers.cancel(one.id)
