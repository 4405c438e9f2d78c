"""All legs and rooms of the service. Lookups that fail raise what a command answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..errors import Conflict, NotFound
from .leg import Leg, Webhook
from .room import Room


class Legs:
    """The legs clients can see, and those that are being hung up (seen by nobody, until their last event)."""

    def __init__(self) -> None:
        self._live: dict[str, Leg] = {}
        self._ending: dict[str, Leg] = {}
        self.departing: set[str] = set()
        """Those that are forgotten, but for their last event, which waits for a recording."""
        self.presumed_ended: dict[str, float] = {}
        """Those reported as ended without the switch having said so, with when (Unix seconds)."""
        self.webhooks: dict[str, Webhook] = {}
        """The webhooks of legs, each until the leg's last event has been routed."""
        self._places: dict[str, str] = {}
        self._on: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Leg]:
        return iter(list(self._live.values()))

    def get(self, leg_id: str) -> Leg:
        """A leg by id, or NotFound."""
        try:
            return self._live[leg_id]
        except KeyError:
            raise NotFound("leg not found") from None

    def find(self, leg_id: str) -> Leg | None:
        """A leg by id, also while it is being hung up."""
        return self._live.get(leg_id) or self._ending.get(leg_id)

    def on(self, node: str) -> int:
        """How many legs are on the switch of this name, those being hung up included."""
        return self._on[node]

    def add(self, leg: Leg) -> None:
        if leg.id not in self._places:
            self._places[leg.id] = leg.node
            self._on[leg.node] += 1
        self._live[leg.id] = leg
        if leg.webhook is not None:
            self.webhooks[leg.id] = leg.webhook

    def retire(self, leg: Leg) -> None:
        """Hide a leg that is being hung up; `find` still has it, for its last events."""
        if self._live.pop(leg.id, None) is not None:
            self._ending[leg.id] = leg

    def seen(self, leg: Leg) -> None:
        """The switch has its call. One that was hidden because it seemed to be gone is shown again."""
        if leg.unseen:
            leg.unseen = False
            if not leg.ending and self._ending.pop(leg.id, None) is not None:
                self._live[leg.id] = leg

    def remove(self, leg: Leg) -> bool:
        """Forget a leg. False when it was forgotten already: of two endings only the first is reported."""
        live, ending = self._live.pop(leg.id, None), self._ending.pop(leg.id, None)
        if (node := self._places.pop(leg.id, None)) is not None:
            self._on[node] -= 1
        return live is not None or ending is not None

    def everyone(self) -> list[Leg]:
        """All legs, those being hung up included."""
        return [*self._live.values(), *self._ending.values()]


class Rooms:
    """Rooms by their id and by their conference's name."""

    def __init__(self) -> None:
        self._by_id: dict[str, Room] = {}
        self._by_conference: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._by_id.values()))

    def get(self, room_id: str) -> Room:
        """A room by id, or NotFound in the words of get_room."""
        room = self._by_id.get(room_id)
        if room is None:
            raise NotFound("room not found")
        return room

    def lasting(self, room_id: str) -> Room:
        """One in which something can begin: NotFound also for one that is being deleted."""
        room = self.get(room_id)
        if room.deleting:
            raise NotFound("room not found")
        return room

    def find(self, room_id: str) -> Room | None:
        return self._by_id.get(room_id)

    def find_on(self, room_id: str, node: str) -> Room | None:
        """It unless it is on another switch than this one: of two rooms of one name, which services made
        without knowing of each other, one is given up, and with it what was done there."""
        room = self.find(room_id)
        return room if room is not None and room.node in ("", node) else None

    def of_conference(self, conference: str) -> Room | None:
        """The room whose conference this is; None for conferences that are not ours."""
        return self._by_conference.get(conference)

    def add(self, room: Room) -> None:
        """Conflict when the id is taken."""
        if room.id in self._by_id:
            raise Conflict(f"room {room.id} already exists")
        self._by_id[room.id] = room
        self._by_conference[room.conference] = room

    def remove(self, room: Room) -> None:
        self._by_id.pop(room.id, None)
        self._by_conference.pop(room.conference, None)
