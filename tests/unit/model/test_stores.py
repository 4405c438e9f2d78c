"""All legs and rooms of the service."""

from __future__ import annotations

import pytest

from vsi_esl.errors import Conflict, NotFound
from vsi_esl.model.leg import Leg
from vsi_esl.model.room import Room
from vsi_esl.model.stores import Legs, Rooms


def leg(**more) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 100.0, **more})


def test_legs_that_are_hung_up_are_hidden_and_still_found():
    legs = Legs()
    one = leg()
    legs.add(one)
    legs.retire(one)
    with pytest.raises(NotFound):
        legs.get("u1")
    assert legs.find("u1") is one
    assert len(legs) == 0
    assert legs.everyone() == [one]
    assert legs.remove(one) is True
    assert legs.remove(one) is False


def test_rooms_by_conference():
    rooms = Rooms()
    room = Room("a", 8000)
    rooms.add(room)
    assert rooms.of_conference(room.conference) is room
    with pytest.raises(Conflict, match="room a already exists"):
        rooms.add(Room("a", 8000))
    rooms.remove(room)
    assert rooms.of_conference(room.conference) is None
