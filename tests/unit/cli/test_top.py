"""`vsi-esl top`: what it knows, what it shows, and what keys do."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from vsi_esl.cli import figures
from vsi_esl.cli.top import keys, view
from vsi_esl.cli.top.model import Live
from vsi_esl.cli.top.view import Choice, Page

NOW = 1_700_000_600.0
BEGAN = "2023-11-14T22:13:20.123456789Z"  # 1,700,000,000


def leg(number: int, **members: object) -> dict[str, object]:
    return {"id": f"leg-{number:03}", "type": "sip_outbound", "state": "connected", **members}


def event(kind: str, number: int = 1, **members: object) -> dict[str, object]:
    return {"type": kind, "leg_id": f"leg-{number:03}", "timestamp": BEGAN, **members}


def test_legs_follow_the_events():
    live = Live()
    live.replace([], [])
    live.apply(event("leg.ringing", leg_type="sip_inbound", **{"from": "+15550100"}, app_id="shop"))
    one = live.legs["leg-001"]
    assert (one.state, one.peer, one.app_id, one.since) == ("ringing", "+15550100", "shop", 1_700_000_000.0)
    live.apply(event("leg.connected"))
    live.apply(event("leg.hold"))
    assert one.state == "held"
    live.apply(event("leg.joined_room", room_id="a"))
    live.apply(event("leg.left_room", room_id="another"))
    assert one.room == "a"
    live.apply(event("leg.muted"))
    live.apply(event("speaking.started"))
    assert view.flags(one) == "MS"
    live.apply(event("leg.disconnected", cdr={"reason": "remote_bye"}))
    assert live.legs == {}


def test_what_happened_while_the_list_was_on_its_way_is_not_undone_by_it():
    live = Live()
    live.expect()
    live.apply(event("leg.disconnected", 1, cdr={}))
    live.apply(event("leg.ringing", 2))
    live.apply({"type": "room.created", "room_id": "new"})
    live.replace([leg(1), leg(3)], [])
    assert sorted(live.legs) == ["leg-002", "leg-003"]
    assert list(live.rooms) == ["new"]


def test_a_new_list_keeps_what_only_events_tell():
    live = Live()
    live.apply(event("leg.ringing", uri="sip:a@b"))
    live.replace([leg(1)], [])
    assert live.legs["leg-001"].peer == "sip:a@b"


def test_only_what_is_wanted_is_listed():
    live = Live(lambda app_id: app_id == "mine")
    live.replace([leg(1, app_id="mine"), leg(2)], [{"id": "r", "app_id": "theirs"}])
    assert list(live.legs) == ["leg-001"]
    assert live.rooms == {}


def test_lost_events_are_counted():
    live = Live()
    live.apply({"type": "events_dropped", "count": 7})
    assert live.lost == 7


def page(count: int) -> Page:
    live = Live()
    # names as wide and as odd as they can be
    names = {1: "[bold]not markup", 2: "\x1b[31mred", 3: "会議室" * 30}
    views = [leg(number, room_id=names.get(number, f"room-{number % 5}")) for number in range(count)]
    live.replace(views, [{"id": f"room-{number}"} for number in range(5)])
    return Page("ws://127.0.0.1:8080/v1/vsi", list(live.legs.values()), list(live.rooms.values()), NOW)


def drawn(shown: Page, choice: Choice, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(view.screen(shown, choice, width, height))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 50)])
@pytest.mark.parametrize("rooms", [False, True])
def test_a_screen_is_no_larger_than_the_terminal(width, height, rooms):
    from rich.cells import cell_len

    lines = drawn(page(100), Choice(rooms=rooms, filter="", row=10_000), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert "\x1b" not in "".join(lines)


def test_what_looks_like_markup_is_shown_as_it_is():
    lines = drawn(page(5), Choice(sort="id"), 160)
    assert any("[bold]not markup" in line for line in lines)
    assert any("?[31mred" in line for line in lines)


def test_legs_are_sorted_and_filtered():
    shown = page(20)
    assert [one.id for one in view.chosen_legs(shown.legs, Choice(sort="id", filter="ROOM-4"))] == [
        "leg-004",
        "leg-009",
        "leg-014",
        "leg-019",
    ]
    rooms = [one.room for one in view.chosen_legs(shown.legs, Choice(sort="room"))]
    assert rooms == sorted(rooms)


def test_ages():
    live = Live()
    live.replace([], [])
    live.apply(event("leg.ringing"))
    assert view.age(live.legs["leg-001"], NOW) == "10:00"
    assert view.age(live.legs["leg-001"], NOW + 3600) == "1:10:00"
    live.legs["leg-001"].since = 0.0
    assert view.age(live.legs["leg-001"], NOW) == "-"


def test_keys():
    choice = Choice()
    for key in ("down", "down", "page down", "up"):
        assert keys.act(choice, key, 10)
    assert choice.row == 11
    for key in ("/", "a", "x", "\x7f", "b", "\n"):
        assert keys.act(choice, key, 10)
    assert (choice.filter, choice.typing, choice.row) == ("ab", None, 0)
    for key in ("/", "q"):  # a letter of the filter, which quits nothing
        assert keys.act(choice, key, 10)
    assert choice.typing == "abq"
    assert keys.act(choice, keys.ESCAPE, 10)
    assert choice.filter == "ab"
    assert keys.act(choice, "s", 10) and choice.sort == "state"
    assert keys.act(choice, "p", 10) and choice.paused
    assert not keys.act(choice, "q", 10)


def test_keys_are_read_one_by_one():
    ours, theirs = os.pipe()
    os.write(theirs, b"\x1b[B\x1b[5~q\x1b")
    assert keys.pressed(ours, 1) == ["down", "page up", "q", "\x1b"]
    assert keys.pressed(ours, 0) == []
    os.close(theirs)
    os.close(ours)


def test_a_service_without_a_switch_is_seen_at_once():
    first = figures.parse("vsi_esl_switch_up 0\n", 1.0)
    last = figures.parse("vsi_esl_switch_up 0\n", 2.0)
    shown = page(1)
    shown.figures, shown.rates = last, figures.between(first, last)
    assert any(line.startswith("NO SWITCH  0.0 calls/s") for line in drawn(shown, Choice()))
    shown.figures = figures.parse('vsi_esl_switch_up{node="a"} 0\nvsi_esl_switch_up{node="b"} 1\n', 2.0)
    assert not any("NO SWITCH" in line for line in drawn(shown, Choice()))


METRICS = """\
# TYPE voiceblender_legs_total counter
voiceblender_legs_total{{type="sip_inbound",state="ringing"}} {ringing}
voiceblender_legs_total{{type="sip_outbound",state="ringing"}} 2
voiceblender_legs_total{{type="sip_outbound",state="connected"}} {connected}
vsi_esl_commands_total{{command="mute_leg",outcome="ok"}} {commands}
vsi_esl_commands_total{{command="mute_leg",outcome="404"}} 1
vsi_esl_events_published_total 10
vsi_esl_webhook_pending 3
vsi_esl_loop_lag_seconds_bucket{{le="0.01"}} {fast}
vsi_esl_loop_lag_seconds_bucket{{le="0.1"}} {slow}
vsi_esl_loop_lag_seconds_bucket{{le="+Inf"}} {slow}
process_cpu_seconds_total 1.5
"""


def test_rates_are_those_between_two_readings():
    first = figures.parse(METRICS.format(ringing=0, connected=0, commands=5, fast=0, slow=0), 10.0)
    last = figures.parse(METRICS.format(ringing=20, connected=15, commands=105, fast=90, slow=100), 20.0)
    rates = figures.between(first, last)
    assert rates is not None
    assert (rates.calls, rates.answered, rates.commands, rates.events) == (2.0, 1.5, 10.0, 0.0)
    assert (rates.answer_ratio, rates.lag_p99) == (0.75, 0.1)
    assert last.gauges["webhooks_waiting"] == 3
    assert figures.between(last, first) is None, "a process that began anew"


def test_metrics_that_are_none_are_told():
    with pytest.raises(figures.NoFigures, match="cannot be read"):
        figures.parse("vsi_esl_webhook_pending many\n", 1.0)


def test_percentiles():
    assert figures.percentile([], 0.5) is None
    assert figures.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert figures.percentile(list(map(float, range(1, 101))), 0.95) == 95.0


def test_what_cannot_be_shown_is_told(say):
    refused = say("top", "--url", "ws://127.0.0.1:1/v1/vsi")
    assert refused.code == 1
    assert refused.err.startswith("vsi-esl: cannot reach ws://127.0.0.1:1/v1/vsi")
    wrong = say("top", "--app-id", "(")
    assert wrong.code == 2
    assert "invalid app_id regex" in wrong.err
