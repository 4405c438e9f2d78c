"""Recordings as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...calls.moments import Awaited
from ...calls.nodes import Node
from ...model.leg import Leg
from ...model.recording import ARMED, CLOSING, REPORTED, RUNNING, UNPUBLISHED
from ...model.sound_stores import Recordings
from ...ops.series import by_state, gauge
from ...storage import folders
from ...switch.facts import need
from ...switch.snapshot import Snapshot
from . import commands, doctor, holds, recorder, tracks, translators
from .failures import Failures
from .publisher import Publisher
from .settings import RecordingSettings, S3Settings

__all__ = ["commands", "doctor", "register", "translators"]

need("mod_sndfile", "recordings")

LAST_EVENT_LIMIT_S = 30.0
"""How long the last event of a leg waits for its recording to be published, beside the upload."""
PAUSED = "paused"
STATES = (ARMED, RUNNING, PAUSED, CLOSING, REPORTED, UNPUBLISHED)


def register(ctx: Context) -> None:
    """Make recordings a part of the service."""
    if any(node.share.companion is None for node in ctx.nodes):
        folders.warn(ctx.config.section(RecordingSettings).dir)
    ctx.provide(Recordings())
    ctx.provide(Publisher())
    ctx.provide(Failures(ctx.metrics))
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.media_up.subscribe(recorder.media_up)
    moments.joined.subscribe(tracks.joined)
    moments.left.subscribe(recorder.left_room)
    moments.unseated.subscribe(tracks.unseated)
    moments.reseated.subscribe(tracks.joined)
    moments.held.subscribe(holds.changed)
    moments.whispered.subscribe(recorder.renew)
    moments.ended.subscribe(_ended)
    moments.room_deleting.subscribe(recorder.finish_room)
    moments.adopt.subscribe(_adopt)
    moments.released.subscribe(_released)
    moments.host_back.subscribe(_host_back)
    moments.stop.subscribe(_stop)


def _ended(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    limit = ctx.config.section(S3Settings).upload_timeout + LAST_EVENT_LIMIT_S
    return [Awaited(report, limit) for report in recorder.leg_ended(ctx, leg, room_id)]


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    recorder.readopt(ctx, node, snapshot)
    return [recording.recorder for recording in ctx.get(Recordings) if ctx.node(recording) is node]


def _host_back(ctx: Context, node: Node) -> None:
    """What could not be published while the files were out of reach."""
    for recording in ctx.get(Recordings):
        if recording.state == UNPUBLISHED and ctx.node(recording) is node:
            ctx.get(Publisher).publish(ctx, recording)


def _released(ctx: Context, node: Node) -> None:
    for recording in ctx.get(Recordings):
        if ctx.node(recording) is node:
            ctx.get(Recordings).remove(recording)
            ctx.timers.cancel(recording.id)
            ctx.get(Publisher).let_go(recording)


def _stop(ctx: Context) -> None:
    ctx.get(Publisher).stop()


def _series(ctx: Context) -> Iterator[Metric]:
    states = Counter(PAUSED if one.paused and one.running else one.state for one in ctx.get(Recordings))
    yield by_state("vsi_esl_recordings", "Recordings by state.", STATES, states)
    waiting = "Recordings whose end somebody waits for."
    yield gauge("vsi_esl_recordings_awaited", waiting, len(ctx.get(Publisher)))
