"""The command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from . import shells

HOW = {
    "bash": 'put  eval "$(vsi-esl completion bash)"  into ~/.bashrc',
    "zsh": 'put  eval "$(vsi-esl completion zsh)"  into ~/.zshrc, behind compinit',
    "fish": "vsi-esl completion fish > ~/.config/fish/completions/vsi-esl.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what SHELL has to source to complete our commands.

    \b
    bash  eval "$(vsi-esl completion bash)"     in ~/.bashrc
    zsh   eval "$(vsi-esl completion zsh)"      in ~/.zshrc, behind compinit
    fish  vsi-esl completion fish > ~/.config/fish/completions/vsi-esl.fish

    Completed are commands, options, files, members of payloads, and ids of live legs and rooms: those the
    service is asked for (VSI_ESL_URL, VSI_ESL_TOKEN), for 0.3 s at most.
    """
    shells.register()
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(f"# {HOW[shell]}")
    click.echo(kind(ctx.find_root().command, {}, "vsi-esl", shells.VARIABLE).source())
