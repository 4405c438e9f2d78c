"""The clock that does not jump, and the switch's times in it."""

from __future__ import annotations

import time

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
