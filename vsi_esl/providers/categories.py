"""How providers fail, as the service tells its clients."""

from __future__ import annotations

PERMANENT_AUTH = "permanent_auth"
PERMANENT_INPUT = "permanent_input"
RATE_LIMITED = "rate_limited"
SERVICE_UNAVAILABLE = "service_unavailable"
RETRYABLE = "retryable"
CANCELED = "canceled"
UNKNOWN = "unknown"

CATEGORIES = (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE_LIMITED,
    SERVICE_UNAVAILABLE,
    RETRYABLE,
    CANCELED,
    UNKNOWN,
)
TRANSIENT = frozenset({RATE_LIMITED, SERVICE_UNAVAILABLE, RETRYABLE})
"""Worth another try."""


def category_of(status: int) -> str:
    """Of an HTTP status (the reference's categories)."""
    if status in (401, 403):
        return PERMANENT_AUTH
    if status == 429:
        return RATE_LIMITED
    if status == 408:
        return RETRYABLE
    if status >= 500:
        return SERVICE_UNAVAILABLE
    return PERMANENT_INPUT if status >= 400 else UNKNOWN
