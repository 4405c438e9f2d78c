"""Playbacks: fetched by us, played by the switch.

One file at a time can be played into a conference directly, at no cost: the conference a leg has to itself,
or the room's. A second one gets a conference of its own (a "bot") and a pair of internal channels that bring
it in; so does one for a leg that is in a room, which only that leg may hear. A leg that goes into a room
takes its direct playback along: it is continued by a bot, where it was.

`finish` and `fail` are the only ends, and the first wins.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ...audio import MediaError
from ...audio.spool import Clip
from ...calls import alone, internal
from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import SwitchUnavailable, VsiError
from ...model.leg import EARLY_MEDIA, Leg
from ...model.owner import Owner, of_leg
from ...model.playback import COMPLETED, STOPPED, Playback, playback_id
from ...model.room import Room
from ...model.sound_stores import Playbacks
from ...switch.snapshot import Snapshot
from ...work import clock
from .events import PlaybackError, PlaybackFinished, PlaybackStarted
from .failures import Failures
from .fetches import Fetches

log = structlog.get_logger(__name__)

KIND = "playback"
DONE_TOLERANCE_MS = 250
"""How much earlier than by the clock a file may be over: the switch plays in frames, and reports late."""
UNTOLD_GRACE_S = 3.0
"""How long after its time a playback is over although the switch has not said so."""


def start(
    ctx: Context, owner: Leg | Room, *, url: str, tone: str, mime_type: str, repeat: int, volume: int
) -> Playback:
    """Begin to play a URL or a tone to a leg or room: at once for clients, in fact when it is fetched."""
    playback = Playback(playback_id(), owner.app_id, volume=volume, node=owner.node)
    while ctx.get(Playbacks).find(playback.id) is not None:
        playback.id = playback_id()
    if isinstance(owner, Leg):
        playback.leg_id = owner.id
    else:
        playback.room_id = owner.id
    ctx.state.save_item(KIND, playback.id, playback, needed=True)
    ctx.get(Playbacks).add(playback)
    if ctx.get(Fetches).full():
        fail(ctx, playback, "fetch audio: too many downloads at once")
    else:
        ctx.get(Fetches).spawn(_prepare, ctx, playback, tone, (url, mime_type, repeat))
    return playback


def _prepare(ctx: Context, playback: Playback, tone: str, source: tuple[str, str, int]) -> None:
    try:
        host = ctx.host(playback)
        clip = host.tone_clip(tone) if tone else host.url_clip(*source)
    except MediaError as error:
        fail(ctx, playback, error.message)
        return
    except Exception:
        log.exception("audio not prepared", playback_id=playback.id)
        fail(ctx, playback, "fetch audio: internal error")
        return
    if playback.ended:
        return
    host.hold(clip)
    playback.path, playback.loop = clip.path, clip.loop
    playback.file_ms, playback.total_ms = clip.duration_ms, clip.total_ms
    begin_soon(ctx, playback)


def begin_soon(ctx: Context, playback: Playback) -> None:
    """Have the owner's worker start it, or go on with it, behind what it is doing."""
    key = playback.leg_id or f"room {playback.room_id}"
    queued = ctx.workers.submit(key, _begin, ctx, playback)
    if isinstance(queued.exception, VsiError):
        fail(ctx, playback, queued.exception.message)


def _begin(ctx: Context, playback: Playback) -> None:
    if playback.ended or playback.conference or not playback.path:
        return
    played = playback.played_ms(clock.now())
    if playback.total_ms is not None and played >= playback.total_ms:
        finish(ctx, playback, COMPLETED)
        return
    losses = ctx.node(playback).losses
    try:
        conference = _open(ctx, playback)
        if not conference:
            return
        if playback.ended:
            _dismiss(ctx, playback)
            return
        playback.conference = conference
        volume, asked = playback.volume, clock.now()
        ctx.sound(playback).play(playback, conference, played % playback.file_ms if playback.file_ms else 0)
    except VsiError as error:
        _failed_to_begin(ctx, playback, error, losses)
        return
    if playback.conference:
        playback.begin(asked, clock.now())
    if volume != playback.volume:
        set_volume(ctx, playback, playback.volume)
    _announce(ctx, playback)


def _announce(ctx: Context, playback: Playback) -> None:
    if playback.ended:
        _dismiss(ctx, playback)
        return
    if not playback.announced:
        playback.announced = True
        ctx.emit(PlaybackStarted.of(playback))
    if playback.over:
        if not playback.bot:
            _silence(ctx, playback, playback.conference)  # the first time may have come too early
        finish(ctx, playback, playback.over)
        return
    _save(ctx, playback)
    _arm_end(ctx, playback)


def _failed_to_begin(ctx: Context, playback: Playback, error: VsiError, losses: int) -> None:
    """`losses` of the switch's connection there had been before."""
    if playback.ended:
        _dismiss(ctx, playback)  # its bot may have come after it was dismissed
        return
    conference, playback.conference = playback.conference, ""
    leg = ctx.legs.find(playback.leg_id) if playback.leg_id else None
    if playback.over or (playback.leg_id and (leg is None or leg.ending)):
        finish(ctx, playback, playback.over or STOPPED)
        return
    if isinstance(error, SwitchUnavailable):
        _silence(ctx, playback, conference)  # it may have begun all the same
        node = ctx.node(playback)
        if node.lost_since(losses):
            _dismiss(ctx, playback)
            playback.channel = ""
            if node.ready:  # it is back already; else `readopt` comes to it
                begin_soon(ctx, playback)
            return
    elif leg is not None and not conference and not playback.bot:
        return  # the leg went elsewhere, and `follow` goes on there
    fail(ctx, playback, error.message, "play")


def _open(ctx: Context, playback: Playback) -> str:
    """The conference to play it into; empty when that has to wait, or is over."""
    if playback.room_id:
        return _open_for_room(ctx, playback)
    leg = ctx.legs.find(playback.leg_id)
    if leg is None or leg.ending:
        finish(ctx, playback, STOPPED)
        return ""
    if leg.state != EARLY_MEDIA:
        alone.give_conference(ctx, leg)
    if leg.channel.conference == leg.solo_conference and not _busy(ctx, playback, leg.channel.conference):
        playback.bot = False
        return leg.channel.conference
    if not leg.seat.conference:
        if leg.state != EARLY_MEDIA and not (leg.channel.parked and leg.held):
            return ""  # on its way; `follow` comes when it is there
        if leg.state == EARLY_MEDIA and not leg.sends_silence:
            ctx.switch(leg).wait_dialled(leg)
            ctx.sound(playback).send_silence(leg)
            leg.sends_silence = True
    _place_bot(ctx, playback, lambda channel: ctx.sound(playback).whisper_bot(channel, playback, leg))
    ctx.moments.whispered(ctx, leg)
    return playback.id


def _place_bot(ctx: Context, playback: Playback, make: Callable[[str], None]) -> None:
    playback.bot = True
    try:
        playback.channel, _ = internal.place(
            ctx.node(playback), playback.id, make, lambda: not playback.ended
        )
    except SwitchUnavailable as error:
        raise SwitchUnavailable(f"write audio: {error.message}") from error


def _open_for_room(ctx: Context, playback: Playback) -> str:
    room = ctx.rooms.find(playback.room_id)
    if room is None or not room.legs:
        finish(ctx, playback, STOPPED)
        return ""
    if not _busy(ctx, playback, room.conference):
        playback.bot = False
        return room.conference
    conference, rate = room.conference, room.sample_rate
    _place_bot(
        ctx, playback, lambda channel: ctx.sound(playback).room_bot(channel, playback, conference, rate)
    )
    return playback.id


def _busy(ctx: Context, playback: Playback, conference: str) -> bool:
    """Whether another playback is played into this conference directly."""
    return any(other.conference == conference for other in ctx.get(Playbacks).of(playback.owner))


def set_volume(ctx: Context, playback: Playback, volume: int) -> None:
    """Change the volume, -8..8 in steps of 3 dB, within two frames; or before it begins."""
    playback.volume = volume
    if playback.playing_since:
        ctx.sound(playback).play_volume(playback.conference, playback.decibels)
        _save(ctx, playback)


def stop(ctx: Context, playback: Playback) -> None:
    """End a playback now, whether it has begun or not."""
    if not playback.bot:
        _silence(ctx, playback, playback.conference)
    finish(ctx, playback, STOPPED)


def _silence(ctx: Context, playback: Playback, conference: str) -> None:
    """Stop the file that plays in a conference; when the switch is away, as soon as it is back."""
    if not conference:
        return
    node = ctx.node(playback)
    if not node.ready:
        ctx.get(Playbacks).strays.setdefault(node.name, set()).add(conference)
    node.sound.stop_playing(conference)


def stop_all(ctx: Context, owner: Owner) -> None:
    """The leg or room is gone, or the room is empty."""
    for playback in ctx.get(Playbacks).of(owner):
        stop(ctx, playback)


def finish(ctx: Context, playback: Playback, reason: str) -> None:
    """Report the end, once."""
    if playback.ended:
        return
    if playback.conference and not playback.announced:
        playback.over = reason  # its start has to be reported first, which is about to happen
        return
    now = clock.happened()
    played = playback.total_ms if reason == COMPLETED and playback.total_ms else playback.played_ms(now)
    _forget(ctx, playback)
    ctx.emit(PlaybackFinished.of(playback, reason=reason, played_ms=played))


def fail(ctx: Context, playback: Playback, error: str, stage: str = "fetch") -> None:
    """Report that it could not be played, once. `stage` is where that was seen, for the metrics."""
    if playback.ended:
        return
    ctx.get(Failures).count(stage)
    log.warning("playback failed", playback_id=playback.id, file=playback.path or None, error=error)
    _forget(ctx, playback)
    ctx.emit(PlaybackError.of(playback, error=error))


def _forget(ctx: Context, playback: Playback) -> None:
    playback.ended = True
    ctx.get(Playbacks).remove(playback)
    ctx.timers.cancel(playback.id)
    ctx.state.forget_item(KIND, playback.id)
    if playback.path:
        ctx.host(playback).release(playback.path)
    _dismiss(ctx, playback)


def _dismiss(ctx: Context, playback: Playback) -> None:
    if playback.bot and playback.channel:
        ctx.sound(playback).dismiss(playback.channel)


def _save(ctx: Context, playback: Playback) -> None:
    if not playback.ended:
        ctx.state.save_item(KIND, playback.id, playback)


def _arm_end(ctx: Context, playback: Playback) -> None:
    """A file that the switch repeats is stopped by us, when it is to be. For all others, the switch may
    have told of the end while nobody listened."""
    if playback.total_ms is not None:
        left = playback.total_ms - playback.played_ms(clock.now())
        grace = 0.0 if playback.loop else UNTOLD_GRACE_S
        ctx.timers.at(playback.id, "end", clock.now() + left / 1000 + grace, _time_up, ctx, playback)


def _time_up(ctx: Context, playback: Playback) -> None:
    if playback.loop and not playback.bot:
        _silence(ctx, playback, playback.conference)
    finish(ctx, playback, COMPLETED)


# -- what the switch reports ---------------------------------------------------------------------------


def done(ctx: Context, playback_id: str, conference: str) -> None:
    """The switch has no more of a file to play, whatever the cause."""
    playback = ctx.get(Playbacks).find(playback_id)
    if playback is None or playback.conference != conference:
        return  # stopped by us, or its leg went elsewhere and takes it along
    total = playback.total_ms
    enough = (total or 0) - DONE_TOLERANCE_MS - playback.late_ms
    played = playback.played_ms(clock.happened())
    complete = total is not None and (not playback.playing_since or played >= enough)
    finish(ctx, playback, COMPLETED if complete else STOPPED)


def left_conference(ctx: Context, leg: Leg, conference: str) -> None:
    """The leg is out of a conference that ends with that: what was played into it has stopped."""
    for playback in ctx.get(Playbacks).of(of_leg(leg.id)):
        if playback.conference == conference and not playback.bot:
            playback.suspend(clock.happened())
            ctx.timers.cancel(playback.id)


def follow(ctx: Context, leg: Leg) -> None:
    """The leg is in a conference: go on with what has no place to be played."""
    for playback in ctx.get(Playbacks).of(of_leg(leg.id)):
        if playback.path and not playback.conference:
            begin_soon(ctx, playback)


# -- after a restart of the service, or of the connection ------------------------------------------------


def readopt(ctx: Context, node: Node, snapshot: Snapshot) -> None:
    """Know again what is being played, end what is over, and go on with what lost its place.

    The switch cannot be asked what plays in a conference, so the clock decides.
    """
    for body in ctx.state.items(KIND):
        kept = Playback.from_dict(body)
        if ctx.node(kept) is node and ctx.get(Playbacks).find(kept.id) is None:
            _restore(ctx, kept)
    for conference in ctx.get(Playbacks).strays.pop(node.name, ()):
        if conference in snapshot.conferences:
            node.sound.stop_playing(conference)
    for playback in ctx.get(Playbacks):
        if not playback.path or ctx.node(playback) is not node:
            continue
        now = clock.now()
        if playback.total_ms is not None and playback.played_ms(now) >= playback.total_ms:
            _time_up(ctx, playback)
        elif playback.playing_since and playback.conference in snapshot.conferences:
            _arm_end(ctx, playback)
        elif playback.playing_since or not playback.conference:  # else the switch is just being told
            playback.suspend(now)
            begin_soon(ctx, playback)


def _restore(ctx: Context, playback: Playback) -> None:
    ctx.get(Playbacks).add(playback)
    leg, room = ctx.legs.find(playback.leg_id), ctx.rooms.find_on(playback.room_id, playback.node)
    owner = leg if playback.leg_id else room
    if playback.path:
        ctx.host(playback).hold(Clip(playback.path, playback.file_ms, playback.total_ms, playback.loop))
        if owner is None:
            finish(ctx, playback, STOPPED)
    else:
        fail(ctx, playback, "fetch audio: interrupted by a restart of the service")


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which goes on with what plays there."""
    playbacks = ctx.get(Playbacks)
    playbacks.strays.pop(node.name, None)
    for playback in playbacks:
        if ctx.node(playback) is node:
            playback.ended = True
            playbacks.remove(playback)
            ctx.timers.cancel(playback.id)
            if playback.path:
                ctx.host(playback).release(playback.path)
