"""The command line. A command's module is imported when the command is used: `--help` needs none of them."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "serve": ("serve", "Run the service."),
    "companion": ("companion", "Run the companion of a switch on another machine."),
    "doctor": ("doctor", "Check the switch and this machine."),
    "freeswitch-conf": ("freeswitch_conf", "Put the service's files into the FreeSWITCH configuration DIR."),
    "systemd-unit": ("systemd_unit", "Print the unit of the service for systemd."),
    "tail": ("tail", "Show events as they happen, until Ctrl-C."),
    "top": ("top", "Show live legs and rooms, until q or Ctrl-C."),
    "call": ("call", "Send one VSI command and print its reply."),
    "sandbox": ("sandbox", "Run a simulated switch on 127.0.0.1, until Ctrl-C."),
    "token": ("token", "Make a bearer token called NAME."),
    "webhooks": ("webhooks", "Show the webhook outbox, and replay dead letters."),
    "state": ("state", "Check the service's own files, and copy them."),
    "switches": ("switches", "Show the switches of a running service, and drain them."),
    "bench": ("bench", "Measure one's own service and switch under calls."),
    "support": ("support", "Collect what a bug report needs into one file, without secrets."),
    "completion": ("completion", "Print what SHELL has to source to complete our commands."),
    "docs": ("docs", "Print a description of the API."),
    "config": ("config_commands", "Check and show the settings."),
}
"""Each command: its module here, which has it under its own name, and what `--help` says of it."""


EPILOG = """\
To try it, without a FreeSWITCH: vsi-esl serve --sandbox. Beside one: vsi-esl doctor says what is missing.

`vsi-esl COMMAND --help` says more of a command. Exit codes: 0 done; 1 it failed, or found something wrong;
2 the command line is wrong; 130 interrupted. Results go to standard output, all else to standard error;
NO_COLOR is respected.
"""
COMPLETING = "_VSI_ESL_COMPLETE"
"""The variable by which a shell asks for completions."""


class Commands(click.Group):
    """The commands of the table, imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, ready to run."""
        if cmd_name not in COMMANDS:
            return None
        if not ctx.resilient_parsing:  # completing waits for nothing
            from gevent import monkey

            monkey.patch_all()  # before the service is imported, so that every library waits the gevent way
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, from the table alone."""
        found = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items()]
        return [one for one in found if one.value.startswith(incomplete)] + click.Command.shell_complete(
            self, ctx, incomplete
        )

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


def _say_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from .version import described

        click.echo(f"vsi-esl, version {described()}")
        ctx.exit()


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version.",
)
@click.pass_obj
def cli(begin: Callable[[], None] | None) -> None:
    """Drive FreeSWITCH with the VSI call-control protocol."""
    if begin is not None:
        begin()


def main() -> None:
    """Run the command line; what goes wrong without being a defect is one line and an exit code."""
    try:
        if COMPLETING in os.environ:
            from .completion import shells

            shells.register()
        code = cli.main(prog_name="vsi-esl", standalone_mode=False, obj=_warnings_to_stderr)
        if code:  # of a command that ended by Exit
            sys.exit(code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
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
