"""The console as a feature: a page, its files, and two things that are to be had in no other way."""

from __future__ import annotations

import sqlite3
from typing import Any

import gevent

from ..access.tokens import Access, Scope
from ..calls.context import Context
from ..delivery.webhooks.outbox import Listing
from ..errors import NotFound, Unavailable
from ..protocol.pages import Moved, Page, page
from .files import files
from .settings import ConsoleSettings
from .state import state

WEBHOOKS_SHOWN = 100
"""Of those that wait, and of those that were given up; `vsi-esl webhooks list` shows more."""
WEBHOOKS_TIMEOUT_S = 5.0


def register(ctx: Context) -> None:
    """Its files are read now: later the event loop would wait for the disk."""
    files()


@page("/console", scope=None)
def index(ctx: Context, access: Access) -> Page:
    """The page itself."""
    return _file(ctx, "index.html")


@page("/console/", scope=None)
def index_with_a_slash(ctx: Context, access: Access) -> Moved:
    """As many write it. The files that the page names are not below this path."""
    _require_enabled(ctx)
    return Moved("../console")


@page("/console/{name}", scope=None)
def file(ctx: Context, access: Access, name: str) -> Page:
    """One of its files."""
    return _file(ctx, name)


@page("/console/views/{name}", scope=None)
def view(ctx: Context, access: Access, name: str) -> Page:
    """One of its modules."""
    return _file(ctx, f"views/{name}")


@page("/console/state", scope=Scope.READ)
def show_state(ctx: Context, access: Access) -> dict[str, Any]:
    """What there is now."""
    _require_enabled(ctx)
    return state(ctx, access)


@page("/console/webhooks", scope=Scope.ADMIN)
def webhooks(ctx: Context, access: Access) -> dict[str, Any]:
    """The outbox; only its figures when it is in no file."""
    _require_enabled(ctx)
    # not ended when it takes too long: the outbox is in the middle of something
    asked = gevent.spawn(_listing, ctx)
    asked.join(WEBHOOKS_TIMEOUT_S)
    if not asked.ready():
        raise Unavailable("the webhook outbox does not answer: the disk is slow")
    listing: Listing | sqlite3.Error | None = asked.value
    if isinstance(listing, sqlite3.Error):
        raise Unavailable(f"the webhook outbox cannot be read: {listing}")
    if listing is None:
        return {"in_file": False, "pending_total": ctx.webhooks.pending, "dead_total": ctx.webhooks.dead}
    return {"in_file": True, **listing}


def _listing(ctx: Context) -> Listing | sqlite3.Error | None:
    try:
        return ctx.webhooks.listing(WEBHOOKS_SHOWN)
    except sqlite3.Error as error:
        return error


def _file(ctx: Context, name: str) -> Page:
    _require_enabled(ctx)
    found = files().get(name)
    if found is None:
        raise NotFound("not found")
    return found


def _require_enabled(ctx: Context) -> None:
    if not ctx.config.section(ConsoleSettings).enabled:
        raise NotFound("not found")
