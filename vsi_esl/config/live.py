"""Which settings take effect while the service runs (SIGHUP), and how two sets of them differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .loading import Loaded, all_settings, is_loopback
from .settings import Config

LIVE = (
    "sip.auto_ringing",
    "sip.domain",
    "sip.outbound_proxy",
    "sip.codecs",
    "media.hold_timeout",
    "rooms.default_sample_rate",
    "speech.detection_enabled",
    "playback.allow_private_urls",
    "playback.allowed_networks",
    "webhooks.url",
    "webhooks.secret",
    "webhooks.allow_private_urls",
    "webhooks.from_sip_networks",
    "access.allowed_ips",
    "access.trust_proxy_headers",
    "access.tokens",
    "access.allowed_origins",
    "access.rate_limit",
    "access.allowed_hosts",
    "log.level",
)
"""What is asked for anew at each use, or can be put in place of what was there. Everything else is in
connections, files, queues and listeners that are made once, at the start."""


def value_of(config: Config, key: str) -> Any:
    """A setting by its key, such as `switch.host`."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def changed(before: Loaded, after: Loaded) -> list[str]:
    """The keys of the settings that differ. Two defaults do not, even where they are made up each time."""
    return [
        key
        for key, _ in all_settings()
        if value_of(before.config, key) != value_of(after.config, key)
        and not before.sources[key] == after.sources[key] == "default"
    ]


def with_live(config: Config, after: Config, keys: Iterable[str]) -> Config:
    """`config` with these settings of `after`."""
    for key in keys:
        section, _, name = key.partition(".")
        values = replace(getattr(config, section), **{name: value_of(after, key)})
        config = replace(config, **{section: values})
    return config


def cannot_be(config: Config, host: str) -> str:
    """Why these settings must not be taken over by a service that listens on `host`; empty when they may."""
    access = config.access
    if not (access.tokens or access.open_without_tokens or is_loopback(host)):
        return "without tokens it would listen on 127.0.0.1 only, which needs a restart"
    return ""
