"""What `vsi-esl doctor` looks at of the HTTP face: who may use it, and whether webhooks get away."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator

from ..app import webhook_path
from ..config import Config
from ..delivery.webhooks.outbox import Outbox
from ..delivery.webhooks.targets import endpoint_of, host_of
from ..net import NetError
from ..net.connect import FAILURES, Connector, reason
from ..net.guard import AddressGuard
from ..net.url import parsed
from ..ops.findings import FAIL, OK, WARN, Check, writable
from ..storage.database import StateError

CONNECT_TIMEOUT_S = 3.0


def http_checks(config: Config) -> Iterator[Check]:
    """Access, the global webhook's receiver, and the outbox."""
    yield _access(config)
    settings = config.webhooks
    if settings.url:
        yield _receiver(settings.url)
    path = webhook_path(config)
    if settings.mode == "durable" and path != ":memory:":
        yield _outbox(path)


def _access(config: Config) -> Check:
    count = len(config.access.tokens)
    if count:
        return Check("access", OK, f"{count} token" + "s" * (count > 1))
    hint = "make tokens with `vsi-esl token`"
    if config.access.open_without_tokens:
        return Check("access", WARN, "everybody who reaches the service controls all calls", hint)
    return Check("access", OK, "no tokens: this machine only")


def _receiver(url: str) -> Check:
    """Connect to the global webhook, without sending anything."""
    name, where = "webhook receiver", host_of(endpoint_of(url))
    try:
        Connector(AddressGuard(True), CONNECT_TIMEOUT_S, name).connect(
            parsed(url, name), guarded=False
        ).close()
    except NetError as error:
        problem = error.message
    except FAILURES as error:
        problem = reason(error)
    else:
        return Check(name, OK, where)
    return Check(name, WARN, f"{where}: {problem}", "events wait in the outbox meanwhile")


def _outbox(path: str) -> Check:
    name = "webhook outbox"
    if not os.path.exists(path):
        return writable(name, os.path.dirname(os.path.abspath(path)), FAIL)
    try:
        outbox = Outbox(path, create=False)
        try:
            pending, dead = outbox.counts()
        finally:
            outbox.close()
    except (StateError, sqlite3.Error) as error:
        return Check(name, FAIL, str(error), "see webhooks.path")
    found = f"{pending} waiting, {dead} given up"
    if dead:
        return Check(name, WARN, found, "see `vsi-esl webhooks list --dead`, then `webhooks replay`")
    return Check(name, OK, found)
