"""The clock that does not jump, and the switch's times in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from vsi_esl.delivery.webhooks.counts import Counts
from vsi_esl.storage.state import StateStore
from vsi_esl.work import clock
from vsi_esl.work.clock import SwitchClock


@pytest.mark.parametrize("step", [3600, -3600])
def test_it_does_not_follow_a_step(monkeypatch, step):
    before, wall = clock.now(), time.time
    assert abs(before - wall()) < 60
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    assert 0 <= clock.now() - before < 60


def test_the_next_process_goes_on_with_it(tmp_path, monkeypatch, thread):
    path = str(tmp_path / "state.sqlite3")
    state = StateStore(path, thread)
    clock.carry_on(state)
    before = clock.now()
    state.close()
    # a process that was started after a step
    monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + 3600)
    assert clock.now() - before > 3599
    state = StateStore(path, thread)
    clock.carry_on(state)
    assert 0 <= clock.now() - before < 60
    state.close()


def test_after_a_start_of_the_machine_it_begins_anew(tmp_path, monkeypatch, thread):
    state = StateStore(str(tmp_path / "state.sqlite3"), thread)
    state.save_fact("clock", "another-boot 5.0")
    before = clock.now()
    clock.carry_on(state)
    assert 0 <= clock.now() - before < 60
    assert state.fact("clock").split()[0] == clock._boot_id()
    state.close()


@pytest.mark.parametrize("step", [3600, -3600])
def test_the_age_of_what_waits_for_a_webhook(monkeypatch, step):
    counts, wall = Counts(pending=1, oldest=clock.now() - 5), time.time
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    assert counts.oldest_age == pytest.approx(5, abs=60)


def event(fired: float, **more: float) -> dict[str, str]:
    stamps = {"Event-Date-Timestamp": fired, **more}
    return {name: str(int(when * 1e6)) for name, when in stamps.items()}


def test_the_switchs_times_in_ours():
    """Its clock is an hour behind; the quickest event tells by how much."""
    switch, now = SwitchClock(), clock.now()
    assert switch.time_of(event(0, Answered=5.0), "Answered") == 5.0
    switch.learn(event(now - 3600 - 2))
    switch.learn(event(now - 3600))
    switch.learn(event(now - 3600 - 5))
    assert switch.time_of(event(0, Answered=now - 3600 - 60), "Answered") == pytest.approx(now - 60, abs=20)
    assert switch.time_of(event(0, Answered=0), "Answered") == 0
    assert switch.time_of({}, "Answered") == 0


def hears(switch: SwitchClock, monkeypatch, minutes: int, behind: Callable[[float], float]) -> None:
    """What a heartbeat every 20 s tells, of a clock that is so many seconds behind."""
    begun = clock.now()
    for beat in range(3 * minutes):
        monkeypatch.setattr(clock, "now", lambda beat=beat: begun + 20 * beat)
        switch.learn(event(clock.now() - behind(20.0 * beat)))


def test_a_switch_whose_clock_runs_slower(monkeypatch):
    """By 4 s a day; a playback is not told as stopped for 250 ms."""
    switch, rate = SwitchClock(), 4 / 86_400
    hears(switch, monkeypatch, 24 * 60, lambda passed: passed * rate)
    now = clock.now()
    assert switch.time_of(event(now - 4), "Event-Date-Timestamp") == pytest.approx(now, abs=0.05)


def test_a_switch_whose_clock_is_set_back_a_little(monkeypatch):
    switch = SwitchClock()
    hears(switch, monkeypatch, 10, lambda passed: 30.0 if passed >= 300 else 0.0)
    now = clock.now()
    assert switch.time_of(event(now - 30), "Event-Date-Timestamp") == pytest.approx(now, abs=0.05)


def test_an_event_that_was_read_late_changes_nothing(monkeypatch):
    switch = SwitchClock()
    for late in range(3):
        hears(switch, monkeypatch, 1, lambda passed, late=late: 3.0 if passed == 20 * late else 0.0)
        now = clock.now()
        assert switch.time_of(event(now), "Event-Date-Timestamp") == pytest.approx(now, abs=0.05)
        switch.learn(event(now))


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_switch_whose_clock_is_set(step):
    switch, now = SwitchClock(), clock.now()
    switch.learn(event(now))
    switch.learn(event(now + step))
    assert switch.time_of(event(0, Ended=now + step), "Ended") == pytest.approx(now, abs=60)


def test_stamps_that_are_none():
    switch = SwitchClock()
    for stamp in (None, "", "x", ["1"], "\u0661", "-5"):
        switch.learn({"Event-Date-Timestamp": stamp})
    assert switch.time_of({"A": "1000000"}, "A") == 1.0
