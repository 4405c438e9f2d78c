"""What completes a command of `vsi-esl call`: its name, its members and their values, and live ids."""

from __future__ import annotations

import json
import os

import click
from click.shell_completion import CompletionItem

from ..options import DEFAULT_URL
from .payloads import Member, payloads
from .shells import NO_SPACE

PATIENCE_S = 0.3
"""A shell waits for it, so nothing is better than late."""
MOST = 200


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The commands that begin so."""
    return [
        CompletionItem(name, help=payload["help"])
        for name, payload in payloads().items()
        if name.startswith(incomplete)
    ]


def members(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Members of the command that begin so and are not given yet; behind a `=`, their values. Nothing where
    none are known, or nobody can be asked."""
    payload = payloads().get(ctx.params.get("command") or "")
    found = payload["members"] if payload is not None else {}
    name, equals, begun = incomplete.partition("=")
    if equals:
        return _values(ctx, name, begun, found[name]) if name in found else []
    given = {item.partition("=")[0] for item in ctx.params.get("members") or ()}
    return [
        CompletionItem(f"{name}=", type=NO_SPACE, help=member["help"])
        for name, member in found.items()
        if name not in given and name.startswith(incomplete)
    ]


def _values(ctx: click.Context, name: str, begun: str, member: Member) -> list[CompletionItem]:
    known = [(value, "") for value in member["values"]]
    if member["path"]:
        known = _live(ctx, member["path"])
    return [CompletionItem(f"{name}={value}", help=text) for value, text in known if value.startswith(begun)]


def _live(ctx: click.Context, path: str) -> list[tuple[str, str]]:
    from gevent import monkey

    monkey.patch_all()  # completing does without, until there is something to wait for
    from .. import http_get

    url = ctx.params.get("url") or os.environ.get("VSI_ESL_URL") or DEFAULT_URL
    token = ctx.params.get("token") or os.environ.get("VSI_ESL_TOKEN", "")
    try:
        status, body = http_get.get(url, path, token, PATIENCE_S)
        found = json.loads(body) if status == 200 else []
        return [(one["id"], one.get("state", "")) for one in found[:MOST]]
    except (http_get.Unanswered, ValueError, TypeError, KeyError):
        return []  # there is nobody to tell
