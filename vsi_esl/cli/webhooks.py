"""`vsi-esl webhooks`: what waits in the outbox, what was given up, and having that delivered after all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from ..app import webhook_path
from ..delivery.webhooks.outbox import Outbox
from .lines import echo_table
from .options import beside_the_service, config_option, load_settings
from .progress import progress

AT_ONCE = 500
"""Dead letters replayed in one transaction: a service that runs on the file waits for each."""
HEADER = ("id", "published", "event", "key", "receiver", "attempts", "last error")


@click.group()
def webhooks() -> None:
    """Show the webhook outbox, and replay dead letters. Works while the service runs."""


@webhooks.command("list")
@config_option
@click.option("--dead", "kind", flag_value="dead", help="Only dead letters: events given up.")
@click.option("--pending", "kind", flag_value="pending", help="Only events that wait for delivery.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="Of each kind."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_(config_path: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List dead letters and events that wait, oldest first. Secrets, paths and contents are not shown."""
    with _outbox(config_path) as outbox:
        pending, dead = outbox.counts()
        found = {"dead": dead, "pending": pending}
        shown = {one: outbox.listing("dead" if one == "dead" else "events", limit) for one in found}
    if kind:
        shown = {kind: shown[kind]}
    if as_json:
        for name, rows in shown.items():
            for row in rows:
                click.echo(json.dumps({"state": name, **row}))
        return
    for name, rows in shown.items():
        click.echo(f"{name}: {found[name]}" + (f", the first {limit}" if found[name] > limit else ""))
        if rows:
            echo_table(HEADER, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    published = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    receiver = row["endpoint"] or "global"
    return [
        str(row["id"]),
        published,
        row["type"],
        row["key"],
        receiver,
        str(row["attempts"]),
        row["error"],
    ]


@webhooks.command()
@config_option
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
def replay(config_path: str | None, ids: tuple[int, ...], everything: bool) -> None:
    """Have dead letters delivered again, with the event ids they had; behind what waits already."""
    if bool(ids) is everything:
        raise click.UsageError("name dead letters by their id, as `vsi-esl webhooks list` shows it, or --all")
    with _outbox(config_path) as outbox:
        wanted = outbox.dead_ids() if everything else sorted(set(ids))
        count = 0
        with progress("replaying", len(wanted)) as told:
            for start in range(0, len(wanted), AT_ONCE):
                count += outbox.replay(wanted[start : start + AT_ONCE])
                told(start + AT_ONCE, "")
    click.echo(f"to be delivered again: {count}")
    if not everything and count < len(wanted):
        raise click.ClickException(f"{len(wanted) - count} of these ids are no dead letters")


@contextmanager
def _outbox(config_path: str | None) -> Iterator[Outbox]:
    config = load_settings(config_path, beside_the_service()).config
    path = webhook_path(config)
    if path == ":memory:":
        raise click.ClickException("the webhook outbox is in the service's memory (webhooks.path)")
    outbox = Outbox(path, create=False)
    try:
        yield outbox
    except sqlite3.Error as error:
        raise click.ClickException(f"the webhook outbox {path}: {error}") from None
    finally:
        outbox.close()
