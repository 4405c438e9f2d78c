"""Settings of webhooks, event replay and access."""

from __future__ import annotations

from dataclasses import dataclass

from ..net.guard import Network
from . import values
from .declare import setting


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Events by HTTP POST."""

    url: str = setting(
        "WEBHOOK_URL", values.http_url, "", "Where events go that no leg or room claims.", live=True
    )
    secret: str = setting(
        "WEBHOOK_SECRET",
        values.text,
        "",
        "Signs what goes there, and all else without a secret.",
        secret=True,
        live=True,
    )
    mode: str = setting(
        "VSI_ESL_WEBHOOK_MODE",
        values.choice("durable", "best_effort"),
        "durable",
        "durable: kept on disk until delivered, in order per leg. best_effort: three attempts, from memory.",
    )
    path: str = setting(
        "VSI_ESL_WEBHOOK_PATH",
        values.file_path_or_none,
        "",
        "SQLite file with the events to be delivered.",
        default_text="webhooks.sqlite3 beside the state database",
    )
    timeout: float = setting("VSI_ESL_WEBHOOK_TIMEOUT", values.duration, 10.0, "Limit for one attempt.")
    backoff_min: float = setting(
        "VSI_ESL_WEBHOOK_BACKOFF_MIN",
        values.duration,
        1.0,
        "Wait before the second attempt; doubled each time.",
    )
    backoff_max: float = setting(
        "VSI_ESL_WEBHOOK_BACKOFF_MAX", values.duration, 300.0, "Longest wait between two attempts."
    )
    give_up_after: float = setting(
        "VSI_ESL_WEBHOOK_GIVE_UP_AFTER",
        values.duration,
        14400.0,
        "Age at which an event becomes a dead letter.",
    )
    max_pending: int = setting(
        "VSI_ESL_WEBHOOK_MAX_PENDING",
        values.integer(100, 100_000_000),
        1_000_000,
        "Most events waiting; more are dropped and counted.",
    )
    max_bytes: int = setting(
        "VSI_ESL_WEBHOOK_MAX_BYTES",
        values.disk_size,
        4 << 30,
        "Most bytes of disk they take; at three quarters the oldest dead letters go.",
    )
    allow_private_urls: bool = setting(
        "VSI_ESL_WEBHOOK_ALLOW_PRIVATE",
        values.boolean,
        False,
        "Let requests name private and loopback addresses. The global webhook may be one in any case.",
        live=True,
    )
    from_sip_networks: tuple[Network, ...] = setting(
        "VSI_ESL_WEBHOOK_SIP_NETWORKS",
        values.networks,
        (),
        "Networks whose calls may set a webhook with X-Webhook-URL and X-Webhook-Secret; none: nobody.",
        live=True,
    )


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Events kept beside the state database for VSI clients that reconnect with ?since=EVENT_ID."""

    max_events: int = setting(
        "VSI_ESL_REPLAY_EVENTS", values.integer(0, 10_000_000), 100_000, "Most events kept; 0 for none."
    )
    max_age: float = setting("VSI_ESL_REPLAY_AGE", values.duration, 3600.0, "How long they are kept.")
    max_bytes: int = setting(
        "VSI_ESL_REPLAY_BYTES", values.disk_size, 256 << 20, "Most bytes of disk they take; the oldest go."
    )


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may use the HTTP face."""

    allowed_ips: tuple[Network, ...] = setting(
        "ALLOWED_IPS",
        values.networks,
        (),
        "Addresses and networks that may connect; empty for all.",
        live=True,
    )
    trust_proxy_headers: bool = setting(
        "TRUST_PROXY_HEADERS",
        values.boolean,
        False,
        "Take the client's address from the leftmost X-Forwarded-For, whoever wrote it: only behind a proxy"
        " that overwrites the header. `access.trusted_proxies` is safer.",
        live=True,
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "VSI_ESL_TRUSTED_PROXIES",
        values.networks,
        (),
        "Addresses and networks of reverse proxies. The client is the rightmost X-Forwarded-For that none of"
        " them has; from others the header is not read. `access.connections_per_address` is not for them.",
        live=True,
    )
    tokens: tuple[str, ...] = setting(
        "VSI_ESL_TOKENS",
        values.tokens,
        (),
        "Bearer tokens, each as NAME:SCOPE:HASH[:APP_ID_PATTERN]; made with `vsi-esl token`. None: no tokens"
        " needed.",
        secret=True,
        live=True,
    )
    allowed_origins: tuple[str, ...] = setting(
        "VSI_ESL_ALLOWED_ORIGINS",
        values.words,
        (),
        "Origins of browsers' pages that may connect, such as https://console.example; * for all.",
        live=True,
    )
    rate_limit: int = setting(
        "VSI_ESL_RATE_LIMIT",
        values.integer(0, 1_000_000),
        0,
        "Requests and commands per second and token, with bursts of twice that; 0 for no limit.",
        live=True,
    )
    connections_per_address: int = setting(
        "VSI_ESL_CONNECTIONS_PER_ADDRESS",
        values.integer(0, 100_000),
        128,
        "Most connections of one address (of an IPv6 /64) beside VSI clients, of 256 in all. For another, the"
        " one that waits longest is closed. 0 for no limit.",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "VSI_ESL_ALLOWED_HOSTS",
        values.words,
        (),
        "Names under which the service may be asked while there are no tokens, beside addresses and"
        " localhost; * for all.",
        live=True,
    )
    open_without_tokens: bool = setting(
        "VSI_ESL_OPEN_WITHOUT_TOKENS",
        values.boolean,
        False,
        "Listen on other addresses than loopback although there are no tokens.",
    )
