"""A list of all services, while switches go from one to another: whole, or refused."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from vsi_esl.errors import Unavailable, VsiError
from vsi_esl.sharing import lists
from vsi_esl.sharing.lists import BETWEEN_S, Lists

AWAY = VsiError("service b does not answer", 503)


class Site:
    """Service a, which has east, and b, which has west: what Redis says, and what b answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(lists.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(lists, "remembered", lambda ctx, node: self.remembered[node.name])
        self.holders: list[dict[str, str]] = [{"east": "a", "west": "b"}] * 2
        """At each look; the last one stays."""
        self.where = {b"leg/L": b"west", b"leg/K": b"east", b"room/R": b"east"}
        self.own, self.others = ["K"], {"b": ["L"]}
        self.answers: dict[str, Any] = {"b": ["L"]}
        self.mine = {"east"}
        self.nodes = {
            name: SimpleNamespace(name=name, adopted=name == "east", unknown=False)
            for name in ("east", "west")
        }
        self.remembered: dict[str, list[str]] = defaultdict(list)
        self.is_unsure = False
        self.had = 999.0
        self.redis = SimpleNamespace(
            available=True, since=0.0, key=lambda *words: "/".join(words), command=self._command
        )
        ctx: Any = SimpleNamespace(nodes=list(self.nodes.values()))
        peers: Any = SimpleNamespace(
            others=self.others,
            own=SimpleNamespace(name="a"),
            find=self.others.get,
            had=lambda switch: self.had,
        )
        asking: Any = SimpleNamespace(ask=self._ask)
        self.lists = Lists(
            ctx,
            self.redis,  # type: ignore[arg-type]
            peers,
            asking,
            mine=lambda switch: switch in self.mine,
            unsure=lambda: self.is_unsure,
        )

    def _command(self, name: str, *words: str) -> Any:
        if name == "HGETALL":
            return self.where
        held = self.holders.pop(0) if len(self.holders) > 1 else self.holders[0]
        found = [held.get(word.removeprefix("lease/")) for word in words]
        return [f"7 {one} id".encode() if one else None for one in found]

    def _ask(self, service: str, message: Any, timeout: float) -> Any:
        found = self.answers[service]
        if isinstance(found, VsiError):
            raise found
        return found

    def list(self, name: str = "list_legs") -> list[str]:
        rows: list[str] = self.lists.whole({"name": name}, lambda: list(self.own))
        return rows

    def refused(self, name: str = "list_legs") -> str:
        with pytest.raises(Unavailable) as caught:
            self.list(name)
        return caught.value.message


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


ON_ITS_WAY = "there are legs on switch west, which is on its way to a service"


def test_when_all_is_well_it_is_of_all(site):
    assert site.list() == ["K", "L"]


def test_nobody_has_a_switch_that_somebody_had_a_moment_ago(site):
    site.holders = [{"east": "a"}]
    assert site.refused() == ON_ITS_WAY
    site.where = {b"room/R": b"west", b"leg/K": b"east"}
    assert site.list() == ["K", "L"]  # no legs are there
    assert "there are rooms on switch west" in site.refused("list_rooms")


def test_what_nobody_had_for_long_spoils_no_list(site):
    site.holders = [{"east": "a"}]
    site.had = site.now - BETWEEN_S - 1
    assert site.list() == ["K", "L"]
    site.redis.since = site.now - 1  # nobody was seen before that
    assert site.refused() == ON_ITS_WAY


def test_one_that_had_a_switch_and_was_not_asked(site):
    site.others.clear()
    assert site.refused() == ON_ITS_WAY


def test_one_that_is_gone_while_it_is_asked(site):
    def gone(service: str, message: Any, timeout: float) -> Any:
        site.others.clear()
        raise AWAY

    site.lists._asking = SimpleNamespace(ask=gone)
    assert site.refused() == ON_ITS_WAY
    # and one whose switch this service has by now
    site.others["b"] = ["L"]
    site.holders, site.mine = [{"east": "a", "west": "a"}], {"east", "west"}
    site.nodes["west"].adopted = True
    site.own = ["K", "L"]
    assert site.list() == ["K", "L"]


def test_one_that_is_there_and_does_not_answer(site):
    site.answers["b"] = AWAY
    with pytest.raises(VsiError) as caught:
        site.list()
    assert caught.value is AWAY


def test_one_that_changed_hands_meanwhile(site):
    site.others["c"] = []
    site.answers["c"] = []
    site.holders = [{"east": "a", "west": "b"}, {"east": "a", "west": "c"}]
    assert site.refused() == ON_ITS_WAY
    assert site.list() == ["K", "L"]


@pytest.mark.parametrize("mine", [True, False])
def test_one_that_this_service_is_about_to_have(site, mine):
    """Its lease is this service's: of its turn, or of the process before, which was killed."""
    site.holders = [{"east": "a", "west": "a"}]
    site.mine = {"east", "west"} if mine else {"east"}
    assert site.refused() == ON_ITS_WAY
    with pytest.raises(Unavailable):
        site.lists.here("list_legs", list)
    site.nodes["west"].unknown = True  # the command itself waits for it by now
    assert site.lists.here("list_legs", list) == []


def test_behind_an_outage_nothing_is_said_of_those_that_were_not_heard(site):
    site.is_unsure = True
    site.where = {}
    assert site.list() == ["K", "L"]
    site.holders = [{"east": "a"}]
    assert site.refused() == "Redis was away: what others have is not known yet"


def test_without_redis_it_is_what_is_here_if_that_is_known(site):
    site.redis.available = False
    assert site.list() == ["K"]
    site.remembered["west"] = ["L"]
    assert site.refused() == "there are legs on switch west, whose calls are not known yet"
    site.nodes["west"].adopted = True
    assert site.list() == ["K"]
