"""The host of the switches as a feature: of each the one on this machine, or its companion.

It comes behind the features that use it: what they have under way ends before it does.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ...audio.fetch import Fetcher
from ...audio.spool import Spool
from ...calls.context import Context
from ...calls.nodes import Node
from ...config import Config
from ...config.cluster import service_name
from ...config.settings import CompanionLink
from ...net.guard import AddressGuard
from ...ops.series import gauge, total
from ...storage.uploads import Uploads
from ..playback.settings import PlaybackSettings
from ..recording.settings import RecordingSettings, S3Settings
from . import doctor
from .figures import Figures
from .local import LocalHost

__all__ = ["doctor", "local_host", "register"]

LONGEST_AUDIO_S = 3600.0
"""Of one file: decoded it takes 350 MB at 48 kHz."""


def register(ctx: Context) -> None:
    """Give each switch its host."""
    figures = Figures()
    here = [node for node in ctx.nodes if node.share.companion is None]
    if here:
        local = local_host(ctx.config)
        ctx.moments.reload.subscribe(lambda ctx: _allow(local, ctx.config))
        ctx.moments.stop.subscribe(lambda _: local.stop())
        for node in here:
            node.host = local
    for node in ctx.nodes:
        if node.share.companion is not None:
            _remote(ctx, node, node.share.companion, figures)
    ctx.metrics.show(lambda: _series(ctx))
    ctx.metrics.show(lambda: figures.series(ctx.nodes))


def local_host(config: Config) -> LocalHost:
    """That of this machine, by these settings."""
    recordings = config.section(RecordingSettings).dir
    return LocalHost(recordings, _spool(config), _uploads(config))


def _remote(ctx: Context, node: Node, link: CompanionLink, figures: Figures) -> None:
    from .remote import RemoteHost  # noqa: PLC0415  (only where there is a companion)

    def superseded(fence: int) -> None:
        if ctx.cluster is not None:
            ctx.cluster.outbid(node.name, fence)

    config = ctx.config
    host = RemoteHost(
        node.name,
        link,
        service_name(config.service, config.http.port) if config.redis.enabled else config.instance_id,
        counted=figures.counting(node.name),
        back=lambda: ctx.moments.host_back(ctx, node),
        superseded=superseded,
    )
    node.host = host
    ctx.moments.stop.subscribe(lambda _: host.stop())


def _allow(local: LocalHost, config: Config) -> None:
    settings = config.section(PlaybackSettings)
    local.spool.fetcher.guard.allow(settings.allow_private_urls, settings.allowed_networks)


def _spool(config: Config) -> Spool:
    settings = config.section(PlaybackSettings)
    guard = AddressGuard(settings.allow_private_urls, settings.allowed_networks)
    fetcher = Fetcher(guard, timeout=settings.fetch_timeout, max_bytes=settings.max_bytes)
    return Spool(settings.spool_dir, fetcher, max_bytes=settings.spool_bytes, max_seconds=LONGEST_AUDIO_S)


def _uploads(config: Config) -> Uploads:
    settings = config.section(S3Settings)
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
