"""Options and reading of settings that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from ..config import Loaded


DEFAULT_URL = "ws://127.0.0.1:8080/v1/vsi"


class WrongSettings(click.ClickException):
    """They are as wrong at the next start: the unit does not try one (RestartPreventExitStatus=)."""

    exit_code = os.EX_CONFIG


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
        default=DEFAULT_URL,
        envvar="VSI_ESL_URL",
        show_default=True,
        callback=_vsi_url,
        help="The service's VSI endpoint. Also VSI_ESL_URL.",
    )(function)


def _vsi_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter(f"{value!r} is no address like {DEFAULT_URL}")
    return value


def token_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The --token option of the commands that are VSI clients."""
    return click.option(
        "--token",
        default="",
        envvar="VSI_ESL_TOKEN",
        help="Bearer token. Also VSI_ESL_TOKEN, which no process list shows.",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The --json option of the commands that print a table."""
    text = "One JSON array instead of a table."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def number_option(
    name: str, low: float, high: float, default: float, text: str, *, above: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that is a number from `low`, or `above` it, to `high`; whole where the default is."""
    kind: click.ParamType[Any]
    if isinstance(default, int):
        kind = click.IntRange(int(low), int(high), min_open=above)
    else:
        kind = click.FloatRange(low, high, min_open=above)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


OF_THE_SERVICE = {
    "STATE_DIRECTORY": "/var/lib/vsi_esl",
    "CREDENTIALS_DIRECTORY": "/run/credentials/vsi_esl.service",
}
"""What systemd tells the service of this machine (deploy/systemd)."""


def beside_the_service() -> dict[str, str]:
    """The environment of commands that look after what a service has, which becomes this process': with its
    directories, as systemd tells them to the service, where this user may read them. Otherwise root would
    look at state of its own, find none, and call that well."""
    for name, path in OF_THE_SERVICE.items():
        if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK):
            os.environ.setdefault(name, path)
    return dict(os.environ)


def load_settings(path: str | None, environ: dict[str, str]) -> Loaded:
    """Settings, with their warnings said on standard error."""
    from ..config import load

    loaded = load(path, environ)
    for warning in loaded.warnings:
        click.echo(f"vsi-esl: warning: {warning}", err=True)
    return loaded
