"""A turn at a switch: fresh for a moment, confirmed by what the switch shows, over when another has it."""

from __future__ import annotations

import pytest

from vsi_esl.errors import SwitchUnavailable
from vsi_esl.ownership import turn as turns
from vsi_esl.ownership.turn import DOUBTED_S, FRESH_S, LONGEST_S, NOTICED_S, SEEN_S, SETTLE_S, Turn
from vsi_esl.sandbox import SandboxSwitch, api
from vsi_esl.switch.lines import fence as lines
from vsi_esl.switch.lines.fence import Fence


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(turns, "now", lambda: one.now)
    monkeypatch.setattr(turns.gevent, "sleep", one.sleep)
    return one


class Shown:
    """A switch's variable, by the sandbox."""

    def __init__(self) -> None:
        self.switch = SandboxSwitch()
        self.asked: list[str] = []

    def ask(self, line: str) -> str:
        self.asked.append(line)
        return api.run(self.switch, line)

    def shows(self, fence: Fence | None = None) -> Fence | None:
        """What it shows; with a fence that is shown first, by another service."""
        if fence is not None:
            api.run(self.switch, lines.show(fence, None))
        return lines.read(api.run(self.switch, lines.SHOWN))


@pytest.fixture
def switch() -> Shown:
    return Shown()


LOST: list[int] = []


def begun(number: int = 2, *, quiet: bool = False, predecessor: int = 0) -> Turn:
    LOST.clear()
    fence = Fence(number, "a")
    return Turn("east", fence, quiet=quiet, predecessor=predecessor, lost=LOST.append)


def test_it_is_shown_and_is_fresh_for_a_moment(time, switch):
    turn = begun()
    assert not turn.fresh()
    turn.connected(switch.ask)
    assert turn.fresh() and switch.shows() == Fence(2, "a") and time.slept == []
    time.now += FRESH_S
    assert not turn.fresh()
    turn.confirm(switch.ask)
    assert turn.fresh()
    before = len(switch.asked)
    turn.confirm(switch.ask)
    assert len(switch.asked) == before
    turn.confirm(switch.ask, anew=True)
    assert len(switch.asked) == before + 1


def test_whoever_had_it_before_is_given_time_to_see_it(time, switch):
    switch.shows(Fence(1, "b"))
    turn = begun()
    turn.renewed(time.now)  # Redis alone does not make it act before
    assert not turn.fresh()
    turn.connected(switch.ask)
    assert time.slept == [SETTLE_S] and SETTLE_S > FRESH_S
    assert turn.fresh()
    turn.connected(switch.ask)  # once more, later
    assert time.slept == [SETTLE_S]


@pytest.mark.parametrize("how", [{"quiet": True}, {"predecessor": 1}])
def test_nobody_is_waited_for_who_does_not_act_any_more(time, switch, how):
    switch.shows(Fence(1, "a"))
    begun(**how).connected(switch.ask)
    assert time.slept == []


def test_a_namesake_of_another_turn_is_waited_for(time, switch):
    switch.shows(Fence(1, "a"))
    begun(number=5, predecessor=4).connected(switch.ask)
    assert time.slept == [SETTLE_S]


@pytest.mark.parametrize("shown", [Fence(3, "b"), Fence(2, "b"), Fence(3, "a")])
def test_a_higher_fence_is_anothers_and_ends_it(time, switch, shown):
    turn = begun()
    turn.connected(switch.ask)
    switch.shows(shown)
    assert turn.fresh()  # for the moment that the other one waits
    time.now += FRESH_S
    with pytest.raises(SwitchUnavailable, match="another service's now"):
        turn.confirm(switch.ask)
    assert turn.over and [shown.number] == LOST and switch.shows() == shown
    turn.renewed(time.now)
    assert not turn.fresh()
    with pytest.raises(SwitchUnavailable):
        turn.connected(switch.ask)
    assert [shown.number] == LOST


@pytest.mark.parametrize("shown", [Fence(1, "b"), None])
def test_a_lower_one_or_none_is_replaced(time, switch, shown):
    """A switch that was restarted shows none."""
    turn = begun()
    turn.connected(switch.ask)
    switch.switch.globals.pop(lines.VARIABLE)
    if shown is not None:
        switch.shows(shown)
    time.now += FRESH_S
    turn.confirm(switch.ask)
    assert turn.fresh() and switch.shows() == Fence(2, "a")


def test_of_two_that_show_theirs_at_the_same_time_the_higher_one_stays(time, switch):
    low, high = begun(), Turn("east", Fence(3, "b"), quiet=True, predecessor=0, lost=LOST.append)

    def interrupted(line: str) -> str:
        if line.startswith("global_setvar") and not high.fresh():
            high.connected(switch.ask)
        return switch.ask(line)

    low.connected(interrupted)
    high.confirm(switch.ask, anew=True)
    with pytest.raises(SwitchUnavailable):
        low.confirm(switch.ask, anew=True)
    assert high.fresh() and LOST == [3]


def test_redis_confirms_it_from_when_it_was_asked(time, switch):
    turn = begun()
    turn.connected(switch.ask)
    asked = time.now + 1.0
    time.now += 1.4
    turn.renewed(asked)
    time.now = asked + FRESH_S - 0.1
    assert turn.fresh()
    turn.renewed(asked - 1.0)  # an answer that was overtaken
    assert turn.fresh()
    time.now += 0.2
    assert not turn.fresh()


def test_who_cannot_reach_redis_is_in_doubt_until_others_would_have_said_so(time, switch):
    turn = begun()
    turn.connected(switch.ask)
    turn.heed(switch.ask)
    assert turn.in_doubt()  # too early to be said
    time.now += NOTICED_S
    turn.heed(switch.ask)
    assert not turn.in_doubt()
    time.now += SEEN_S + 0.1  # it stood still, and looks anew
    assert turn.in_doubt()
    turn.heed(switch.ask)
    assert not turn.in_doubt()
    turn.renewed(time.now)  # and Redis is away again
    assert turn.in_doubt()


def test_who_is_doubted_is_in_doubt_as_long_as_that_is_said_and_not_for_ever(time, switch):
    turn = begun()
    turn.connected(switch.ask)
    time.now += NOTICED_S
    for said in (turn.fence.number - 1, turn.fence.number + 1):  # of another's turn
        switch.ask(lines.doubt(said))
        turn.heed(switch.ask)
        assert not turn.in_doubt()
    since = time.now
    while time.now < since + LONGEST_S:
        switch.ask(lines.doubt(turn.fence.number))
        turn.heed(switch.ask)
        assert turn.in_doubt()
        time.now += 1.0
    turn.heed(switch.ask)
    assert not turn.in_doubt()
    time.now += DOUBTED_S
    turn.heed(switch.ask)
    switch.ask(lines.doubt(turn.fence.number))  # another time
    turn.heed(switch.ask)
    assert turn.in_doubt()


def test_a_switch_that_cannot_be_asked_does_not_keep_it_in_doubt(time, switch):
    turn = begun()
    turn.connected(switch.ask)
    time.now += NOTICED_S

    def away(line: str) -> str:
        raise SwitchUnavailable("away")

    with pytest.raises(SwitchUnavailable):
        turn.heed(away)
    assert not turn.in_doubt()
