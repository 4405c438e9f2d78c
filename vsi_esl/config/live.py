"""Which settings take effect while the service runs (SIGHUP), and how two sets of them differ."""

from __future__ import annotations

from collections.abc import Iterable

from .loading import Loaded, is_loopback
from .sections import all_settings, value_of, with_values
from .settings import Config


def live() -> list[str]:
    """The keys of the settings that take effect while the service runs."""
    return [key for key, item in all_settings() if item.metadata["live"]]


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
        config = with_values(config, section, **{name: value_of(after, key)})
    return config


def cannot_be(config: Config, host: str) -> str:
    """Why these settings must not be taken over by a service that listens on `host`; empty when they may."""
    access = config.access
    if not (access.tokens or access.open_without_tokens or is_loopback(host)):
        return "without tokens it would listen on 127.0.0.1 only, which needs a restart"
    return ""
