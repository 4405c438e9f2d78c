"""Playbacks as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...calls.moments import Awaited
from ...calls.nodes import Node
from ...model.leg import Leg
from ...model.owner import of_leg, of_room
from ...model.room import Room
from ...model.sound_stores import Playbacks
from ...ops.series import gauge
from ...protocol.confinement import owned
from ...storage import folders
from ...switch.facts import need
from ...switch.snapshot import Snapshot
from . import commands, doctor, player, translators
from .commands import PlaybackId
from .failures import Failures
from .fetches import Fetches
from .heard import Heard, Kind
from .settings import PlaybackSettings

__all__ = ["commands", "doctor", "register", "translators"]

need("mod_sndfile", "playback")
need("mod_loopback", "playback")


def register(ctx: Context) -> None:
    """Make playbacks a part of the service."""
    if any(node.share.companion is None for node in ctx.nodes):
        folders.warn(ctx.config.section(PlaybackSettings).spool_dir)
    playbacks, heard = Playbacks(), Heard()
    heard.add(Kind(playbacks.find, player.stop, player.set_volume))
    ctx.provide(playbacks)
    ctx.provide(heard)
    ctx.provide(Fetches())
    ctx.provide(Failures(ctx.metrics))
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.entered.subscribe(player.follow)
    moments.left_conference.subscribe(player.left_conference)
    moments.room_emptied.subscribe(_stop_in_room)
    moments.room_deleted.subscribe(_stop_in_room)
    moments.ended.subscribe(_stop_with_leg)
    moments.adopt.subscribe(_adopt)
    moments.released.subscribe(player.released)
    moments.stop.subscribe(_stop)


@owned(PlaybackId)
def _owner(ctx: Context, playback_id: str) -> list[str]:
    one = ctx.get(Heard).find(playback_id)
    return [] if one is None else [one.app_id]


def _stop_in_room(ctx: Context, room: Room) -> None:
    player.stop_all(ctx, of_room(room.id))


def _stop_with_leg(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    player.stop_all(ctx, of_leg(leg.id))
    return ()


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    player.readopt(ctx, node, snapshot)
    return [playback.channel for playback in ctx.get(Playbacks) if ctx.node(playback) is node]


def _stop(ctx: Context) -> None:
    ctx.get(Fetches).kill(block=False)


def _series(ctx: Context) -> Iterator[Metric]:
    yield gauge("vsi_esl_playbacks", "Playbacks that have not ended.", len(ctx.get(Playbacks)))
    yield gauge("vsi_esl_fetches", "Playbacks whose audio is being fetched.", len(ctx.get(Fetches)))
