"""`vsi-esl config`."""

from __future__ import annotations

import os

import click
from rich.console import Console
from rich.table import Table

from ..config import describe, example_yaml
from . import cli, config_option, load_settings


@cli.group()
def config() -> None:
    """Check and show the settings."""


@config.command()
@config_option
def check(config_path: str | None) -> None:
    """Read the settings as `serve` would; exit code 1 and one line per problem when they are wrong."""
    load_settings(config_path, dict(os.environ))
    click.echo("the settings are fine")


@config.command()
@config_option
def show(config_path: str | None) -> None:
    """Show every setting, its variable, its value and where that came from. Secrets are hidden."""
    table = Table("key", "variable", "value", "from")
    for row in describe(load_settings(config_path, dict(os.environ))):
        table.add_row(row["key"], row["variable"], row["value"], row["source"])
    Console().print(table)


@config.command()
def example() -> None:
    """Print a settings file with every setting at its default."""
    click.echo(example_yaml(), nl=False)
