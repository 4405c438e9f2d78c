"""What a service did not tell while it was in doubt, and another has the switch by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.redisserver import RedisServer
from tests.support.sharing import Side, eventually
from vsi_esl.events.base import Event
from vsi_esl.events.legs import LegConnected, LegDisconnected, LegRinging
from vsi_esl.events.text import DtmfReceived


class Owner:
    """Whose the switch "east" is, as the service a sees it."""

    def __init__(self, side: Side) -> None:
        self.doubt, self.losses = False, 0
        self.withdrawn: list[str] = []
        side.mark = "east 1"
        side.events.withdrawing.doubtful = lambda since: self.doubt
        side.events.withdrawing.losses = lambda: self.losses
        side.events.withdrawing.lost = lambda mark: bool(self.losses) and mark == "east 1"
        side.bus.on_withdrawn(self.withdrawn.extend)


@pytest.fixture
def start(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[[str], Side]]:
    running: list[Side] = []

    def begin(name: str) -> Side:
        running.append(Side(name, tmp_path, redis_server.settings))
        return running[-1].ready()

    yield begin
    for one in running:
        one.kill()


def told_by(side: Side) -> list[tuple[str, str]]:
    """What its clients were told: type and leg."""
    events = [orjson.loads(one.frame) for one in side.events.recent.after(-1, 1000)[1]]
    return [(one["type"], one["leg_id"]) for one in events]


def began(leg: str) -> LegRinging:
    return LegRinging(leg_id=leg, leg_type="sip_inbound", from_="a", to="b")


def ended(leg: str) -> LegDisconnected:
    return LegDisconnected(leg_id=leg, cdr={"reason": "remote_bye"})


def publish(side: Side, *events: Event) -> None:
    for one in events:
        side.bus.publish(one)


def test_what_is_in_doubt_is_told_when_it_is_known_to_be_ours(redis_server, start):
    a = start("a")
    owner = Owner(a)
    redis_server.stop()
    owner.doubt = True
    publish(a, began("1"), LegConnected(leg_id="1", leg_type="sip_inbound"))
    eventually(lambda: a.events.apart)
    assert told_by(a) == [] and not a.bus.settled(last_id(a))
    owner.doubt = False
    eventually(lambda: len(told_by(a)) == 2)
    assert a.bus.settled(last_id(a)) and owner.withdrawn == []


def last_id(side: Side) -> str:
    page = side.history.after(side.history.newest - 1)
    assert page is not None
    found: str = orjson.loads(page.events[-1].frame)["event_id"]
    return found


def test_what_is_anothers_is_taken_back_but_for_what_nobody_else_can_know(redis_server, start):
    a, b = start("a"), start("b")
    owner = Owner(a)
    with_fence(redis_server)
    redis_server.stop()
    owner.doubt = True
    publish(
        a,
        DtmfReceived(leg_id="known", digit="1", seq=1),
        ended("known"),
        began("whole"),
        began("new"),
        DtmfReceived(leg_id="new", digit="2", seq=1),
        ended("whole"),
    )
    last = last_id(a)
    b.publish()
    eventually(lambda: a.events.apart and b.events.apart)
    assert told_by(a) == []
    owner.losses, owner.doubt = 1, False
    kept = [("dtmf.received", "known"), ("leg.ringing", "whole"), ("leg.disconnected", "whole")]
    eventually(lambda: told_by(a) == kept)
    assert len(owner.withdrawn) == 3 and last not in owner.withdrawn
    redis_server.start()
    eventually(lambda: not a.events.apart and not b.events.apart)
    a.mark = ""
    publish(a, began("later"))
    eventually(lambda: all(("leg.ringing", "later") in told_by(one) for one in (a, b)))
    # a digit in a call that is over for the others is told nobody any more
    assert [one for one in told_by(b) if one[1] != "b"] == [*kept[1:], ("leg.ringing", "later")]
    assert [one for one in told_by(a) if one[1] != "b"] == [*kept, ("leg.ringing", "later")]


def with_fence(server: RedisServer) -> None:
    """Another has taken the switch."""
    server.command("SET", "vsi:fence:east", "2")


def test_what_redis_knows_to_be_anothers_is_taken_back_before_a_webhook_of_it_goes_out(redis_server, start):
    """As of a process that stood still."""
    a, b = start("a"), start("b")
    owner = Owner(a)
    with_fence(redis_server)
    publish(a, ended("1"), began("whole"), ended("whole"))
    settled: list[bool] = []
    a.bus.on_withdrawn(lambda ids: settled.extend(map(a.bus.settled, ids)))
    eventually(lambda: a.events.waiting == 0)
    assert len(owner.withdrawn) == 1 and settled == [False]
    both = [("leg.ringing", "whole"), ("leg.disconnected", "whole")]
    eventually(lambda: told_by(a) == both and told_by(b) == both)


def test_what_comes_behind_that_is_taken_back_as_well(redis_server, start):
    """Until the service has let go of the switch it goes on telling of it."""
    a, b = start("a"), start("b")
    owner = Owner(a)
    with_fence(redis_server)
    publish(a, ended("1"))
    eventually(lambda: a.events.waiting == 0)
    settled: list[bool] = []
    a.bus.on_withdrawn(lambda ids: settled.extend(map(a.bus.settled, ids)))
    publish(a, ended("2"), began("whole"), began("new"), ended("whole"))
    eventually(lambda: a.events.waiting == 0)
    assert len(owner.withdrawn) == 3 and settled == [False, False]
    both = [("leg.ringing", "whole"), ("leg.disconnected", "whole")]
    eventually(lambda: told_by(a) == both and told_by(b) == both)
    assert len(owner.withdrawn) == 3
