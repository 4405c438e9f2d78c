"""The bucket that recordings go to when a request names none."""

from __future__ import annotations

from ...storage.s3 import S3Target
from .settings import S3Settings


def configured(settings: S3Settings) -> S3Target | None:
    """The server's own bucket, if there is one."""
    if not settings.bucket:
        return None
    return S3Target(
        settings.bucket,
        settings.region,
        settings.endpoint,
        settings.prefix,
        settings.access_key,
        settings.secret_key,
    )
