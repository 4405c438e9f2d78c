"""The host of the switches as a feature: for all of them the one on this machine.

It comes behind the features that use it: what they have under way ends before it does.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ...audio.fetch import Fetcher
from ...audio.spool import Spool
from ...calls.context import Context
from ...net.guard import AddressGuard
from ...ops.series import gauge, total
from ...storage.uploads import Uploads
from ..playback.settings import PlaybackSettings
from ..recording.settings import S3Settings
from .local import LocalHost

LONGEST_AUDIO_S = 3600.0
"""Of one file: decoded it takes 350 MB at 48 kHz."""


def register(ctx: Context) -> None:
    """Give each switch its host."""
    local = LocalHost(_spool(ctx), _uploads(ctx))
    for node in ctx.nodes:
        node.host = local
    ctx.metrics.show(lambda: _series(ctx))

    def allow(ctx: Context) -> None:
        settings = ctx.config.section(PlaybackSettings)
        local.spool.fetcher.guard.allow(settings.allow_private_urls, settings.allowed_networks)

    def stop(ctx: Context) -> None:
        local.stop()

    ctx.moments.reload.subscribe(allow)
    ctx.moments.stop.subscribe(stop)


def _spool(ctx: Context) -> Spool:
    settings = ctx.config.section(PlaybackSettings)
    guard = AddressGuard(settings.allow_private_urls, settings.allowed_networks)
    fetcher = Fetcher(guard, timeout=settings.fetch_timeout, max_bytes=settings.max_bytes)
    return Spool(settings.spool_dir, fetcher, max_bytes=settings.spool_bytes, max_seconds=LONGEST_AUDIO_S)


def _uploads(ctx: Context) -> Uploads:
    settings = ctx.config.section(S3Settings)
    return Uploads(attempt_timeout=settings.attempt_timeout, guard=settings.guard())


def _series(ctx: Context) -> Iterator[Metric]:
    hosts = {id(node.host): node.host.counts for node in ctx.nodes}.values()
    refused = "Fetches that got no turn in time."
    yield total("vsi_esl_fetches_refused", refused, sum(one.fetches_refused for one in hosts))
    yield gauge("vsi_esl_uploads", "Uploads not done.", sum(one.uploads for one in hosts))
    attempts = "Attempts to upload."
    yield total("vsi_esl_upload_attempts", attempts, sum(one.upload_attempts for one in hosts))
    failures = "Attempts that failed."
    yield total("vsi_esl_upload_failures", failures, sum(one.upload_failures for one in hosts))
    unverified = "Recordings begun although their S3 bucket could not be verified."
    yield total("vsi_esl_s3_buckets_unverified", unverified, sum(one.buckets_unverified for one in hosts))
    waited = "Uploads refused: too many waited."
    yield total("vsi_esl_uploads_refused", waited, sum(one.uploads_refused for one in hosts))
