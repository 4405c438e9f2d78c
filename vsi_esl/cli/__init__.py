"""The command line. A command's module is imported when the command is used: `--help` needs none of them."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable

import click

from .. import __version__

COMMANDS = {
    "serve": ("serve", "Run the service."),
    "doctor": ("doctor", "Check the switch and this machine."),
    "freeswitch-conf": ("freeswitch_conf", "Put the service's files into the FreeSWITCH configuration DIR."),
    "tail": ("tail", "Show events as they happen, until Ctrl-C."),
    "call": ("call", "Send one VSI command and print its reply."),
    "sandbox": ("sandbox", "Run a simulated switch on 127.0.0.1, until Ctrl-C."),
    "token": ("token", "Make a bearer token called NAME."),
    "webhooks": ("webhooks", "Show the webhook outbox, and replay dead letters."),
    "docs": ("docs", "Print a description of the API."),
    "config": ("config_commands", "Check and show the settings."),
}
"""Each command: its module here, which has it under its own name, and what `--help` says of it."""


class Commands(click.Group):
    """The commands of the table, imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, ready to run."""
        if cmd_name not in COMMANDS:
            return None
        from gevent import monkey

        monkey.patch_all()  # before the service is imported, so that every library waits the gevent way
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with names that are near to one that there is not."""
        if args and args[0] not in COMMANDS and (near := difflib.get_close_matches(args[0], COMMANDS, 2)):
            ctx.fail(f"{args[0]!r} is no command; did you mean {' or '.join(near)}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="vsi-esl")
@click.pass_obj
def cli(begin: Callable[[], None] | None) -> None:
    """Drive FreeSWITCH with the VSI call-control protocol."""
    if begin is not None:
        begin()


def main() -> None:
    """Run the command line; what goes wrong without being a defect is one line and an exit code."""
    try:
        cli.main(prog_name="vsi-esl", standalone_mode=False, obj=_warnings_to_stderr)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        if error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        _fail(error.format_message(), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        _fail(str(error), 1)


def _warnings_to_stderr() -> None:
    from ..ops import logs

    logs.setup("warn", "console", sys.stderr)  # `serve` sets up its own


def _fail(text: str, code: int) -> None:
    click.echo(f"vsi-esl: {text}", err=True)
    sys.exit(code)


def _expected() -> tuple[type[Exception], ...]:
    """What can go wrong without being a defect: told in a line, not in a traceback."""
    from greenswitch.esl import NotConnectedError

    from ..config import ConfigError
    from ..storage.database import StateError
    from ..switch.esl.client import AuthenticationFailed, CommandTimeout

    return ConfigError, StateError, NotConnectedError, AuthenticationFailed, CommandTimeout, OSError


__all__ = ["COMMANDS", "cli", "main"]
