"""All playbacks, recordings and bridges of the service. Lookups that fail raise what a command answers."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import Conflict, NotFound
from .bridge import Bridge
from .owner import Owner
from .playback import Playback
from .recording import ABANDONED, REPORTED, UNPUBLISHED, Recording, recording_of


class Playbacks:
    """Those that have not ended, by id and by the leg or room they belong to."""

    def __init__(self) -> None:
        self._by_id: dict[str, Playback] = {}
        self._by_owner: dict[Owner, dict[str, Playback]] = {}
        self.strays: dict[str, set[str]] = {}
        """By switch, conferences in which something may be playing that was given up while it was away."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Playback]:
        return iter(list(self._by_id.values()))

    def find(self, playback_id: str) -> Playback | None:
        return self._by_id.get(playback_id)

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
    """Those that are running or not yet done with, by id, by the leg or room they are of, and by the name
    they are to have; at most one is running per leg and per room."""

    def __init__(self) -> None:
        self._by_id: dict[str, Recording] = {}
        self._by_owner: dict[Owner, dict[str, Recording]] = {}
        self._by_name: dict[str, Recording] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        """The names of each by its id: a recording that got no file forgets its own."""
        self._ended_by: dict[str, Owner] = {}
        """The room whose recording ended when this leg left it, until the leg itself ends."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Recording]:
        return iter(list(self._by_id.values()))

    def find(self, recording_id: str) -> Recording | None:
        return self._by_id.get(recording_id)

    def running(self, owner: Owner) -> Recording | None:
        """The recording of a leg or room that is armed or running."""
        return next((one for one in self._by_owner.get(owner, {}).values() if one.running), None)

    def unfinished(self, owner: Owner) -> list[Recording]:
        """Those whose recording.finished is still to come."""
        done = (REPORTED, UNPUBLISHED, ABANDONED)
        return [one for one in self._by_owner.get(owner, {}).values() if one.state not in done]

    def note_end(self, owner: Owner, leg_id: str) -> None:
        """The recording of a room ended because this leg, its last, left."""
        self._ended_by[leg_id] = owner

    def ended_by(self, leg_id: str) -> Owner | None:
        """The room whose recording this leg ended, if it did. To be asked once, when the leg ends."""
        return self._ended_by.pop(leg_id, None)

    def uses(self, path: str) -> bool:
        """Whether a recording will have this name."""
        known = self._by_name.get(path)
        return known is not None and path in (known.file, known.multi_file)

    def written_to(self, part: str) -> Recording | None:
        """The recording whose sound the switch is writing to this file now."""
        known = self._by_id.get(recording_of(part))
        return known if known is not None and known.part == part else None

    def add(self, recording: Recording) -> None:
        """Its owner and its names are settled."""
        self._by_id[recording.id] = recording
        self._by_owner.setdefault(recording.owner, {})[recording.id] = recording
        names = tuple(name for name in (recording.file, recording.multi_file) if name)
        self._names[recording.id] = names
        self._by_name.update(dict.fromkeys(names, recording))

    def remove(self, recording: Recording) -> None:
        self._by_id.pop(recording.id, None)
        owned = self._by_owner.get(recording.owner, {})
        owned.pop(recording.id, None)
        if not owned:
            self._by_owner.pop(recording.owner, None)
        for name in self._names.pop(recording.id, ()):
            if self._by_name.get(name) is recording:
                del self._by_name[name]


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
