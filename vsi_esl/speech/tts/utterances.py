"""What is being said, by id and by whom it is said to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...live.session import Session
from ...model.owner import Owner, of_leg, of_room

PLAYBACK = "playback"
"""The category of what failed behind the synthesis."""


@dataclass(slots=True, eq=False)
class Utterance:
    """One text, on its way to a leg or into a room."""

    id: str
    app_id: str
    node: str
    """The switch of its leg or room."""
    leg_id: str = ""
    room_id: str = ""
    session: Session | None = None
    announced: bool = False
    played_ms: int | None = None
    """How much was heard, when the media worker has said it."""
    began_at: float = 0.0
    """Unix seconds, when it was announced."""
    stopped: bool = False
    """It is to end, and is found no more."""

    @property
    def owner(self) -> Owner:
        return of_leg(self.leg_id) if self.leg_id else of_room(self.room_id)

    def saved(self) -> dict[str, Any]:
        """What is remembered over a restart: enough to tell its end."""
        names = ("id", "app_id", "node", "leg_id", "room_id")
        return {name: getattr(self, name) for name in names}


class Utterances:
    """Those that have not ended."""

    def __init__(self) -> None:
        self._by_id: dict[str, Utterance] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(list(self._by_id.values()))

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    def new_id(self) -> str:
        """One that nothing has."""
        while (found := f"tts-{secrets.token_hex(4)}") in self._by_id:
            continue
        return found

    def find(self, id: str) -> Utterance | None:
        """One that can still be stopped."""
        found = self._by_id.get(id)
        return None if found is None or found.stopped else found

    def count(self, owner: Owner) -> int:
        """How many a leg or room has."""
        return sum(one.owner == owner for one in self._by_id.values())

    def add(self, one: Utterance) -> None:
        self._by_id[one.id] = one

    def remove(self, one: Utterance) -> bool:
        """False when it was gone already: of two endings only the first is reported."""
        return self._by_id.pop(one.id, None) is not None
