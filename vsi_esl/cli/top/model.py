"""The legs and rooms that `vsi-esl top` shows: a list of the service's, kept up to date by its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MAX_FRESH = 100_000
"""Events kept while a list is on its way; of more there will be another list."""

RINGING, EARLY, CONNECTED, HELD = "ringing", "early_media", "connected", "held"
STATES = (CONNECTED, EARLY, HELD, RINGING)


@dataclass(slots=True)
class Leg:
    """What is known of a leg. `since` is when it began, in Unix seconds; 0 when that was before we looked."""

    id: str
    type: str = ""
    state: str = RINGING
    room: str = ""
    app_id: str = ""
    peer: str = ""
    role: str = ""
    since: float = 0.0
    muted: bool = False
    deaf: bool = False
    speaking: bool = False


@dataclass(slots=True)
class Room:
    """What is known of a room."""

    id: str
    app_id: str = ""
    sample_rate: int = 0


class Live:
    """Legs and rooms by their id, and how many events were lost on the way.

    Events that come while a list is awaited are applied again to the list: which of both is older cannot be
    told, and each event leaves the same behind however often it is applied.
    """

    def __init__(self, wanted: Callable[[str], bool] = lambda app_id: True) -> None:
        self.legs: dict[str, Leg] = {}
        self.rooms: dict[str, Room] = {}
        self.lost = 0
        self._wanted = wanted
        self._fresh: deque[Mapping[str, Any]] | None = None
        self._changes: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "leg.ringing": self._ringing,
            "leg.early_media": lambda event: self._state(event, EARLY),
            "leg.connected": self._connected,
            "leg.disconnected": self._ended,
            "leg.hold": lambda event: self._state(event, HELD),
            "leg.unhold": lambda event: self._state(event, CONNECTED),
            "leg.muted": lambda event: self._flag(event, muted=True),
            "leg.unmuted": lambda event: self._flag(event, muted=False),
            "leg.deaf": lambda event: self._flag(event, deaf=True),
            "leg.undeaf": lambda event: self._flag(event, deaf=False),
            "speaking.started": lambda event: self._flag(event, speaking=True),
            "speaking.stopped": lambda event: self._flag(event, speaking=False),
            "leg.joined_room": lambda event: self._flag(event, room=event.get("room_id", "")),
            "leg.left_room": self._left,
            "leg.role_changed": lambda event: self._flag(event, role=event.get("new_role", "")),
            "room.created": self._room_created,
            "room.deleted": self._room_deleted,
        }

    def expect(self) -> None:
        """A list was asked for."""
        self._fresh = deque(maxlen=MAX_FRESH)

    def replace(self, legs: Iterable[Mapping[str, Any]], rooms: Iterable[Mapping[str, Any]]) -> None:
        """Take over a list of the service: views of its legs and rooms."""
        before = self.legs
        self.legs = {}
        for view in legs:
            if self._wanted(view.get("app_id", "")):
                self._listed(view, before.get(view["id"]))
        self.rooms = {
            view["id"]: Room(view["id"], view.get("app_id", ""), view.get("sample_rate", 0))
            for view in rooms
            if self._wanted(view.get("app_id", ""))
        }
        fresh, self._fresh = self._fresh, None
        for event in fresh or ():
            self._change(event)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take over an event. What is not known of is passed over."""
        if event.get("type") == "events_dropped":
            self.lost += int(event.get("count", 0))
            return
        if self._fresh is not None:
            self._fresh.append(event)
        self._change(event)

    def _change(self, event: Mapping[str, Any]) -> None:
        change = self._changes.get(event.get("type", ""))
        if change is not None:
            change(event)

    def _listed(self, view: Mapping[str, Any], known: Leg | None) -> None:
        leg = known or Leg(view["id"])
        leg.type, leg.state = view.get("type", ""), view.get("state", "")
        leg.room, leg.app_id, leg.role = (view.get(name, "") for name in ("room_id", "app_id", "role"))
        leg.muted, leg.deaf = bool(view.get("muted")), bool(view.get("deaf"))
        self.legs[leg.id] = leg

    def _of(self, event: Mapping[str, Any]) -> Leg | None:
        return self.legs.get(event.get("leg_id", ""))

    def _ringing(self, event: Mapping[str, Any]) -> None:
        leg = self._of(event)
        if leg is None:
            leg = self.legs[event["leg_id"]] = Leg(event["leg_id"])
        leg.type, leg.app_id = event.get("leg_type", ""), event.get("app_id", "")
        # of whom we call the URI, of who calls us the number
        leg.peer = event.get("uri") or event.get("from", "")
        leg.since = _unix(event.get("timestamp", ""))

    def _connected(self, event: Mapping[str, Any]) -> None:
        if self._of(event) is None:  # a leg that comes into being answered, such as a WebSocket's
            self._ringing(event)
        self._state(event, CONNECTED)

    def _ended(self, event: Mapping[str, Any]) -> None:
        self.legs.pop(event.get("leg_id", ""), None)

    def _state(self, event: Mapping[str, Any], state: str) -> None:
        if (leg := self._of(event)) is not None:
            leg.state = state

    def _flag(self, event: Mapping[str, Any], **values: Any) -> None:
        if (leg := self._of(event)) is not None:
            for name, value in values.items():
                setattr(leg, name, value)

    def _left(self, event: Mapping[str, Any]) -> None:
        leg = self._of(event)
        if leg is not None and leg.room == event.get("room_id", leg.room):
            leg.room, leg.speaking = "", False

    def _room_created(self, event: Mapping[str, Any]) -> None:
        self.rooms.setdefault(event["room_id"], Room(event["room_id"], event.get("app_id", "")))

    def _room_deleted(self, event: Mapping[str, Any]) -> None:
        self.rooms.pop(event.get("room_id", ""), None)


def _unix(timestamp: str) -> float:
    try:
        # nine digits of a second are three more than Python reads
        return datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp()
    except ValueError:
        return 0.0
