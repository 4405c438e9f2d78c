"""`vsi-esl switches`: which there are and how they stand; draining one before its maintenance."""

from __future__ import annotations

import json
from typing import Any

import click

from .lines import echo_table
from .options import json_option, token_option, url_option
from .service import ask

HEADER = ("switch", "address", "state", "legs", "capacity", "weight", "rooms", "version")


WITH = "changes hands with"
"""Only where one service has several of them at a time, among several services."""


@click.group()
def switches() -> None:
    """Show the switches of a running service, and drain them."""


@switches.command("list")
@url_option
@token_option
@json_option
def list_(url: str, token: str, as_json: bool) -> None:
    """List the switches with their legs. Exit code 1 when none takes calls."""
    found: list[dict[str, Any]] = ask(url, token, "GET", "/switches")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        rows = [_cells(one) for one in found]
        if any(one["changes_hands_with"] for one in found):
            echo_table((*HEADER, WITH), [[*row, _with(one)] for row, one in zip(rows, found, strict=True)])
        else:
            echo_table(HEADER, rows)
    if all(one["takes_no_calls"] for one in found):
        raise click.exceptions.Exit(1)


@switches.command()
@click.argument("name")
@url_option
@token_option
def drain(name: str, url: str, token: str) -> None:
    """Have no new calls made on the switch NAME; its rooms still take legs, and its calls go on.

    Callers that reach it by SIP still come: turn them away where they come from. It lasts until `undrain`,
    over restarts of the service. Needs an admin token.
    """
    left = ask(url, token, "POST", f"/switches/{name}/drain")["legs"]
    click.echo(f"{name} drains; legs on it: {left}")


@switches.command()
@click.argument("name")
@url_option
@token_option
def undrain(name: str, url: str, token: str) -> None:
    """Have calls made on the switch NAME again. Needs an admin token."""
    one = ask(url, token, "POST", f"/switches/{name}/undrain")
    why = one["takes_no_calls"]
    click.echo(f"{name} takes calls" if not why else f"{name} drains no more, but takes no calls: {why}")


def _cells(one: dict[str, Any]) -> list[str]:
    capacity = str(one["capacity"] or "no limit")
    shown = [one["takes_no_calls"] or "takes calls", one["legs"], capacity, one["weight"], one["rooms"]]
    return [one["name"], one["address"], *map(str, shown), one["version"] or "-"]


def _with(one: dict[str, Any]) -> str:
    return " ".join(one["changes_hands_with"])
