"""The command: a page that is drawn anew each second on a terminal, a snapshot anywhere else."""

from __future__ import annotations

import copy
import json
import os
import signal
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click
import gevent
from gevent.event import Event as Signal
from rich.console import Console
from rich.live import Live as Display

from ...delivery.filters import AppFilter
from ...errors import Invalid
from ..lines import echo_table
from ..options import number_option, token_option, url_option
from . import keys, view
from .model import Live
from .readings import Readings
from .stream import Stream
from .view import Choice, Page

LIST_TIMEOUT_S = 10.0
SNAPSHOT_S = 1.0
"""How long a snapshot looks, so that it has rates."""
NAP_S = 0.2
"""How soon a signal, or a key in vain, is noticed."""


@click.command()
@url_option
@token_option
@click.option("--app-id", default="", help="Only legs and rooms whose app_id matches this RE2 expression.")
@click.option("--sort", type=click.Choice(list(view.SORTS)), default="age", show_default=True, help="Order.")
@click.option("--filter", "word", default="", help="Only what has this in id, state, room, app or peer.")
@click.option("--rooms", is_flag=True, help="Begin with the rooms instead of the legs.")
@number_option("--interval", 0.2, 60, 1.0, "Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print one snapshot and end, as without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="The snapshot as one JSON object.")
def top(
    *,
    url: str,
    token: str,
    app_id: str,
    sort: str,
    word: str,
    rooms: bool,
    interval: float,
    once: bool,
    as_json: bool,
) -> None:
    """Show live legs and rooms, until q or Ctrl-C.

    They follow the event stream. What happens per second, waiting webhooks and the loop's lag come from
    /metrics, for which a confined token will not do. A service that restarts is waited for. Keys: q quit, p
    pause, s next order, r legs or rooms, / filter, Esc no filter, arrows and page keys move.
    """
    try:
        wanted = AppFilter(app_id)
    except Invalid as error:
        raise click.UsageError(error.message) from None
    choice, source = Choice(sort, word, rooms), _Source(url, token, app_id, wanted)
    console = Console(highlight=False)
    source.stream.start()
    try:
        if once or as_json or not console.is_terminal or console.is_dumb_terminal:
            _snapshot(source, choice, as_json)
        else:
            source.readings.start()
            _watch(source, choice, console, interval)
    except KeyboardInterrupt:  # before its handler is there
        return
    finally:
        source.readings.stop()
        source.stream.stop()
    if source.stream.failed:
        raise click.ClickException(source.stream.failed)


class _Source:
    """Where everything that is shown comes from."""

    def __init__(self, url: str, token: str, app_id: str, wanted: AppFilter) -> None:
        self.url = url
        self.live = Live(wanted.passes)
        self.stream = Stream(url, token, app_id, self.live)
        self.readings = Readings(url, token)

    def page(self) -> Page:
        """What there is to show now."""
        return Page(
            self.url,
            list(self.live.legs.values()),
            list(self.live.rooms.values()),
            time.time(),
            lost=self.live.lost,
            figures=self.readings.last,
            rates=self.readings.rates(),
            reason=self.readings.reason,
            status=self.stream.status,
            answer_ratio=self.readings.answer_ratio,
        )


def _snapshot(source: _Source, choice: Choice, as_json: bool) -> None:
    began = time.monotonic()
    if source.readings.take():
        gevent.sleep(max(0.0, SNAPSHOT_S - (time.monotonic() - began)))
        source.readings.take()
    if not source.stream.listed.wait(LIST_TIMEOUT_S):
        raise click.ClickException(f"{source.url}: no list of legs within {LIST_TIMEOUT_S:g} s")
    if source.stream.failed:
        return
    page = source.page()
    if as_json:
        click.echo(json.dumps(view.as_json(page, choice), indent=2))
        return
    for line in view.head(page):
        click.echo(line.plain)
    if choice.rooms:
        rooms = view.chosen_rooms(page.rooms, choice)
        echo_table(view.ROOM_COLUMNS, [view.room_cells(page, room) for room in rooms])
    else:
        legs = view.chosen_legs(page.legs, choice)
        echo_table(view.LEG_COLUMNS, [view.leg_cells(page, leg) for leg in legs])


def _watch(source: _Source, choice: Choice, console: Console, interval: float) -> None:
    with ExitStack() as stack:
        asked = stack.enter_context(_signals())
        usual = stack.enter_context(keys.single_keys(0)) if keys.has_keys() else None
        display = stack.enter_context(
            Display(console=console, screen=True, auto_refresh=False, redirect_stderr=False)
        )
        page, paused, due = source.page(), False, 0.0
        while not asked.stop.is_set() and not source.stream.failed:
            if asked.suspend.is_set():
                _suspend(asked, display, usual)
                due = 0.0
            if choice.paused and not paused:
                page = copy.deepcopy(page)
            paused = choice.paused
            now = time.monotonic()
            if now >= due:
                due = now + interval
                page = page if paused else source.page()
                width, height = console.size
                display.update(view.screen(page, choice, width, height), refresh=True)
            wait = min(NAP_S, max(0.0, due - time.monotonic()))
            if usual is None:
                asked.stop.wait(wait)
                continue
            for key in keys.pressed(0, wait):
                if not keys.act(choice, key, max(1, console.size.height - view.HEAD_LINES)):
                    return
                due = 0.0


class _Asked:
    """What signals ask for."""

    def __init__(self) -> None:
        self.stop, self.suspend = Signal(), Signal()


@contextmanager
def _signals() -> Iterator[_Asked]:
    """End in order on SIGINT, SIGTERM and SIGHUP, and give the terminal back before SIGTSTP stops us."""
    asked = _Asked()
    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers: list[Any] = [gevent.signal_handler(number, asked.stop.set) for number in stopping]
    handlers.append(gevent.signal_handler(signal.SIGTSTP, asked.suspend.set))
    try:
        yield asked
    finally:
        for handler in handlers:
            handler.cancel()


def _suspend(asked: _Asked, display: Display, usual: Callable[[], None] | None) -> None:
    """Stop until the shell has us go on, with the terminal as it was meanwhile."""
    asked.suspend.clear()
    display.stop()
    if usual is not None:
        usual()
    os.kill(os.getpid(), signal.SIGSTOP)
    if usual is not None:
        tty.setcbreak(0)
    display.start()
