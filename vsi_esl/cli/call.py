"""`vsi-esl call`: one VSI command from the terminal."""

from __future__ import annotations

import click

from .completion import values
from .options import token_option, url_option


@click.command(add_help_option=False)
@url_option
@token_option
@click.argument("command", required=False, shell_complete=values.names)
@click.argument("members", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=values.members)
@click.option("--pick", default="", help="Print only this part of the reply, such as 0.id or status.")
@click.option(
    "-h", "--help", "helped", is_flag=True, help="Show this message, or the members of COMMAND, and exit."
)
@click.pass_context
def call(
    ctx: click.Context,
    *,
    url: str,
    token: str,
    command: str | None,
    members: tuple[str, ...],
    pick: str,
    helped: bool,
) -> None:
    """Send one VSI command and print its reply. Objects and lists are given as JSON.

    `vsi-esl call COMMAND --help` shows what the command takes.
    """
    from . import calling  # completing does without all that it needs

    if command is None:
        if not helped:
            raise click.UsageError(f"name a command: {', '.join(calling.implemented())}")
        click.echo(ctx.get_help())
        return
    if command not in calling.NAMES:
        raise click.UsageError(calling.unknown(f"{command!r} is no command", command, calling.NAMES))
    if helped:
        click.echo(calling.described(command))
        return
    payload = calling.payload(command, members)
    click.echo(calling.picked(calling.reply_to(url, token, command, payload), pick))
