"""The command: collects, hides, writes, and says what is in the file and how to look at it."""

from __future__ import annotations

import os
import time

import click
from click.core import ParameterSource

from ...config import Config
from ...config.loading import listen_host
from ..options import config_option, number_option, token_option, url_option
from ..progress import progress
from . import secrets
from .bundle import gathered, write
from .collect import PARTS, Asked, settings_of
from .masking import Mask

MAX_LINES = 100_000
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  (what the service listens on, to be asked on loopback)
LOOK = """
Look through it before you send it:

  tar -xzOf {path} | less

It still has host names, IP addresses, and the ids of legs, rooms and applications.
"""


@click.command()
@config_option
@url_option
@token_option
@click.option("-o", "--output", type=click.Path(), help="File to write; by default named by the time.")
@number_option("--lines", 0, MAX_LINES, 2000, "Lines of the log, its end.")
@click.option("--unit", default="vsi_esl", show_default=True, help="systemd's name of the service.")
@click.option(
    "--log-file", type=click.Path(dir_okay=False), default="", help="Read the log here, not in the journal."
)
@click.pass_context
def support(
    ctx: click.Context,
    *,
    config_path: str | None,
    url: str,
    token: str,
    output: str | None,
    lines: int,
    unit: str,
    log_file: str,
) -> None:
    """Collect what a bug report needs into one file, without secrets.

    Phone numbers are taken out as well; calls can still be followed by what stands in their place. Run it as
    the user of the service, or as root: others see less. What cannot be had is noted in the bundle. Nothing
    is sent anywhere.
    """
    loaded, problem = settings_of(config_path)
    if loaded is not None and ctx.get_parameter_source("url") is ParameterSource.DEFAULT:
        url = _address(loaded.config)
    asked = Asked(url, token, unit, log_file, lines, loaded, problem)
    known = [token, *secrets.of_environment(os.environ)]
    if loaded is not None:
        known += [*secrets.of_settings(loaded.config), *secrets.of_files(loaded.config)]
    mask = Mask(known)
    with progress("collecting", len(PARTS)) as told:
        files = gathered(PARTS, asked, mask, told)
    path = output or time.strftime("vsi-esl-support-%Y%m%d-%H%M%S.tar.gz")
    size = write(path, files, mask)
    click.echo(f"{path}, {size / 1024:.0f} KiB, readable to you only:\n")
    for one in files:
        if not one.failure:
            click.echo(f"  {one.part.name:16} {one.part.about}")
    if missing := [one for one in files if one.failure]:
        click.echo("\nnot collected:\n")
        for one in missing:
            click.echo(f"  {one.part.name:16} {' '.join(one.failure.split())[:200]}")
    click.echo(LOOK.format(path=path), nl=False)


def _address(config: Config) -> str:
    """Where the service that these settings are of can be asked."""
    host, _ = listen_host(config)
    host = "127.0.0.1" if host in EVERYWHERE else host
    return f"ws://{f'[{host}]' if ':' in host else host}:{config.http.port}/v1/vsi"
