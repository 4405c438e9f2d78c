"""The commands of `vsi-esl bench`."""

from __future__ import annotations

import copy
import json
import os
import secrets
import signal
import sys
import time
from typing import Any

import click
import gevent
from gevent.event import Event as Signal

from ..figures import Figures, NoFigures, between, read
from ..options import number_option, token_option, url_option
from ..progress import progress
from .calls import Generator, Plan
from .report import Run, as_json, lines
from .soak import Watch
from .targets import refusal

MAX_RATE, MAX_CONCURRENT, MAX_CALLS = 200.0, 2000, 100_000
MAX_SECONDS, MAX_HOLD_S = 43_200.0, 3600.0
CALLS, SECONDS = 20, 60.0
INTERRUPTED = 130
APP_ID = "vsi-esl-bench"


@click.group()
def bench() -> None:
    """Measure one's own service and switch under calls."""


@bench.command()
@url_option
@token_option
@click.option(
    "--to",
    default="sip:answer@127.0.0.1",
    show_default=True,
    help="SIP URI to call. The default is answered by the sandbox.",
)
@number_option("--rate", 0, MAX_RATE, 2.0, "Calls per second.", above=True)
@number_option("--concurrency", 1, MAX_CONCURRENT, 10, "Most calls at once.")
@click.option(
    "--calls",
    type=click.IntRange(1, MAX_CALLS),
    help=f"Most calls in all.  [default: {CALLS}; with --duration as many as there is time for]",
)
@click.option(
    "--duration",
    type=click.FloatRange(0, MAX_SECONDS, min_open=True),
    help="Longest time in seconds in which calls are begun; of a minute and more it is told how memory,"
    f" descriptors and lag of the service changed.  [default: {SECONDS:g}]",
)
@number_option("--hold", 0, MAX_HOLD_S, 1.0, "Seconds from the answer to our hanging up.")
@number_option("--answer-timeout", 1, 120, 30, "Seconds after which an unanswered call has failed.")
@click.option("--outbound-proxy", default="", help="SIP URI of the proxy to call by, as in create_leg.")
@click.option("--app-id", default=APP_ID, show_default=True, help="Beginning of the calls' own app_id.")
@click.option(
    "--yes-i-own-this-target", "owned", is_flag=True, help="Call a target that is not on this machine."
)
@click.option("--json", "json_wanted", is_flag=True, help="The figures as one JSON object.")
def call(
    *,
    url: str,
    token: str,
    to: str,
    rate: float,
    concurrency: int,
    calls: int | None,
    duration: float | None,
    hold: float,
    answer_timeout: int,
    outbound_proxy: str,
    app_id: str,
    owned: bool,
    json_wanted: bool,
) -> None:
    """Make calls at a steady rate, hang each up after a while, and report how long it took to set them up.

    Only targets on this machine are called, if you do not say that another is yours. A service with
    sip.outbound_proxy in its settings calls by that proxy. The calls have an app_id of their own and are all
    hung up in the end, also after Ctrl-C. Exit code 1 when a call failed, 130 after Ctrl-C.
    """
    for option, uri in (("--to", to), ("--outbound-proxy", outbound_proxy)):
        if uri and not owned and (problem := refusal(uri, option)):
            raise click.UsageError(problem)
    if calls is None:
        calls = CALLS if duration is None else MAX_CALLS
    plan = Plan(
        to=to,
        app_id=f"{app_id}-{secrets.token_hex(4)}",
        rate=rate,
        concurrency=concurrency,
        calls=calls,
        seconds=SECONDS if duration is None else duration,
        hold=hold,
        answer_timeout=answer_timeout,
        outbound_proxy=outbound_proxy,
    )
    run = _measured(url, token, plan)
    if json_wanted:
        click.echo(json.dumps(as_json(run), indent=2))
    else:
        for line in lines(run):
            click.echo(line)
    if not run.good:
        sys.exit(INTERRUPTED if run.interrupted else 1)


_calls = copy.copy(call)
_calls.hidden = True
bench.add_command(_calls, "calls")


def _measured(url: str, token: str, plan: Plan) -> Run:
    stop = Signal()
    generator = Generator(url, token, plan)
    handlers: list[Any] = [
        gevent.signal_handler(number, _asked_to_stop, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ]
    try:
        first, _ = _figures(url, token)
        watch = Watch(lambda: read(url, token, time.monotonic()), plan.seconds)
        began, cpu = time.perf_counter(), time.process_time()
        with progress("calls", plan.calls) as told:
            outcome = generator.run(stop, told)
        over_time = watch.stop()
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
        last, reason = _figures(url, token)
    finally:
        for handler in handlers:
            handler.cancel()
    rates = between(first, last) if first is not None and last is not None else None
    if rates is None:
        reason = reason or "the service was restarted meanwhile"
    return Run(plan, outcome, rates, reason, share, stop.is_set(), over_time)


def _asked_to_stop(stop: Signal) -> None:
    if stop.is_set():
        shown_again = "\x1b[?25h" if sys.stderr.isatty() else ""  # the cursor, which the bar had hidden
        click.echo(f"{shown_again}vsi-esl: ended at once; calls that are up end by themselves", err=True)
        os._exit(INTERRUPTED)
    stop.set()


def _figures(url: str, token: str) -> tuple[Figures | None, str]:
    try:
        return read(url, token, time.monotonic()), ""
    except NoFigures as error:
        return None, str(error)
