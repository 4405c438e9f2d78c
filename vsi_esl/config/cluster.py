"""Settings of several services that share their switches: the Redis they have in common, and who each is.

Nothing here imports Redis' client, and nothing else of the package does while no server is named.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import values
from .declare import setting

NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
SERVICE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
SCHEMES = ("redis", "rediss", "unix")
DEFAULT_PORT = 6379


def redis_url(value: Any) -> str:
    """redis://HOST:PORT/DATABASE, rediss:// with TLS, or unix:///PATH; or nothing. A password has a place of
    its own, which no listing shows."""
    word = values.text(value).strip()
    if not word:
        return ""
    try:
        parts = urlsplit(word)
        good = parts.scheme in SCHEMES and not (parts.query or parts.fragment) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if good and "@" in word:
        raise ValueError("must not have a user or password: redis.username and redis.password are for them")
    if good and parts.scheme == "unix":
        good = os.path.isabs(parts.path) and not parts.netloc
    elif good:
        good = bool(parts.hostname) and bool(re.fullmatch(r"/?|/[0-9]{1,3}", parts.path))
    if not good:
        raise ValueError("must be redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:///PATH")
    return word


def host_or_none(value: Any) -> str:
    """A host name or an IP address, or nothing."""
    return values.host(value) if values.text(value).strip() else ""


def addresses(value: Any) -> tuple[tuple[str, int], ...]:
    """HOST:PORT, as a list or with commas between."""
    found = []
    for number, word in enumerate(values.words(value), 1):
        name, colon, port = word.rpartition(":")
        try:
            if not (colon and name):
                raise ValueError
            found.append((values.host(name), int(values.integer(1, 65535)(port))))
        except ValueError:
            raise ValueError(f"must be HOST:PORT of each Sentinel, which entry {number} is not") from None
    return tuple(found)


def namespace(value: Any) -> str:
    """What stands before every key."""
    if not NAMESPACE.match(word := values.text(value).strip()):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes and underscores")
    return word


def name_or_none(value: Any) -> str:
    """A name of a service, or nothing."""
    word = values.text(value).strip()
    if word and not SERVICE.match(word):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes and underscores")
    return word


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """The Redis (or Valkey) that several services share; without one there is one service."""

    url: str = setting(
        "VSI_ESL_REDIS_URL",
        redis_url,
        "",
        "The server: redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH. Empty for none, unless"
        " `redis.host` or `redis.sentinels` name one.",
        secret=True,  # somebody may have written a password into it
    )
    host: str = setting("VSI_ESL_REDIS_HOST", host_or_none, "", "The server, in place of `redis.url`.")
    port: int = setting(
        "VSI_ESL_REDIS_PORT", values.integer(1, 65535), DEFAULT_PORT, "Its port, with `redis.host`."
    )
    sentinels: tuple[tuple[str, int], ...] = setting(
        "VSI_ESL_REDIS_SENTINELS",
        addresses,
        (),
        "HOST:PORT of each Sentinel, in place of `redis.url`: they say which server is the primary.",
    )
    sentinel_name: str = setting(
        "VSI_ESL_REDIS_SENTINEL_NAME", values.some_text, "mymaster", "What the Sentinels call that group."
    )
    tls: bool = setting(
        "VSI_ESL_REDIS_TLS", values.boolean, False, "TLS, with `redis.host` or `redis.sentinels`."
    )
    tls_ca: str = setting(
        "VSI_ESL_REDIS_TLS_CA",
        values.file_path_or_none,
        "",
        "Certificates of those that may have signed the server's; empty for the system's.",
    )
    tls_cert: str = setting(
        "VSI_ESL_REDIS_TLS_CERT", values.file_path_or_none, "", "Our certificate, if the server asks for one."
    )
    tls_key: str = setting("VSI_ESL_REDIS_TLS_KEY", values.file_path_or_none, "", "Its private key.")
    username: str = setting("VSI_ESL_REDIS_USERNAME", values.text, "", "User, of a server with ACLs.")
    password: str = setting("VSI_ESL_REDIS_PASSWORD", values.text, "", "Password.", secret=True)
    namespace: str = setting(
        "VSI_ESL_REDIS_NAMESPACE", namespace, "vsi", "What every key begins with: one per deployment."
    )
    connect_timeout: float = setting(
        "VSI_ESL_REDIS_CONNECT_TIMEOUT", values.duration, 2.0, "Limit for connecting and logging in."
    )
    command_timeout: float = setting(
        "VSI_ESL_REDIS_COMMAND_TIMEOUT", values.duration, 1.0, "Limit for the answer to one command."
    )
    connections: int = setting(
        "VSI_ESL_REDIS_CONNECTIONS", values.integer(2, 1000), 16, "Most connections for commands at once."
    )

    @property
    def enabled(self) -> bool:
        """Whether a server is named."""
        return bool(self.url or self.host or self.sentinels)

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with several of them together (see `config.sections`)."""
        named = [name for name in ("url", "host", "sentinels") if getattr(self, name)]
        if len(named) > 1:
            yield tuple(named[1:]), f"redis.{named[0]} names the server as well: one of them will do"
        if bool(self.tls_cert) is not bool(self.tls_key):
            yield ("tls_cert", "tls_key"), "redis.tls_cert and redis.tls_key belong together"
        secured = self.tls or self.url.startswith("rediss:")
        if (self.tls_ca or self.tls_cert) and not secured:
            yield ("tls_ca", "tls_cert", "tls"), "is of no use without TLS (redis.tls, or rediss://)"
        if self.tls and self.url:
            yield ("tls", "url"), "an address with rediss:// says so by itself"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """This service among several on one Redis."""

    name: str = setting(
        "VSI_ESL_SERVICE_NAME",
        name_or_none,
        "",
        "Its name to the others: each its own, and the same after a restart.",
        default_text="the host's name and the port of http.addr",
        example="vsi-a",
    )
    weight: int = setting(
        "VSI_ESL_SERVICE_WEIGHT", values.integer(1, 1000), 1, "Its share of the switches, beside the others'."
    )
    grow_groups: bool = setting(
        "VSI_ESL_SERVICE_GROW_GROUPS",
        values.boolean,
        True,
        "Have two groups of switches be one while a leg of one is in a room of the other; if one service says"
        " no, the leg does not come into that room.",
    )


HOST_CHARACTERS = 50
"""Of the host's name, so that a port fits behind it."""


def service_name(service: ServiceSettings, port: int) -> str:
    """What a service is called by the others; empty when neither a name nor a port of its own tells."""
    if service.name or not port:
        return service.name
    return f"{socket.gethostname()[:HOST_CHARACTERS]}-{port}"
