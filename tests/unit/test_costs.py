"""What a call costs, counted: rows that are written, lines that the switch is told, calls of functions. What
commands have the switch do is counted in tests/service/test_commands_sent.py.

Time is measured by `make bench`; what costs it is held here. Who adds to one of these numbers has a reason
that is worth it at each call of a busy service, or finds a cheaper way.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.support.fakes import settle
from vsi_esl.cdr import feature as cdr
from vsi_esl.storage.tables import Tables
from vsi_esl.switch.esl.codec import decode_event
from vsi_esl.translate import translate

RECORDED = Path(__file__).parents[1] / "data" / "call-events.jsonl"
"""Of a real switch: an inbound call that is answered, held, taken back and hung up."""
CALLS_OF_A_CALL = 460
"""Calls of functions of ours for the channel events of one call, with some room."""


@pytest.fixture
def written(monkeypatch) -> Counter[str]:
    """How many rows of each table have been changed."""
    count: Counter[str] = Counter()
    change = Tables._change

    def counted(self: Tables, table: str, *args: Any) -> None:
        count[table] += 1
        change(self, table, *args)

    monkeypatch.setattr(Tables, "_change", counted)
    return count


def channel_events() -> list[bytes]:
    return [line.encode() for line in RECORDED.read_text().splitlines() if '"Event-Name":"CHANNEL_' in line]


def happen(service, bodies) -> None:
    for body in bodies:
        translate(service.ctx, service.switch, decode_event(body))


def test_the_rows_that_a_call_has_written(service, written):
    cdr.register(service.ctx)
    happen(service, channel_events())
    settle()
    assert {"leg.ringing", "leg.connected", "leg.disconnected"} < {one["type"] for one in service.events}
    assert written == {"legs": 3}, "it rings, it is answered, it is over"


def test_the_rows_that_a_leg_in_a_room_has_written(service, written):
    cdr.register(service.ctx)
    leg = service.leg()
    service.room("r", leg)
    written.clear()
    service.switch.moved(leg.id, "")
    settle()
    assert written == {"legs": 1}, "it is out of the room"


def test_the_lines_that_a_call_has_the_switch_told(service):
    happen(service, channel_events())
    settle()
    assert Counter(line.partition(" ")[0] for line in service.switch.told) == {
        "sched_del": 1,
        "uuid_setvar": 7,
    }


def test_the_work_that_a_call_is(service):
    cdr.register(service.ctx)
    bodies, count = channel_events(), 0
    happen(service, bodies)  # what is done the first time only
    settle()

    def seen(frame: FrameType, what: str, _: Any) -> None:
        nonlocal count
        count += what == "call" and "/vsi_esl/" in frame.f_code.co_filename

    sys.setprofile(seen)
    try:
        happen(service, bodies)
    finally:
        sys.setprofile(None)
    assert count <= CALLS_OF_A_CALL
