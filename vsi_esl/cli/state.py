"""`vsi-esl state`: whether the service's own files are sound; a copy of them, and putting that back."""

from __future__ import annotations

import sqlite3

import click

from ..storage.database import StateError
from .archive import bring_in, export
from .checks import echo_checks
from .options import beside_the_service, config_option, json_option, load_settings
from .statefiles import StateFile, checks, files


@click.group()
def state() -> None:
    """Check the service's own files, and copy them: rooms, open legs, webhooks that wait."""


@state.command()
@config_option
@json_option
def check(config_path: str | None, as_json: bool) -> None:
    """Look whether they are sound. Works while the service runs; exit code 1 when it could not start so."""
    found = list(checks(load_settings(config_path, beside_the_service()).config))
    echo_checks(found, "file", as_json)


@state.command("export")
@config_option
@click.argument("target", type=click.Path(dir_okay=False))
@click.option("--without-secrets", is_flag=True, help="Leave them out; to be looked at only.")
@click.option("--with-replay", is_flag=True, help="Also the events for ?since=, which are a cache.")
@click.option("--force", is_flag=True, help="Replace TARGET.")
def export_(
    config_path: str | None, target: str, without_secrets: bool, with_replay: bool, force: bool
) -> None:
    """Write them to TARGET, a tar that only its owner may read. Works while the service runs."""
    there = [one for one in _files(config_path) if one.exists and (with_replay or not one.cache)]
    if not there:
        raise click.ClickException("there is nothing to export yet")
    try:
        manifest = export(there, target, secrets=not without_secrets, replace=force)
    except sqlite3.Error as error:
        raise click.ClickException(f"not exported: {error}; `vsi-esl state check` says more") from None
    for entry in manifest.files:
        click.echo(f"{entry.what}: {entry.bytes} bytes, sha256 {entry.sha256}")
    said = "without secrets" if without_secrets else "with the secrets of webhooks, uploads and providers"
    click.echo(f"{target}: {said}; it names callers: keep it as you keep the state itself")


@state.command("import")
@config_option
@click.argument("source", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Move aside what is there.")
def import_(config_path: str | None, source: str, force: bool) -> None:
    """Put the files of SOURCE, made by `export`, in place. Refused while a service has them."""
    manifest, moved = bring_in(_files(config_path), source, replace=force)
    for path in moved:
        click.echo(f"moved aside: {path}")
    for entry in manifest.files:
        click.echo(f"{entry.what}: as of {manifest.made_at}")


def _files(config_path: str | None) -> list[StateFile]:
    found = files(load_settings(config_path, beside_the_service()).config)
    if not found:
        raise StateError("the state is in the service's memory (state.path)")
    return found
