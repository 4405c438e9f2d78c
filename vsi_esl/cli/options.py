"""Options and reading of settings that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..config import Loaded


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
    from ..config import load

    loaded = load(path, environ)
    for warning in loaded.warnings:
        click.echo(f"vsi-esl: warning: {warning}", err=True)
    return loaded
