"""The webhooks of a service that is gone, delivered by another.

Each service delivers its own, from its own file, with or without Redis. What is to be delivered is in Redis
as well, in the step that adds the event to the stream, and is deleted there when it is delivered or given
up. An outbox there belongs to a switch, or for events that are about none to a service. That of a switch
goes with it to the service that takes it, before anything new is told of its legs; that of a service which
is not there any more is claimed by one of the others. Who comes back and finds its outbox claimed forgets
what was in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent
import orjson
import structlog
from prometheus_client.core import Metric

from .. import lasting
from ..cluster.connection import RedisConnection
from ..delivery.blocks import StoredEvent
from ..delivery.history import EventId
from ..delivery.webhooks.durable import Durable
from ..delivery.webhooks.outbox import Outbox, Waiting
from ..delivery.webhooks.targets import Target
from ..delivery.webhooks.write_ahead import Arrival
from ..errors import VsiError
from ..ops.series import gauge, total
from .entries import place_of
from .events import SharedEvents

log = structlog.get_logger(__name__)

EVERY_S = 1.0
AT_ONCE = 500
COMPARE_EVERY = 10
"""Every so many looks, what is in Redis is compared with what is in the file."""
ABSENT_S = 3.0
"""How long a service has to be gone: after an outage they come back one after the other."""
PATIENCE_S = 10.0
"""How long a start waits for Redis; without it what is in the file is delivered, by whoever has it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One webhook in Redis. `cursor` is the event's in the stream."""

    place: str
    cursor: int
    event_id: str
    kind: str
    target: Target
    frame: bytes


class Outboxes:
    """What Redis has of the outbox of the service `name`. `there(name)` says whether a service is there."""

    def __init__(
        self,
        redis: RedisConnection,
        name: str,
        durable: Durable,
        events: SharedEvents,
        *,
        there: Callable[[str], bool],
    ) -> None:
        self._redis, self._name, self._durable, self._events = redis, name, durable, events
        self._there = there
        self._own = place_of("", name)
        self._places = {self._own}
        """The outboxes that are ours."""
        self._kept: dict[str, str] = {}
        """Event -> the outbox that it is in, of those that wait here."""
        self._done: list[str] = []
        self._work: gevent.Greenlet | None = None
        self._absent: dict[str, float] = {}
        """Since when a service is not there that has an outbox."""
        self.claimed = self.given_up = 0
        durable.outbox.on_taken = self._taken
        durable.outbox.on_done = self._done_with
        events.mirrored = self._mirrored

    def start(self, deliver: Callable[[], None]) -> None:
        """Compare with Redis what the file has, then `deliver`."""
        self._work = lasting.keep(self._run, deliver)

    def stop(self) -> None:
        if self._work is not None:
            self._work.kill()
        self._try(self._delete)

    def series(self) -> Iterator[Metric]:
        """What /metrics shows of it."""
        yield gauge("vsi_esl_webhooks_shared", "Webhooks that wait here and are in Redis.", len(self._kept))
        claimed = "Webhooks of other services that are delivered here."
        yield total("vsi_esl_webhooks_claimed", claimed, self.claimed)
        left = "Webhooks left to another service, which has claimed them."
        yield total("vsi_esl_webhooks_left", left, self.given_up)

    # -- what happens to one -------------------------------------------------------------------------------

    def _taken(self, arrival: Arrival) -> None:
        """It is in the file; it goes to Redis with its event."""
        found = EventId.parse(arrival.event_id)
        events = self._events
        if found is not None and found.epoch == events.history.epoch and found.cursor > events.sent:
            events.webhooks[found.cursor] = _head(arrival.event_id, arrival.type, arrival.target)

    def _mirrored(self, one: StoredEvent, head: bytes) -> None:
        """It is in Redis."""
        event_id = head.partition(b"\n")[0].decode()
        self._kept[event_id] = place_of(one.mark.rpartition(" ")[0], self._name)

    def _done_with(self, event_id: str) -> None:
        found = EventId.parse(event_id)
        if found is not None and found.epoch == self._events.history.epoch:
            self._events.webhooks.pop(found.cursor, None)  # delivered before it was handed on
        self._done.append(event_id)

    # -- with Redis ----------------------------------------------------------------------------------------

    def _run(self, deliver: Callable[[], None]) -> None:
        if self._redis.wait_available(PATIENCE_S):
            self._try(self._begin)
        deliver()
        looks = 0
        while True:
            gevent.sleep(EVERY_S)
            looks += 1
            self._try(self._delete)
            self._try(self._look)
            if looks % COMPARE_EVERY == 0:
                self._try(self._compare)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except VsiError as error:
            log.debug("webhooks not shared", reason=error.message)
        except Exception:
            log.exception("webhooks not shared")

    def _begin(self) -> None:
        owners = self._owners()
        if owners.get(self._own, self._name) != self._name:
            self._leave_to_others()
        self._own_it()
        self._compare()

    def _owners(self) -> dict[str, str]:
        found = self._redis.command("HGETALL", self._events.keys.outboxes)
        return {place.decode(): owner.decode() for place, owner in found.items()}

    def _own_it(self) -> None:
        self._redis.command("HSET", self._events.keys.outboxes, self._own, self._name)

    def _delete(self) -> None:
        """Have nothing in Redis that is done."""
        done, self._done = self._done, []
        commands: list[tuple[str, ...]] = []
        try:
            for event_id in done:
                place = self._kept.get(event_id)
                if place is not None:
                    commands.append(("HDEL", self._events.keys.outbox_of(place), event_id))
            for start in range(0, len(commands), AT_ONCE):
                self._redis.pipeline(commands[start : start + AT_ONCE])
        except VsiError:
            self._done = done + self._done
            raise
        for event_id in done:
            self._kept.pop(event_id, None)

    def _look(self) -> None:
        """Claim what a service that is not there any more has left."""
        now = time.monotonic()
        owners = self._owners()
        if owners.get(self._own) != self._name:
            # we stood still for so long that another has claimed it, or Redis has lost it
            if self._own in owners:
                self._leave_to_others()
            self._own_it()
        absent = {owner for owner in owners.values() if owner != self._name and not self._there(owner)}
        self._absent = {owner: self._absent.get(owner, now) for owner in absent}
        for place, owner in owners.items():
            if owner in absent and now - self._absent[owner] >= ABSENT_S:
                self._claim(place, owner)

    def _claim(self, place: str, owner: str) -> None:
        keys = self._events.keys
        names = [keys.outboxes, keys.outbox_of(place), keys.outbox_of(self._own)]
        moved = 0
        while count := self._redis.run("claim outbox", names, [place, self._name, owner, AT_ONCE]):
            moved += count
            owner = self._name
        if moved:
            log.warning("webhooks of a service that is gone are delivered here", of=place, count=moved)
            self._compare()

    def take(self, switch: str) -> None:
        """The switch is ours from now on, and so are its webhooks. Waits; without Redis they come later."""
        place = place_of(switch, self._name)
        self._places.add(place)
        self._try(lambda: self._bring(self._read(place)))

    def release(self, switch: str) -> None:
        """The switch is another's, and its webhooks are delivered there."""
        place = place_of(switch, self._name)
        self._places.discard(place)
        gone = {event for event, kept in self._kept.items() if kept == place}
        self._forget(gone)

    def withdrawn(self, events: set[str]) -> None:
        """These are told by another service. Waits."""
        for event in events:
            found = EventId.parse(event)
            if found is not None:
                self._events.webhooks.pop(found.cursor, None)
        self._forget(events)

    def _leave_to_others(self) -> None:
        """Forget what was in an outbox that another has claimed, but for what did not get there yet."""
        there = {one.event_id for place in self._places for one in self._read(place)}
        gone = {
            event
            for _, event, replayed in self._durable.outbox.run(Outbox.waiting_ids)
            if not replayed and event not in there and self._was_handed_on(event)
        }
        self._forget(gone)

    def _forget(self, events: set[str]) -> None:
        rows = self._durable.outbox.run(Outbox.waiting_ids)
        ids = [id for id, event, _ in rows if event in events]
        for start in range(0, len(ids), AT_ONCE):
            self._durable.drop(ids[start : start + AT_ONCE])
        self.given_up += len(ids)
        for event in events:
            self._kept.pop(event, None)

    def _was_handed_on(self, event_id: str) -> bool:
        found = EventId.parse(event_id)
        if found is None or found.epoch != self._events.history.epoch:
            return True  # it was another's, and came from Redis
        return found.cursor <= self._events.sent

    def _read(self, place: str) -> list[Kept]:
        """What is in an outbox, in the order of the events."""
        found: list[Kept] = []
        position = "0"
        while True:
            position, rows = self._redis.command(
                "HSCAN", self._events.keys.outbox_of(place), position, "COUNT", AT_ONCE
            )
            found += [_kept(place, value) for value in rows.values()]
            if not int(position):
                break
        return sorted({one.event_id: one for one in found}.values(), key=lambda one: one.cursor)

    def _bring(self, kept: list[Kept]) -> None:
        """Have these delivered here."""
        waiting = {event for _, event, _ in self._durable.outbox.run(Outbox.waiting_ids)}
        done = set(self._done)
        for one in kept:
            if one.event_id in done:
                continue
            self._kept[one.event_id] = one.place
            if one.event_id not in waiting:
                self.claimed += 1
                self._durable.offer(one.target, one.event_id, one.kind, one.frame)

    def _compare(self) -> None:
        """Have what is in Redis delivered, and have there what waits here."""
        kept = [one for place in list(self._places) for one in self._read(place)]
        self._bring(kept)
        there = {one.event_id for one in kept}
        rows = self._durable.outbox.run(Outbox.waiting_ids)
        waiting = {event for _, event, _ in rows}
        lacking = [id for id, event, _ in rows if event not in there and self._was_handed_on(event)]
        for start in range(0, len(lacking), AT_ONCE):
            self._put(self._durable.outbox.run(Outbox.some, lacking[start : start + AT_ONCE]))
        for id, event, _ in rows:
            self._hand_on_with_its_event(id, event)
        # what expired, or was delivered when nobody could be told
        self._done += [event for event in there - waiting if event in self._kept]

    def _put(self, rows: list[Waiting]) -> None:
        fields: list[str | bytes] = []
        for row in rows:
            self._kept[row.event_id] = self._own
            target = Target(row.endpoint, row.key, row.url, row.secret)
            value = b"\n".join((b"0", _head(row.event_id, row.type, target), row.frame))
            fields += [row.event_id, value]
        if fields:
            self._redis.command("HSET", self._events.keys.outbox_of(self._own), *fields)

    def _hand_on_with_its_event(self, id: int, event_id: str) -> None:
        """Of an event that the process before has not handed on."""
        found = EventId.parse(event_id)
        events = self._events
        if found is None or found.epoch != events.history.epoch:
            return
        if found.cursor > events.sent and found.cursor not in events.webhooks:
            for row in self._durable.outbox.run(Outbox.some, [id]):
                target = Target(row.endpoint, row.key, row.url, row.secret)
                events.webhooks[found.cursor] = _head(row.event_id, row.type, target)


def _head(event_id: str, kind: str, target: Target) -> bytes:
    """The event's id, and in another line who gets it."""
    rest = orjson.dumps([kind, target.endpoint, target.key, target.url, target.secret])
    return event_id.encode() + b"\n" + rest


def _kept(place: str, value: bytes) -> Kept:
    cursor, event_id, rest, frame = value.split(b"\n", 3)
    kind, endpoint, key, url, secret = orjson.loads(rest)
    return Kept(place, int(cursor), event_id.decode(), kind, Target(endpoint, key, url, secret), frame)
