"""What `vsi-esl top` shows: one page of legs or rooms below a few lines of figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..figures import Figures, Rates
from .model import CONNECTED, EARLY, HELD, RINGING, Leg, Room

STATE_STYLES = {CONNECTED: "green", EARLY: "cyan", HELD: "yellow", RINGING: "magenta"}
NOTHING = "-"
LEG_COLUMNS = ("leg", "type", "state", "age", "flags", "room", "app", "peer")
ROOM_COLUMNS = ("room", "app", "Hz", "legs", "speaking")
ROOM_FOR_IDS = 120
"""From this width on ids are shown whole."""
HEAD_LINES = 6
"""Lines above and below the rows: figures, the header of the table, and the keys."""
KEYS = "q quit  p pause  s sort  r rooms  / filter  arrows"

SORTS: dict[str, Callable[[Leg], Any]] = {
    "age": lambda leg: (leg.since, leg.id),
    "state": lambda leg: (leg.state, leg.since, leg.id),
    "room": lambda leg: (not leg.room, leg.room, leg.since, leg.id),
    "app": lambda leg: (not leg.app_id, leg.app_id, leg.since, leg.id),
    "id": lambda leg: leg.id,
}
"""By what the legs can be sorted; the oldest first. Of those that are older than the command it is unknown
how old they are, and they come first."""


@dataclass(slots=True)
class Choice:
    """What somebody wants to see. `typing` is a filter that is being typed, None when none is."""

    sort: str = "age"
    filter: str = ""
    rooms: bool = False
    paused: bool = False
    row: int = 0
    typing: str | None = None


@dataclass(slots=True)
class Page:
    """One moment of what there is to show: all legs and rooms, of which a choice is made when it is shown.
    Without figures `reason` says why there are none."""

    url: str
    legs: list[Leg]
    rooms: list[Room]
    now: float
    lost: int = 0
    figures: Figures | None = None
    rates: Rates | None = None
    reason: str = ""
    status: str = ""
    answer_ratio: float | None = None
    inside: dict[str, list[Leg]] = field(default_factory=dict)
    """The legs of each room."""

    def __post_init__(self) -> None:
        for leg in self.legs:
            if leg.room:
                self.inside.setdefault(leg.room, []).append(leg)


def chosen_legs(legs: Sequence[Leg], choice: Choice) -> list[Leg]:
    """The legs that the filter leaves, in the order that was chosen."""
    word = choice.filter.lower()
    found = [leg for leg in legs if word in _searched(leg)] if word else list(legs)
    return sorted(found, key=SORTS[choice.sort])


def chosen_rooms(rooms: Sequence[Room], choice: Choice) -> list[Room]:
    """The rooms that the filter leaves, by their id."""
    word = choice.filter.lower()
    return sorted((r for r in rooms if word in f"{r.id} {r.app_id}".lower()), key=lambda room: room.id)


def _searched(leg: Leg) -> str:
    return " ".join((leg.id, leg.type, leg.state, leg.room, leg.app_id, leg.peer)).lower()


def screen(page: Page, choice: Choice, width: int, height: int) -> RenderableType:
    """One screen full, no wider and no higher than this."""
    space = max(1, height - HEAD_LINES)
    legs, rooms = chosen_legs(page.legs, choice), chosen_rooms(page.rooms, choice)
    count = len(rooms if choice.rooms else legs)
    choice.row = max(0, min(choice.row, count - space))
    rows = slice(choice.row, choice.row + space)
    table = _room_table(page, rooms[rows]) if choice.rooms else _leg_table(page, legs[rows], width)
    # rows that there are not, so that the keys stay where they are
    shown = min(space, max(0, count - choice.row))
    padding = [Text("") for _ in range(space - shown)]
    above = [*head(page), Text(page.status, style="yellow")]
    below = _foot(choice, count, space)
    return Group(*(_cut(line, width) for line in above), table, *padding, _cut(below, width))


def head(page: Page) -> list[Text]:
    """Where this is from, and the figures."""
    where = Text(f"vsi-esl top  {page.url}", style="bold")
    where.append(f"  {time.strftime('%H:%M:%S', time.localtime(page.now))}", style="dim")
    return [where, _counts(page), _rates(page)]


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _counts(page: Page) -> Text:
    by_state = dict.fromkeys((CONNECTED, HELD, EARLY, RINGING), 0)
    for leg in page.legs:
        if leg.state in by_state:
            by_state[leg.state] += 1
    text = Text(f"{len(page.legs)} legs")
    for state, count in by_state.items():
        if count:
            text.append(f"  {count} {state.replace('_', ' ')}", style=STATE_STYLES[state])
    text.append(f"  {len(page.rooms)} rooms")
    if page.lost:
        text.append(f"  {page.lost} events lost", style="red")
    return text


def _rates(page: Page) -> Text:
    if page.rates is None or page.figures is None:
        return Text(f"no rates: {page.reason or 'not known yet'}", style="dim")
    rates, gauges = page.rates, page.figures.gauges
    lag = NOTHING if rates.lag_p99 is None else f"{1000 * rates.lag_p99:.3g} ms"
    parts = [
        f"{rates.calls:.1f} calls/s",
        f"{rates.events:.0f} events/s",
        f"{rates.commands:.0f} cmds/s",
        f"answered {_percent(page.answer_ratio)}",
        f"webhooks {gauges.get('webhooks_waiting', 0):.0f}",
        f"lag {lag}",
        f"CPU {rates.cpu:.0%}",
    ]
    text = Text("  ".join(parts))
    if not gauges.get("up", 1):
        text = Text("NO SWITCH  ", style="bold red").append_text(text)
    return text


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{min(share, 1.0):.0%}"


def _table(*columns: tuple[str, int | None]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="reverse", expand=True)
    for name, width in columns:
        table.add_column(name, width=width, ratio=None if width else 1, no_wrap=True, overflow="ellipsis")
    return table


def _leg_table(page: Page, legs: Sequence[Leg], width: int) -> Table:
    whole = width >= ROOM_FOR_IDS
    table = _table(
        ("leg", 36 if whole else 9),
        ("type", 17 if whole else 8),
        ("state", 11 if whole else 9),
        ("age", 8),
        ("flags", 5),
        ("room", None),
        ("app", None),
        ("peer", None),
    )
    for leg in legs:
        name, kind, state, *rest = leg_cells(page, leg)
        if not whole:
            name, kind = name[:8], kind.replace("inbound", "in").replace("outbound", "out")
            state = state.replace("_media", "")
        shown = Text(state, style=STATE_STYLES.get(leg.state, ""))
        table.add_row(_plain(name), _plain(kind), shown, *map(_plain, rest))
    return table


def leg_cells(page: Page, leg: Leg) -> tuple[str, ...]:
    """What a row says of a leg, by `LEG_COLUMNS`."""
    return (leg.id, leg.type, leg.state, age(leg, page.now), flags(leg), leg.room, leg.app_id, leg.peer)


def _room_table(page: Page, rooms: Sequence[Room]) -> Table:
    table = _table(("room", None), ("app", None), ("Hz", 6), ("legs", 5), ("speaking", 8))
    for room in rooms:
        table.add_row(*map(_plain, room_cells(page, room)))
    return table


def room_cells(page: Page, room: Room) -> tuple[str, ...]:
    """What a row says of a room, by `ROOM_COLUMNS`."""
    legs = page.inside.get(room.id, [])
    speaking = str(sum(leg.speaking for leg in legs))
    return (room.id, room.app_id, str(room.sample_rate or NOTHING), str(len(legs)), speaking)


def _plain(value: str) -> Text:
    """As it is: what looks like markup in somebody's id is none, and control characters do nothing."""
    return Text("".join(one if one.isprintable() else "?" for one in value) or NOTHING)


def _foot(choice: Choice, count: int, space: int) -> Text:
    if choice.typing is not None:
        return Text(f"filter: {choice.typing}_   (Enter takes it, Esc leaves it)", style="reverse")
    end = min(count, choice.row + space)
    told = f"{min(count, choice.row + 1)}-{end} of {count}"
    told += "" if choice.rooms else f" by {choice.sort}"
    told += f" with {choice.filter!r}" if choice.filter else ""
    told += "  PAUSED" if choice.paused else ""
    return Text(f"{told}  {KEYS}", style="dim")


def age(leg: Leg, now: float) -> str:
    """How old it is: m:ss or h:mm:ss; nothing for one that is older than the command."""
    if not leg.since:
        return NOTHING
    seconds = max(0, int(now - leg.since))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def flags(leg: Leg) -> str:
    """M muted, D deaf, S speaking."""
    chosen = ((leg.muted, "M"), (leg.deaf, "D"), (leg.speaking, "S"))
    return "".join(letter for on, letter in chosen if on) or NOTHING


def as_json(page: Page, choice: Choice) -> dict[str, Any]:
    """The same for programs. Rates are per second, lag and age in seconds; None for what is not known."""
    rates, figures = page.rates, page.figures
    return {
        "url": page.url,
        "legs": [
            {
                "id": leg.id,
                "type": leg.type,
                "state": leg.state,
                "room_id": leg.room,
                "app_id": leg.app_id,
                "muted": leg.muted,
                "deaf": leg.deaf,
            }
            for leg in chosen_legs(page.legs, choice)
        ],
        "rooms": [
            {
                "id": room.id,
                "app_id": room.app_id,
                "sample_rate": room.sample_rate,
                "legs": len(page.inside.get(room.id, ())),
            }
            for room in chosen_rooms(page.rooms, choice)
        ],
        "rates": None
        if rates is None
        else {
            "over_seconds": round(rates.seconds, 3),
            "calls": round(rates.calls, 3),
            "answered": round(rates.answered, 3),
            "events": round(rates.events, 3),
            "commands": round(rates.commands, 3),
            "dropped": round(rates.dropped, 3),
            "cpu": round(rates.cpu, 4),
            "lag_p99": rates.lag_p99,
        },
        "answer_ratio": page.answer_ratio,
        "webhooks_waiting": None if figures is None else figures.gauges.get("webhooks_waiting"),
        "webhook_age": None if figures is None else figures.gauges.get("webhook_age"),
        "no_rates_because": page.reason,
    }
