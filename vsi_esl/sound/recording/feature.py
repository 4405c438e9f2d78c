"""Recordings as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...model.recording import ARMED, CLOSING, REPORTED, RUNNING, UNPUBLISHED
from ...model.sound_stores import Recordings
from ...ops.series import by_state, gauge, total
from ...storage.uploads import Uploads
from ...switch.snapshot import Snapshot
from . import commands, holds, recorder, tracks, translators
from .failures import Failures
from .publisher import Publisher

__all__ = ["commands", "register", "translators"]

PAUSED = "paused"
STATES = (ARMED, RUNNING, PAUSED, CLOSING, REPORTED, UNPUBLISHED)


def register(ctx: Context) -> None:
    """Make recordings a part of the service."""
    s3 = ctx.config.s3
    ctx.provide(Recordings())
    ctx.provide(Uploads(lambda *_: None, attempt_timeout=s3.attempt_timeout, guard=s3.guard()))
    ctx.provide(Publisher())
    ctx.provide(Failures(ctx.metrics))
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.media_up.subscribe(recorder.media_up)
    moments.joined.subscribe(tracks.joined)
    moments.left.subscribe(recorder.left_room)
    moments.held.subscribe(holds.changed)
    moments.ended.subscribe(recorder.leg_ended)
    moments.room_deleting.subscribe(recorder.finish_room)
    moments.adopt.subscribe(_adopt)
    moments.stop.subscribe(_stop)


def _adopt(ctx: Context, snapshot: Snapshot) -> Iterable[str]:
    recorder.readopt(ctx, snapshot)
    return [recording.recorder for recording in ctx.get(Recordings)]


def _stop(ctx: Context) -> None:
    ctx.get(Publisher).stop()
    ctx.get(Uploads).stop()


def _series(ctx: Context) -> Iterator[Metric]:
    recordings, uploads = ctx.get(Recordings), ctx.get(Uploads)
    states = Counter(PAUSED if one.paused and one.running else one.state for one in recordings)
    yield by_state("vsi_esl_recordings", "Recordings by state.", STATES, states)
    yield gauge("vsi_esl_uploads", "Uploads not done.", len(uploads))
    yield total("vsi_esl_upload_attempts", "Attempts to upload.", uploads.attempts)
    yield total("vsi_esl_upload_failures", "Attempts that failed.", uploads.failures)
    unverified = "Recordings begun although their S3 bucket could not be verified."
    yield total("vsi_esl_s3_buckets_unverified", unverified, uploads.unverified)
    yield total("vsi_esl_uploads_refused", "Uploads refused: too many waited.", uploads.refused)
    waiting = "Recordings whose end somebody waits for."
    yield gauge("vsi_esl_recordings_awaited", waiting, len(ctx.get(Publisher)))
