"""Whose a recording or a playback is: a leg's or a room's.

The sort belongs to it. Ids of rooms are the clients' to choose, and may be the id of a leg.
"""

from __future__ import annotations

from typing import NamedTuple

LEG, ROOM = "leg", "room"


class Owner(NamedTuple):
    """A leg or a room by its id, whether it is still there or not."""

    kind: str
    id: str


def of_leg(leg_id: str) -> Owner:
    return Owner(LEG, leg_id)


def of_room(room_id: str) -> Owner:
    return Owner(ROOM, room_id)
