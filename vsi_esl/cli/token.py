"""`vsi-esl token`."""

from __future__ import annotations

import click

from ..access import tokens


@click.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([scope.name.lower() for scope in tokens.Scope]),
    default="control",
    show_default=True,
    help="read: commands that change nothing, events and metrics. control: all commands. admin: as control,"
    " and not rate limited.",
)
@click.option(
    "--app-id", default="", help="Confine it to the app_ids that match this RE2 pattern as a whole."
)
def token(name: str, scope: str, app_id: str) -> None:
    """Make a bearer token called NAME. It is shown once; the settings keep a hash of it."""
    secret = tokens.new_token()
    try:
        line = tokens.line_of(name, scope, secret, app_id)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"token, for the client (it is not shown again):\n\n  {secret}\n")
    click.echo(f"for the settings, under access.tokens or in VSI_ESL_TOKENS:\n\n  {line}")
