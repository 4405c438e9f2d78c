"""The command line: serve, sandbox, doctor, tail, call, config, docs, token, webhooks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from greenswitch.esl import NotConnectedError

from .. import __version__, logs
from ..config import Config, ConfigError, Loaded, load
from ..storage.database import StateError
from ..switch.client import AuthenticationFailed, CommandTimeout

EXPECTED = (ConfigError, StateError, NotConnectedError, AuthenticationFailed, CommandTimeout, OSError)
"""What can go wrong without being a defect: told in a line, not in a traceback."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vsi-esl")
def cli() -> None:
    """Drive FreeSWITCH with the VSI call-control protocol."""


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The --config option, with its variable."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        envvar="VSI_ESL_CONFIG",
        type=click.Path(dir_okay=False),
        help="Settings file (YAML). Also VSI_ESL_CONFIG.",
    )(function)


def url_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The --url option of the commands that are VSI clients."""
    return click.option(
        "--url",
        default="ws://127.0.0.1:8080/v1/vsi",
        envvar="VSI_ESL_URL",
        show_default=True,
        help="The service's VSI endpoint. Also VSI_ESL_URL.",
    )(function)


def token_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The --token option of the commands that are VSI clients."""
    return click.option(
        "--token",
        default="",
        envvar="VSI_ESL_TOKEN",
        help="Bearer token. Also VSI_ESL_TOKEN, which no process list shows.",
    )(function)


def load_settings(path: str | None, environ: dict[str, str]) -> Loaded:
    """Settings, with their warnings said on standard error."""
    loaded = load(path, environ)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded


def main() -> None:
    """Run the command line; every expected failure is one clear line and exit code 1."""
    logs.setup("warn", "console", sys.stderr)  # `serve` sets up its own
    try:
        cli.main(prog_name="vsi-esl", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EXPECTED as error:
        click.echo(f"vsi-esl: {error}", err=True)
        sys.exit(1)


# they add their commands
from . import client, config_commands, docs, doctor, freeswitch_conf, sandbox, serve, token, webhooks  # noqa: E402

__all__ = [
    "Config",
    "cli",
    "client",
    "config_commands",
    "docs",
    "doctor",
    "freeswitch_conf",
    "main",
    "sandbox",
    "serve",
    "token",
    "webhooks",
]
