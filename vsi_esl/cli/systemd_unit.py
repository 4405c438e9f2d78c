"""`vsi-esl systemd-unit`: the unit of the service, or of a companion, with the paths of this installation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

UNITS = Path(__file__).parents[1] / "systemd"
SERVICE, COMPANION = "vsi_esl", "vsi_companion"
"""Its unit, its user and its directory in /etc."""
RELOAD_FROM = 253
"""The version of systemd that has Type=notify-reload: `systemctl reload` then waits until it is done."""
ASK_TIMEOUT_S = 5.0
HIDDEN_FROM_IT = ("home", "root", "tmp")
"""Below these the unit lets the service see nothing (ProtectHome=, PrivateTmp=)."""
PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./+@~-]+\Z")


@click.command("systemd-unit")
@click.option("--exec", "program", metavar="PATH", help="The program to run; by default this one.")
@click.option(
    "--config",
    "config_path",
    metavar="PATH",
    help="Its settings; by default config.yaml in /etc/vsi_esl, or in /etc/vsi_companion.",
)
@click.option("--user", help="Its user and group; by default vsi_esl, or vsi_companion.")
@click.option("--companion", is_flag=True, help="The unit of a companion: vsi_companion.service.")
@click.option("--systemd", "version", type=int, help="Version it is for; by default this machine's.")
def systemd_unit(
    program: str | None, config_path: str | None, user: str | None, companion: bool, version: int | None
) -> None:
    """Print the unit of the service for systemd, to be put into /etc/systemd/system/vsi_esl.service.

    With it, changes of one's own belong in a drop-in: `systemctl edit vsi_esl`.
    """
    name = COMPANION if companion else SERVICE
    program = program or this_program()
    config_path, user = config_path or f"/etc/{name}/config.yaml", user or name
    for option, path in (("--exec", program), ("--config", config_path)):
        if not PLAIN_PATH.match(path):
            raise click.UsageError(f"{option} must be an absolute path of letters, digits and _./+@~-")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", user):
        raise click.UsageError("--user must be the name of a user")
    if program.split("/")[1] in HIDDEN_FROM_IT:
        click.echo(f"vsi-esl: warning: {program} is where the unit lets the service see nothing", err=True)
    version = installed() if version is None else version
    click.echo(unit(program, config_path, user, version, name), nl=False)


def unit(program: str, config_path: str, user: str, version: int, name: str = SERVICE) -> str:
    """The text of the unit for a systemd of this version."""
    command = "companion" if name == COMPANION else "serve"
    changes = {
        f"ExecStart=/usr/bin/vsi-esl {command} --config /etc/{name}/config.yaml\n": (
            f"ExecStart={program} {command} --config {config_path}\n"
        ),
        f"User={name}\nGroup={name}\n": f"User={user}\nGroup={user}\n",
    }
    if version >= RELOAD_FROM and name == SERVICE:
        changes |= {"Type=notify\n": "Type=notify-reload\n", "ExecReload=/bin/kill -HUP $MAINPID\n": ""}
    text = (UNITS / f"{name}.service").read_text()
    for before, after in changes.items():
        text = text.replace(before, after)
    return text


def this_program() -> str:
    """The path of the program that runs."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) != "vsi-esl":  # python -m vsi_esl
        path = os.path.join(os.path.dirname(sys.executable), "vsi-esl")
    return path


def installed() -> int:
    """The version of this machine's systemd; 0 when there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return 0
    try:
        asked = subprocess.run(  # noqa: S603  (no argument is anybody else's)
            [program, "--version"], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd (\d{1,5})", asked.stdout)
    return int(found[1]) if found else 0
