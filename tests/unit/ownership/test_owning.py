"""Which switches a service takes and hands over, beside others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.drivers import eventually
from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.cluster.leases import LeaseBook
from vsi_esl.ownership import doubts, owning, pauses, showing
from vsi_esl.ownership.hands import Load
from vsi_esl.ownership.owning import Ownership

SWITCHES = ["east", "west"]


class Hands:
    """Of a service whose switches do all at once, as does Redis while it `ships`."""

    ships = True
    asked = 0
    doubted: tuple[str, int] = "", 0

    def shipped(self, switches: Any) -> bool:
        self.asked += 1
        return self.ships

    def take(self, turns: Any) -> None: ...
    def let_go(self, switches: Any, *, hand_over: bool) -> None: ...
    def look(self, switch: str) -> None: ...

    def probe(self, switch: str) -> None:
        return None

    def doubt(self, switch: str, fence: int) -> None:
        self.doubted = switch, fence

    def remembered(self, switch: str) -> int:
        return 0

    def load(self, switch: str) -> Load:
        return Load(0, 0)

    def between(self) -> list[Any]:
        return []

    def adopted(self, switch: str) -> bool:
        return True

    def note(self, groups: str) -> None: ...

    def noted(self) -> str:
        return ""


@pytest.fixture
def redis(redis_server: Any) -> Iterator[RedisConnection]:
    one = RedisConnection(redis_server.settings)
    one.start()
    assert one.wait_available(20)
    yield one
    one.stop()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def owner(redis: RedisConnection, monkeypatch: pytest.MonkeyPatch, hands: Hands) -> Iterator[Ownership]:
    for name, seconds in {"TICK_S": 0.05, "STEADY_S": 0.1, "UNWANTED_S": 0.2}.items():
        monkeypatch.setattr(owning, name, seconds)
    monkeypatch.setattr(pauses, "COOL_S", 600.0)
    units = [(one,) for one in SWITCHES]
    one = Ownership(redis, LeaseBook(redis, "a", "1"), 1, units, hands)
    one.start()
    eventually(lambda: one.taken == 2, "it has both")
    yield one
    one.stop()


def test_one_that_is_there_and_takes_nothing_is_offered_a_switch_once(redis, owner):
    other = LeaseBook(redis, "b", "2")
    looks = 0

    def there() -> None:
        """It is there, and wants its share."""
        nonlocal looks
        looks += 1
        other.turn(SWITCHES, {}, {"weight": 1, "leaving": False, "group": owner._group})

    def taken_back() -> bool:
        there()
        return owner.taken == 3

    eventually(taken_back, "it was handed over, and is had again")
    assert owner.handed_over == 1 and {owner.owner_of(one) for one in SWITCHES} == {"a"}
    until = looks + 100
    eventually(lambda: there() or looks > until, "it waits on")
    assert owner.handed_over == 1


def test_what_is_left_of_a_lease_is_shown_and_renewals_that_come_late_are_counted(owner):
    """Late is with less than half of it left: another may have the switch after two more of them."""
    eventually(lambda: 4 < owner.lease_left("east") <= owning.LEASE_S, "it is renewed")
    assert owner.lease_left("nowhere") == 0
    assert owner.renewed_late == 0
    turn = owner._turns["east"]
    turn.renewed_at -= owning.LEASE_S / 2 + 1
    eventually(lambda: owner.renewed_late == 1, "it is renewed late")
    eventually(lambda: owner.lease_left("east") > 4, "and good again")
    shown = {one.name: one for one in showing.series(owner)}
    assert {sample.labels["switch"] for sample in shown["vsi_esl_switch_lease_seconds"].samples} == set(
        SWITCHES
    )
    assert shown["vsi_esl_leases_renewed_late"].samples[0].value == 1


def test_a_switch_is_kept_until_all_that_is_known_of_it_is_in_redis(redis, owner, hands):
    other = LeaseBook(redis, "b", "2")
    hands.ships = False

    def there() -> None:
        other.turn(SWITCHES, {}, {"weight": 1, "leaving": False, "group": owner._group})

    eventually(lambda: there() or hands.asked > 2, "it would hand one over")
    assert owner.handed_over == 0 and {owner.owner_of(one) for one in SWITCHES} == {"a"}
    hands.ships = True
    eventually(lambda: there() or owner.handed_over == 1, "it does")


def test_a_lease_that_has_just_run_out_leaves_its_switch_to_the_next(redis, owner):
    """What is on it is not said to be nowhere, although its owner was there at the last look: a room of that
    name would be made a second time."""
    other = LeaseBook(redis, "b", "2")

    def taken() -> bool:
        other.turn(SWITCHES, {}, {"weight": 1, "leaving": False, "group": owner._group})
        return any(other.take({one: 0}) for one in SWITCHES if not owner.owned(one))

    eventually(taken, "it has one that was handed over")
    (theirs,) = (one for one in SWITCHES if not owner.owned(one))
    eventually(lambda: owner.owner_of(theirs) == "b", "it is known")
    owner._greenlet.kill()
    redis.command("DEL", redis.key("lease", theirs))
    assert owner.owner_of(theirs) == "b"
    assert [one for one in SWITCHES if owner.unowned(one)] == [theirs]
    assert not owner.unowned("of another deployment")


def test_one_that_was_killed_may_be_back_when_redis_is_away(redis, owner, monkeypatch):
    """It restarts, and takes the switches of an owner that alone is cut off, which had not seen it yet."""
    assert not owner.in_doubt(owning.now())
    LeaseBook(redis, "b", "2").turn(SWITCHES, {}, {"weight": 1, "leaving": True, "group": "x"})
    redis.command("DEL", redis.key("service", "b"))
    eventually(lambda: owner.in_doubt(owning.now()), "it is remembered")
    eventually(lambda: not owner.in_doubt(0.0), "Redis answers")
    LeaseBook(redis, "b", "2").farewell()
    eventually(lambda: not owner.in_doubt(owning.now()), "it is gone for good")


def test_it_says_of_whom_nothing_is_heard_also_when_it_leaves_that_switch_alone_for_a_while(
    redis, owner, hands, monkeypatch
):
    monkeypatch.setattr(doubts, "SILENT_S", 60.0)
    monkeypatch.setattr(doubts, "AGAIN_S", 0.1)
    other = LeaseBook(redis, "b", "2")

    def there() -> None:
        other.turn(SWITCHES, {}, {"weight": 1, "leaving": False, "group": owner._group})

    there()
    owner.outbid("east", 7)  # the pause is long
    redis.command("SET", redis.key("fence", "east"), 8)
    redis.command("SET", redis.key("lease", "east"), "8 b 2", "PX", 60_000)  # at no time it is nobody's
    eventually(lambda: there() or owner.owner_of("east") == "b", "it is seen whose it is")
    looked_at = owner._answered_at
    eventually(lambda: there() or owner._answered_at > looked_at, "and looked at once more")
    assert hands.doubted == ("", 0), "it is heard of"
    monkeypatch.setattr(doubts, "SILENT_S", 0.1)
    eventually(lambda: hands.doubted == ("east", 8), "it is said on the switch")
