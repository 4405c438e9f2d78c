"""Which of two services is to have the groups of both, and what a command says when none can."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vsi_esl.access.tokens import OPEN, Access, Scope
from vsi_esl.cluster.connection import RedisUnavailable
from vsi_esl.config.settings import ListedSwitch
from vsi_esl.errors import NotSupported, Unavailable, VsiError
from vsi_esl.protocol.named import Name
from vsi_esl.sharing import growing
from vsi_esl.sharing.growing import MOVED, Growing, access_of, told_of

LEG, ROOM = Name("leg", "L"), Name("room", "R")
WHERE = {LEG: "east", ROOM: "west"}
PLACES = {LEG: "a", ROOM: "b"}
WHAT = "leg L is on another switch than room R"
TETHER = "10.0.0.1:5072"


class Others:
    """Services a and b with what each says, and what was noted: then all is at the service that was."""

    def __init__(self, **listed: dict[str, str]) -> None:
        names = {"east": {"tether": TETHER, "group": "e"}, "west": {"tether": TETHER, "group": "w"}, **listed}
        self.legs = {"a": 1, "b": 1}
        self.bound = {"a": 0, "b": 0}
        self.reach = {"a": True, "b": True}
        self.blind: set[str] = set()
        self.old: set[str] = set()
        self.leaving: set[str] = set()
        self.noted: list[str] = []
        self.holders = {"east": "a", "west": "b"}
        nodes = {
            name: SimpleNamespace(name=name, share=ListedSwitch(name, **more)) for name, more in names.items()
        }
        ctx: Any = SimpleNamespace(
            nodes=SimpleNamespace(find=nodes.get), cluster=SimpleNamespace(growing=self)
        )
        redis: Any = SimpleNamespace(key=lambda *words: words, command=self._command)
        self.growing = Growing(ctx, redis, have=self._have, switch_of=lambda name: WHERE.get(name, ""))

    def _command(self, _: str, key: tuple[str, str]) -> bytes:
        return f"7 {self.holders[key[1]]} id".encode()

    def _have(self, service: str, message: dict[str, Any], timeout: float = 0.0) -> Any:
        if service in self.old:
            raise VsiError("a service of this version cannot do that for another", 501)
        match message["op"]:
            case "weigh":
                seen = service not in self.blind
                told = {"bound": self.bound[service], "legs": self.legs[service]}
                return {"seen": seen, **told, "ready": message["switches"]}
            case "reaches":
                return self.reach[service]
        return True

    # as `calls.cluster.GrowingView`

    def unite(self, here: str, there: str, what: str, keeper: str = "") -> None:
        self.noted.append(keeper)
        self.holders = dict.fromkeys(self.holders, keeper)

    def switches_with(self, switch: str) -> list[str]:
        return [switch] if set(self.holders.values()) == {"a", "b"} else ["east", "west"]

    def leaves(self, service: str) -> bool:
        return service in self.leaving

    def bring(self, access: Access = OPEN) -> str:
        return self.growing.bring([LEG, ROOM], PLACES, told_of(access))


@pytest.mark.parametrize(
    ("legs", "bound", "reach", "leaving", "keeper"),
    [
        ({"a": 9, "b": 2}, {}, {}, "", "a"),
        ({"a": 2, "b": 9}, {}, {}, "", "b"),
        ({}, {}, {}, "", "b"),  # of equals the leg's goes
        ({"a": 2, "b": 9}, {"a": 1}, {}, "", "a"),  # what would end stays where it is
        ({"a": 9, "b": 2}, {}, {"a": False}, "", "b"),  # which can reach both
        ({"a": 9, "b": 2}, {}, {}, "a", "b"),
        ({"a": 9, "b": 2}, {}, {"b": False}, "a", "a"),  # nobody is better
    ],
)
def test_who_has_more_keeps_it_if_that_can_be(legs, bound, reach, leaving, keeper):
    one = Others()
    one.legs.update(legs), one.bound.update(bound), one.reach.update(reach)
    one.leaving = {leaving}
    assert one.bring() == "" and one.noted == [keeper]
    assert one.bring() == "" and one.noted == [keeper], "they are one: it only waits"


@pytest.mark.parametrize(
    ("bound", "reach", "why"),
    [
        ({"a": 1, "b": 1}, {}, "each has browsers, WebSockets or agents, which would end where they go to"),
        ({}, {"a": False, "b": False}, "no service can have both"),
        ({"a": 1}, {"a": False}, "no service can have both"),
    ],
)
def test_where_none_can_have_both_it_is_said_by_name(bound, reach, why):
    one = Others()
    one.bound.update(bound), one.reach.update(reach)
    with pytest.raises(Unavailable) as refused:
        one.bring()
    assert refused.value.message.startswith(f"{WHAT}, and east and west cannot become one group now: {why}")
    assert one.noted == []


def test_what_a_client_may_not_see_moves_nothing():
    one = Others()
    one.blind = {"b"}
    assert one.bring() == "b" and one.noted == []
    tenant = Access("x", Scope.CONTROL, "x*")
    assert access_of(told_of(tenant)).right == tenant.right


def test_without_a_tether_or_with_an_older_service_it_is_refused():
    with pytest.raises(NotSupported) as refused:
        Others(west={"group": "w"}).bring()
    assert refused.value.message == f"{WHAT}, and there is no tether for west"
    one = Others()
    one.old = {"b"}
    with pytest.raises(NotSupported) as refused:
        one.bring()
    text = f"{WHAT}, and service b is of a version in which groups do not become one"
    assert refused.value.message == text and one.noted == []


def test_of_one_group_they_are_on_the_way():
    with pytest.raises(VsiError) as moved:
        Others(west={"tether": TETHER, "group": "e"}).bring()
    assert moved.value.code == MOVED


def test_a_service_that_does_not_hand_over_is_waited_for_until_the_deadline(monkeypatch):
    monkeypatch.setattr(growing, "TOGETHER_S", 0.1)
    one = Others()
    one.unite = lambda *words: None
    with pytest.raises(Unavailable) as refused:
        one.bring()
    assert refused.value.message == f"{WHAT}, and east and west did not come to one service within 0.1 s"


def test_when_redis_goes_meanwhile_it_is_said_by_name():
    one = Others()

    def away(*words: Any) -> None:
        raise RedisUnavailable("redis: gone")

    one.unite = away
    with pytest.raises(Unavailable) as refused:
        one.bring()
    assert refused.value.message == f"{WHAT}, and without Redis east and west cannot become one group"
