"""Which settings take effect while the service runs (SIGHUP), and how two sets of them differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from . import switches
from .loading import Loaded, is_loopback
from .sections import all_settings, value_of, with_values
from .settings import Config, ListedSwitch


def live() -> list[str]:
    """The keys of the settings that take effect while the service runs."""
    return [key for key, item in all_settings() if item.metadata["live"]]


SHARES = ("weight", "capacity", "drain")
"""Of an entry of `switches`, what takes effect while the service runs."""


def changed(before: Loaded, after: Loaded) -> list[str]:
    """The keys of the settings that differ. Two defaults do not, even where they are made up each time."""
    return _of_switches(before.config, after.config) + [
        key
        for key, _ in all_settings()
        if value_of(before.config, key) != value_of(after.config, key)
        and not before.sources[key] == after.sources[key] == "default"
    ]


def _of_switches(before: Config, after: Config) -> list[str]:
    """`switches` when there are others now; keys such as `switches.east.weight` when they differ in that."""
    if [_fixed(one) for one in before.switches] != [_fixed(one) for one in after.switches]:
        return [switches.KEY]
    return [
        f"{switches.KEY}.{old.name}.{member}"
        for old, new in zip(before.switches, after.switches, strict=True)
        for member in SHARES
        if getattr(old, member) != getattr(new, member)
    ]


def _fixed(one: ListedSwitch) -> tuple[object, ...]:
    return tuple(getattr(one, item.name) for item in fields(one) if item.name not in SHARES)


def takes_effect(key: str) -> bool:
    """Whether a key that `changed` gives is one of a running service."""
    head, _, member = key.rpartition(".")
    return member in SHARES if head.startswith(f"{switches.KEY}.") else key in live()


def with_live(config: Config, after: Config, keys: Iterable[str]) -> Config:
    """`config` with these settings of `after`, each of which takes effect."""
    for key in keys:
        if key.startswith(f"{switches.KEY}."):
            # they differ in nothing else, or there would be no such key
            config = replace(config, switches=after.switches)
            continue
        section, _, name = key.partition(".")
        config = with_values(config, section, **{name: value_of(after, key)})
    return config


def cannot_be(config: Config, host: str) -> str:
    """Why these settings must not be taken over by a service that listens on `host`; empty when they may."""
    access = config.access
    if not (access.tokens or access.open_without_tokens or is_loopback(host)):
        return "without tokens it would listen on 127.0.0.1 only, which needs a restart"
    return ""
