"""`vsi-esl sandbox`: the simulated switch alone, and playing the people who call."""

from __future__ import annotations

import json
import signal
from typing import Any

import click
import gevent
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from ..sandbox import SandboxSwitch, demo_caller
from ..switch.esl.client import AuthenticationFailed, EslClient
from ..switch.lines import builder


@click.group(invoke_without_command=True)
@click.option("--port", default=8021, show_default=True, help="Event socket port to listen on.")
@click.option("--password", default="ClueCon", show_default=True, help="Event socket password.")
@click.option("--demo", is_flag=True, help="Have a demo caller ring.")
@click.option("--without", multiple=True, metavar="MODULE", help="A module it has not; may be repeated.")
@click.pass_context
def sandbox(context: click.Context, port: int, password: str, demo: bool, without: tuple[str, ...]) -> None:
    """Run a simulated switch on 127.0.0.1, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    switch = SandboxSwitch(port=port, password=password, without=without)
    switch.start()
    click.echo(f"sandbox switch on {switch.address[0]}:{switch.address[1]}")
    if demo:
        demo_caller(switch)
    stop = Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    stop.wait()
    switch.stop()


def _ask(port: int, password: str, request: dict[str, Any]) -> str:
    client = EslClient("127.0.0.1", port, password)
    try:
        client.connect()
    except (NotConnectedError, AuthenticationFailed) as error:
        raise click.ClickException(f"no sandbox at 127.0.0.1:{port}: {error}") from None
    try:
        answer = client.send(builder.api(builder.sandbox(json.dumps(request))))
    finally:
        client.stop()
    if answer.startswith("-ERR"):
        raise click.ClickException(answer[5:])
    return answer.removeprefix("+OK").strip()


_port = click.option("--port", default=8021, show_default=True, help="Event socket port of the sandbox.")
_password = click.option("--password", default="ClueCon", help="Its password.")


@sandbox.command("call")
@_port
@_password
@click.option("--from", "from_", default="+15550100", show_default=True, help="Caller.")
@click.option("--to", default="+15550199", show_default=True, help="Number called.")
@click.option("--display", default="", help="Caller's display name.")
@click.option("-H", "--header", multiple=True, help="SIP header as Name=value; may be repeated.")
@click.option("--codecs", default="PCMU,PCMA,G722,OPUS", show_default=True, help="Codecs offered.")
@click.option("--say", is_flag=True, help="Talk as soon as somebody listens.")
@click.option(
    "--words", default="", help="What the caller says when there is media (flite or espeak-ng speaks it)."
)
@click.option("--whatsapp", is_flag=True, help="The caller is a user of WhatsApp.")
def call(
    *,
    port: int,
    password: str,
    from_: str,
    to: str,
    display: str,
    header: tuple[str, ...],
    codecs: str,
    say: bool,
    words: str,
    whatsapp: bool,
) -> None:
    """Have somebody call the service. Prints the leg's id."""
    headers = {}
    for item in header:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"--header wants Name=value, not {item!r}")
        headers[name] = value
    request = {
        "do": "call",
        "from": from_,
        "to": to,
        "display": display or from_,
        "headers": headers,
        "codecs": codecs.split(","),
        "talk": say,
        "whatsapp": whatsapp,
        "say": {"text": words} if words else {},
    }
    click.echo(_ask(port, password, request))


@sandbox.command("do")
@_port
@_password
@click.argument("verb")
@click.argument("members", nargs=-1)
def do(port: int, password: str, verb: str, members: tuple[str, ...]) -> None:
    """Have the other end of a call do something: hangup, dtmf, talk, say, hold, unhold, answer, far, list ...

    MEMBERS are key=value, such as uuid=... digits=123
    """
    request: dict[str, Any] = {"do": verb}
    for item in members:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"members are key=value, not {item!r}")
        request[name] = {"true": True, "false": False}.get(value, value)
    answer = _ask(port, password, request)
    if answer:
        click.echo(answer)
