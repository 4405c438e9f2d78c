"""`vsi-esl config`."""

from __future__ import annotations

import json

import click

from ..config import describe, differences, example_yaml
from .lines import echo_table
from .options import beside_the_service, config_option, load_settings


@click.group()
def config() -> None:
    """Check and show the settings."""


@config.command()
@config_option
def check(config_path: str | None) -> None:
    """Read the settings as `serve` would; exit code 1 and one line per problem when they are wrong."""
    load_settings(config_path, beside_the_service())
    click.echo("the settings are fine")


@config.command()
@config_option
@click.option("--changed", is_flag=True, help="Only what a file or the environment has set.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, with defaults and meanings.")
def show(config_path: str | None, changed: bool, as_json: bool) -> None:
    """Show every setting, its value, where that came from, and its variable. Secrets are hidden."""
    rows = describe(load_settings(config_path, beside_the_service()))
    if changed:
        rows = [row for row in rows if row["source"] != "default"]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("key", "value", "from", "variable")
    found = [[row["key"], row["value"], row["source"], row["variable"]] for row in rows]
    echo_table(columns, found)


@config.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False), metavar="BEFORE")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON array, as of `config show`.")
def changes(before: str, config_path: str | None, as_json: bool) -> None:
    """Show which settings differ from those of the file BEFORE, and whether a reload will do for them."""
    environ = beside_the_service()
    rows = differences(load_settings(before, environ), load_settings(config_path, environ))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    echo_table(("key", "now", "takes a"), [[row["key"], row["value"], row["applied_by"]] for row in rows])


@config.command()
def example() -> None:
    """Print a settings file with every setting at its default."""
    click.echo(example_yaml(), nl=False)
