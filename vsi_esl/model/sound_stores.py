"""All playbacks, recordings and bridges of the service. Lookups that fail raise what a command answers."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Conflict, NotFound
from .bridge import Bridge
from .owner import Owner
from .playback import Playback
from .recording import ABANDONED, REPORTED, UNPUBLISHED, Recording


class Playbacks:
    """Those that have not ended, by id and by the leg or room they belong to."""

    def __init__(self) -> None:
        self._by_id: dict[str, Playback] = {}
        self._by_owner: dict[Owner, dict[str, Playback]] = {}
        self.strays: set[str] = set()
        """Conferences in which something may be playing that was given up while the switch was away."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Playback]:
        return iter(list(self._by_id.values()))

    def find(self, playback_id: str) -> Playback | None:
        return self._by_id.get(playback_id)

    def get(self, owner: Owner, playback_id: str, missing: str) -> Playback:
        """A playback of this leg or room; NotFound with the text `missing`."""
        playback = self._by_owner.get(owner, {}).get(playback_id)
        if playback is None:
            raise NotFound(missing)
        return playback

    def of(self, owner: Owner) -> list[Playback]:
        """Those of a leg or room, oldest first."""
        return list(self._by_owner.get(owner, {}).values())

    def add(self, playback: Playback) -> None:
        self._by_id[playback.id] = playback
        self._by_owner.setdefault(playback.owner, {})[playback.id] = playback

    def remove(self, playback: Playback) -> None:
        self._by_id.pop(playback.id, None)
        owned = self._by_owner.get(playback.owner, {})
        owned.pop(playback.id, None)
        if not owned:
            self._by_owner.pop(playback.owner, None)


class Recordings:
    """Those that are running or not yet done with, by id; at most one is running per leg and per room."""

    def __init__(self) -> None:
        self._by_id: dict[str, Recording] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Recording]:
        return iter(list(self._by_id.values()))

    def find(self, recording_id: str) -> Recording | None:
        return self._by_id.get(recording_id)

    def running(self, owner: Owner) -> Recording | None:
        """The recording of a leg or room that is armed or running."""
        return next((one for one in self._by_id.values() if one.owner == owner and one.running), None)

    def unfinished(self, owner: Owner) -> list[Recording]:
        """Those whose recording.finished is still to come."""
        done = (REPORTED, UNPUBLISHED, ABANDONED)
        return [one for one in self._by_id.values() if one.owner == owner and one.state not in done]

    def uses(self, path: str) -> bool:
        """Whether a recording will have this name."""
        return any(path in (one.file, one.multi_file) for one in self._by_id.values())

    def add(self, recording: Recording) -> None:
        self._by_id[recording.id] = recording

    def remove(self, recording: Recording) -> None:
        self._by_id.pop(recording.id, None)


class Bridges:
    """By id, by room and by the channel that carries them."""

    def __init__(self) -> None:
        self._by_id: dict[str, Bridge] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Bridge]:
        return iter(list(self._by_id.values()))

    def get(self, room_id: str, bridge_id: str) -> Bridge:
        """A bridge that touches the room, or NotFound."""
        bridge = self._by_id.get(bridge_id)
        if bridge is None or not bridge.touches(room_id):
            raise NotFound("bridge not found")
        return bridge

    def find(self, bridge_id: str) -> Bridge | None:
        return self._by_id.get(bridge_id)

    def of_room(self, room_id: str) -> list[Bridge]:
        return [bridge for bridge in self._by_id.values() if bridge.touches(room_id)]

    def of_channel(self, channel: str) -> Bridge | None:
        return next((bridge for bridge in self._by_id.values() if bridge.channel == channel), None)

    def add(self, bridge: Bridge) -> None:
        """Conflict when the id is taken or the rooms are bridged already, in either order."""
        if bridge.id in self._by_id:
            raise Conflict(f"bridge between these rooms already exists: bridge id {bridge.id} already exists")
        if any({one.room_a, one.room_b} == {bridge.room_a, bridge.room_b} for one in self):
            raise Conflict("bridge between these rooms already exists")
        self._by_id[bridge.id] = bridge

    def remove(self, bridge: Bridge) -> bool:
        """False when it was gone already."""
        return self._by_id.pop(bridge.id, None) is not None
