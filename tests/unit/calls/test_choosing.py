"""On which switch new legs are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vsi_esl.calls import choosing
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import Leg


def legs(service, count: int, node: str) -> list[Leg]:
    """So many legs on a switch."""
    return [
        service.leg(f"{node}-{number}", there=False, channel=Channel(node, parked=True))
        for number in range(count)
    ]


def share(node, **members) -> None:
    node.share = replace(node.share, **members)


@pytest.fixture
def east(service):
    return service.switch


@pytest.fixture
def west(service):
    return service.other


def chosen(service, room=None, suits=None) -> str:
    return choosing.for_leg(service.ctx, room, suits).name


def test_of_equals_it_is_the_first(service, east):
    assert chosen(service) == east.name


def test_it_is_where_the_fewest_legs_are_for_the_weight(service, east, west):
    legs(service, 3, east.name)
    assert chosen(service) == west.name
    legs(service, 4, west.name)
    assert chosen(service) == east.name
    share(west, weight=2)
    assert chosen(service) == west.name


def test_legs_count_until_their_end(service, east, west):
    (one,) = legs(service, 1, east.name)
    service.ctx.legs.retire(one)
    assert chosen(service) == west.name
    service.ctx.legs.remove(one)
    service.ctx.legs.remove(one)
    assert service.ctx.legs.on(east.name) == 0
    assert chosen(service) == east.name


def test_one_that_is_lost_drains_or_is_full_is_passed_over(service, east, west):
    legs(service, 2, west.name)
    assert chosen(service) == east.name
    east.away = True
    assert chosen(service) == west.name
    east.away, east.draining = False, True
    assert chosen(service) == west.name
    east.draining = False
    legs(service, 1, east.name)
    share(east, capacity=1)
    assert chosen(service) == west.name
    share(east, capacity=2)
    assert chosen(service) == east.name


def test_when_none_can_each_says_why(service, east, west):
    east.away = True
    share(west, capacity=1)
    legs(service, 1, west.name)
    with pytest.raises(SwitchUnavailable) as refused:
        chosen(service)
    assert refused.value.message == (
        "no switch takes new calls: default: not connected to the switch: it is away; other: full (1 legs)"
    )


def test_a_leg_goes_where_its_room_is(service, east, west):
    (one,) = legs(service, 1, west.name)
    room = service.room("r", node=west.name)
    room.legs[one.id] = one
    assert chosen(service, room) == west.name
    west.draining = True
    assert chosen(service, room) == west.name, "what is there already goes on"
    share(west, capacity=1)
    with pytest.raises(SwitchUnavailable, match=r"^room r is on other, full \(1 legs\)$"):
        chosen(service, room)
    west.away = True
    with pytest.raises(SwitchUnavailable, match=r"^room r is on other, not connected to the switch: "):
        chosen(service, room)


def test_a_room_that_nothing_is_in_moves_with_its_next_leg(service, east, west):
    room = service.room("r", node=west.name)
    assert chosen(service, room) == west.name
    west.away = True
    assert chosen(service, room) == east.name
    assert room.node == ""


def test_it_is_one_that_suits_if_there_is_one(service, east, west):
    assert chosen(service, suits=lambda node: node is west) == west.name
    assert chosen(service, suits=lambda node: False) == east.name
    west.away = True
    assert chosen(service, suits=lambda node: node is west) == east.name


def test_nobody_is_asked_when_there_is_no_choice(service, east, west):
    west.away = True

    def asked(node):
        raise AssertionError("there is one only")

    assert chosen(service, suits=asked) == east.name


def test_a_service_that_stops_makes_no_calls(service):
    service.ctx.draining = True
    with pytest.raises(SwitchUnavailable, match="shutting down"):
        chosen(service)
