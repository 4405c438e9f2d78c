"""The page of the manual about the command line, made of the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from . import COMMANDS, cli

WIDTH = 100
HEAD = """\
`vsi-esl` has these commands; `vsi-esl COMMAND --help` shows what is below, and `vsi-esl call COMMAND --help`
the members of each VSI command.

Results go to standard output; warnings, progress and errors to standard error, an error in one line.
Progress bars and colours are for terminals only, and `NO_COLOR` takes the colours away. Commands that print
tables print JSON with `--json`.

| Exit code | Meaning |
|---|---|
| 0 | done; of a command that runs until it is stopped: stopped |
| 1 | it failed, or found something wrong (`doctor`, `config check`, `freeswitch-conf --diff`, `bench call`) |
| 2 | the command line is wrong |
| 130 | interrupted by Ctrl-C before it was done |

| Variable | Stands for |
|---|---|
| `VSI_ESL_CONFIG` | `--config` |
| `VSI_ESL_URL` | `--url` |
| `VSI_ESL_TOKEN` | `--token`, so that no process list shows it |
"""


def markdown() -> str:
    """The page, without its title."""
    root = click.Context(cli, info_name="vsi-esl", terminal_width=WIDTH, max_content_width=WIDTH)
    lines = [HEAD, "| Command | What it does |", "|---|---|"]
    lines += [f"| [`{name}`](#vsi-esl-{name}) | {text} |" for name, (_, text) in COMMANDS.items()]
    parts = ["\n".join(lines)]
    for name in COMMANDS:
        command = cli.get_command(root, name)
        if command is not None:
            parts += _sections(command, name, root, 2)
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command, name: str, parent: click.Context, level: int) -> Iterator[str]:
    """The command, and those below it."""
    settings = {**parent.command.context_settings, **command.context_settings}
    settings |= {"terminal_width": WIDTH, "max_content_width": WIDTH}
    ctx = click.Context(command, parent, name, **settings)
    yield f"{'#' * level} {ctx.command_path}\n\n```text\n{ctx.get_help().rstrip()}\n```"
    if isinstance(command, click.Group):
        for inner in command.list_commands(ctx):
            found = command.get_command(ctx, inner)
            if found is not None and not found.hidden:
                yield from _sections(found, inner, ctx, level + 1)
