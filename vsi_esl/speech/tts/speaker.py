"""Has texts said: each is a session of its own in a media worker, and `_end` is its only end."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog

from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import TooMany
from ...live.keys import for_provider
from ...live.plan import End, Plan, Speaks
from ...live.sessions import Sessions
from ...model.leg import Leg
from ...model.owner import LEG
from ...model.room import Room
from ...providers.categories import UNKNOWN
from ...sound.recording.settings import S3Settings
from ...work import clock
from .events import TtsError, TtsFinished, TtsStarted
from .settings import TtsSettings
from .utterances import PLAYBACK, Utterance, Utterances

log = structlog.get_logger(__name__)

KIND = "tts"
COMPLETED, STOPPED = "completed", "stopped"
OURS = frozenset({"closed", "owner"})
"""Sessions that end so were stopped, or went with their leg or room."""
GAIN_PER_STEP = 0.15
"""Decades per step of the volume: 3 dB."""
AGAIN_S = 1.0
FAILURES = {
    "no_audio": "the switch did not take the audio",
    "worker": "the media worker ended",
    "error": "internal error",
}


def gain(volume: int) -> float:
    """The factor of a volume, -8..8."""
    return float(10 ** (GAIN_PER_STEP * volume))


def say(ctx: Context, listener: Leg | Room, *, provider: str, volume: int, **told: Any) -> Utterance:
    """Begin to say a text to a leg or into a room: at once for clients, in fact when it is synthesised.

    `told` are text, voice, model, language, prompt and api_key. Raises what `Sessions.begin` does, and
    TooMany.
    """
    settings = ctx.config.section(TtsSettings)
    utterances = ctx.get(Utterances)
    one = Utterance(utterances.new_id(), listener.app_id, listener.node)
    if isinstance(listener, Leg):
        one.leg_id = listener.id
    else:
        one.room_id = listener.id
    plan = Plan(
        kind=KIND,
        provider=provider,
        task="tts",
        parameters={
            "provider": provider,
            **told,
            **account(ctx, provider, told["api_key"]),
            "gain": gain(volume),
            "cache": settings.cache(),
        },
        speaks=Speaks.TO_LEG if one.leg_id else Speaks.TO_ROOM,
        leg_id=one.leg_id,
        room_id=one.room_id,
        owner=one.owner,
        on_report=partial(_reported, ctx, one),
        on_closed=partial(_closed, ctx, one),
    )
    if utterances.count(one.owner) >= settings.per_owner:
        what = "leg" if one.owner.kind == LEG else "room"
        raise TooMany(f"the {what} is being told {settings.per_owner} texts already", AGAIN_S)
    utterances.add(one)  # at once: others may ask while this one waits
    try:
        ctx.state.save_item(KIND, one.id, one.saved(), needed=True)
        one.session = ctx.get(Sessions).begin(ctx, plan)
    except BaseException:
        utterances.remove(one)
        ctx.state.forget_item(KIND, one.id)
        raise
    return one


def account(ctx: Context, provider: str, api_key: str) -> dict[str, Any]:
    """Key, address and region. NoKey (503)."""
    found = for_provider(ctx, "tts", provider, api_key)
    if provider == "aws":
        found["region"] = ctx.config.section(S3Settings).region  # as in the reference
    return found


def stop(ctx: Context, one: Utterance) -> None:
    """End it now, whether it has begun or not. Its event follows."""
    one.stopped = True
    if one.session is not None:
        one.session.close()


def set_volume(ctx: Context, one: Utterance, volume: int) -> None:
    """-8..8 in steps of 3 dB, also before it begins."""
    if one.session is not None:
        one.session.tell("gain", gain(volume))


# -- what becomes of it ----------------------------------------------------------------------------------


def _reported(ctx: Context, one: Utterance, what: str, data: dict[str, Any]) -> None:
    if what == "started" and not one.announced:
        one.announced, one.began_at = True, clock.now()
        ctx.emit(TtsStarted.of(one))
    elif what == "finished":
        one.played_ms = int(data["played_ms"])


def _closed(ctx: Context, one: Utterance, end: End) -> None:
    if end.reason == "done":
        _end(ctx, one, COMPLETED)
    elif end.reason in OURS or one.stopped:
        _end(ctx, one, STOPPED)
    elif end.reason == "provider":
        _fail(ctx, one, end.error, end.category or UNKNOWN)
    else:
        _fail(ctx, one, f"write audio: {FAILURES.get(end.reason) or end.error}", PLAYBACK)


def _end(ctx: Context, one: Utterance, reason: str) -> None:
    if _forget(ctx, one):
        ctx.emit(TtsFinished.of(one, reason=reason, played_ms=_played_ms(one)))


def _played_ms(one: Utterance) -> int:
    """As the media worker has said, or by the clock."""
    if one.played_ms is not None or not one.announced:
        return one.played_ms or 0
    return round(max(0.0, clock.now() - one.began_at) * 1000)


def _fail(ctx: Context, one: Utterance, error: str, category: str) -> None:
    if _forget(ctx, one):
        log.warning("speech failed", tts_id=one.id, error=error, category=category)
        ctx.emit(TtsError.of(one, error=error, category=category))


def _forget(ctx: Context, one: Utterance) -> bool:
    """False when its end has been told."""
    known = ctx.get(Utterances).remove(one)
    if known:
        ctx.state.forget_item(KIND, one.id)
    return known


def readopt(ctx: Context, node: Node) -> None:
    """The media workers ended with the service that had them: so did what they said."""
    for body in ctx.state.items(KIND):
        one = Utterance(**body)
        if ctx.node(one) is node and one.id not in ctx.get(Utterances):
            ctx.state.forget_item(KIND, one.id)
            ctx.emit(TtsFinished.of(one, reason=STOPPED, played_ms=0))


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which tells the ends of what was being said there."""
    utterances = ctx.get(Utterances)
    for one in utterances:
        if ctx.node(one) is node:
            utterances.remove(one)
