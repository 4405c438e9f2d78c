"""The state of our switches on its way to Redis: in order for each row, and never waited for.

What changes is mostly told as well. Then it goes along with the events, in the step in which they are added
to the stream (`along`): who takes the switch of a service that was killed knows what clients were told, and
tells what they were not. What is not told goes by itself, a moment later, and not ahead of events that wait.

SQLite has all of it (`storage.state`), which is what waits while Redis is away: of each row the last change,
so that it is bounded by what there is. Each batch carries the fence of our turn, and is refused when the
switch is another service's by now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import gevent
import orjson
import structlog
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore

from .. import lasting
from ..storage.state import KEYS, StateStore
from .along import Along
from .connection import RedisConnection, RedisRefused, RedisUnavailable

log = structlog.get_logger(__name__)

GATHER_S = 0.02
"""How long changes are gathered before they are sent together."""
HOLDS = 50
"""How often changes are held for so long because events wait: those are seen to be too many, or stuck."""
RETRY_S = 0.2
BATCH = 200
"""Most changes in one script: meanwhile Redis does nothing else."""
MOST = 50_000
"""Changes of one switch that wait; with more all of its rows are sent, when Redis is back."""
READ_S = 10.0

Row: TypeAlias = "tuple[Any, ...]"
Key: TypeAlias = "tuple[str, Row]"
"""Table and key."""
EVERYTHING = "*"
FENCE = "#fence"


class Shipping:
    """Ships the rows that `place` finds a switch for, of the switches that are ours. `refused` is told of one
    that is another's.

    `shipped` counts rows, `batches` the scripts of its own, `turned_down` the batches that came too late.
    """

    def __init__(
        self,
        state: StateStore,
        redis: RedisConnection,
        place: Callable[[str, Row, Row], str],
        refused: Callable[[str], None],
    ) -> None:
        self._state, self._redis, self._place, self._refused = state, redis, place, refused
        self._fences: dict[str, int] = {}
        self._placed: dict[Key, str] = {}
        self._waiting: dict[str, dict[str, str]] = {}
        """By switch: field -> value, empty for one that is deleted."""
        self._whole: set[str] = set()
        """Switches of which Redis is to get all rows anew."""
        self._work, self._idle = Signal(), Signal()
        self._idle.set()
        self._server = ""
        self._sending: set[str] = set()
        self._turn = BoundedSemaphore(1)
        """Whoever sends rows has it: an older one must not come behind a newer one by another connection."""
        self.all_told: Callable[[], bool] = lambda: True
        """Whether all that was published is in the stream."""
        self._greenlet: gevent.Greenlet | None = None
        self.shipped = self.batches = self.turned_down = 0
        for table, key, row in state.everything():
            self._find(table, key, row)
        state.follow(self.changed)

    def __len__(self) -> int:
        """Rows that wait."""
        return sum(map(len, self._waiting.values()))

    def start(self) -> None:
        """Begin to ship."""
        self._greenlet = lasting.keep(self._run, again=self._work.set)

    def stop(self, limit: float) -> bool:
        """Ship what waits, for so many seconds at most; whether all of it was."""
        done = self.flush(limit)
        if self._greenlet is not None:
            self._greenlet.kill()
        self._state.follow(lambda *_: None)
        return done

    def flush(self, limit: float) -> bool:
        """Wait until nothing waits, for so many seconds at most."""
        return bool(self._idle.wait(limit)) if self._redis.available else not len(self)

    def all_sent(self, switch: str) -> bool:
        """Whether nothing of this switch waits, or is on its way."""
        return not any(switch in those for those in (self._waiting, self._whole, self._sending))

    def flush_one(self, switch: str, limit: float) -> bool:
        """Wait until that is so, whatever comes of other switches meanwhile; for so many seconds at most, and
        not for a Redis that is away."""
        deadline = time.monotonic() + limit
        while not self.all_sent(switch) and self._redis.available and time.monotonic() < deadline:
            gevent.sleep(GATHER_S / 4)
        return self.all_sent(switch)

    # -- whose rows are whose -----------------------------------------------------------------------------

    def own(self, switch: str, fence: int, *, whole: bool) -> None:
        """The switch is ours: ship its rows from now on, with `whole` all that there are."""
        self._fences[switch] = fence
        if whole:
            self._whole.add(switch)
            self._wake()

    def disown(self, switch: str) -> None:
        """It is not ours any more: what waits is not to be shipped."""
        self._fences.pop(switch, None)
        self._waiting.pop(switch, None)
        self._whole.discard(switch)

    def owns(self, switch: str) -> bool:
        """Whether it is ours."""
        return switch in self._fences

    def keys_of(self, switch: str) -> list[Key]:
        """What we have of a switch."""
        return [key for key, of in self._placed.items() if of == switch]

    def place_of(self, key: Key) -> str:
        """The switch that a row of ours is about; empty for none, or a row that we do not have."""
        return self._placed.get(key, "")

    def read(self, switch: str) -> tuple[int, dict[Key, Row]]:
        """What Redis has of a switch: the fence of who wrote it, 0 for nobody, and the rows. Raises
        RedisUnavailable."""
        found: Mapping[Any, bytes] = self._redis.command(
            "HGETALL", self._redis.key("state", switch), timeout=READ_S
        )
        rows: dict[Key, Row] = {}
        fence = 0
        for field, value in found.items():
            name = field.decode()
            if name == FENCE:
                fence = int(value)
                continue
            try:
                table, row = name.partition("|")[0], tuple(orjson.loads(value))
                rows[table, row[: len(KEYS[table])]] = row
            except (ValueError, TypeError, LookupError):
                log.error("a row of another service cannot be read", switch=switch, table=name[:20])
        return fence, rows

    def adopted(self, switch: str, keys: Iterable[Key]) -> None:
        """These rows, which were put into the state without our being told, are of this switch."""
        for key in keys:
            self._placed[key] = switch

    def forgotten(self, keys: Iterable[Key]) -> None:
        """These have gone from the state."""
        for key in keys:
            self._placed.pop(key, None)

    # -- changes -------------------------------------------------------------------------------------------

    def changed(self, table: str, key: Row, row: Row | None) -> None:
        """A row of the state has changed, or is gone (None)."""
        known = self._placed.get((table, key), "")
        if row is None:
            self._placed.pop((table, key), None)
            self._put(known, table, key, None)
            return
        now = self._find(table, key, row)
        if known and known != now:
            self._put(known, table, key, None)
        self._put(now, table, key, row)

    def _find(self, table: str, key: Row, row: Row) -> str:
        known = self._placed.get((table, key), "")
        switch = self._place(table, key, row) or known
        if switch:
            self._placed[table, key] = switch
        return switch

    def _put(self, switch: str, table: str, key: Row, row: Row | None) -> None:
        if switch not in self._fences:
            return
        waiting = self._waiting.setdefault(switch, {})
        field = "|".join((table, *map(str, key)))
        waiting.pop(field, None)
        waiting[field] = "" if row is None else orjson.dumps(row).decode()
        if len(waiting) > MOST:
            self._whole.add(switch)
            del self._waiting[switch]
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    # -- shipping ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._work.wait()
            gevent.sleep(GATHER_S)
            self._hold()
            self._work.clear()
            try:
                with self._turn:
                    try:
                        self._ship()
                    finally:
                        self._sending = set()
            except RedisUnavailable:
                self._work.set()
                gevent.sleep(RETRY_S)
            except Exception:
                log.exception("state not shipped to Redis")
                self._work.set()
                gevent.sleep(RETRY_S)
            if not (self._waiting or self._whole):
                self._idle.set()

    def _hold(self) -> None:
        """Let events go first that wait: known before they are told, they would never be if we died then."""
        for _ in range(HOLDS):
            if self.all_told() or not self._redis.available:
                break
            gevent.sleep(GATHER_S)

    @contextmanager
    def along(self) -> Iterator[Along]:
        """What waits, for who adds to the stream what was told of it. Nothing while more waits than goes in
        one script, or something is on its way; and what was not sent waits on."""
        if self._whole or not 0 < len(self) <= BATCH or not self._turn.acquire(blocking=False):
            yield Along()
            return
        taken, self._waiting = self._waiting, {}
        rows = Along({switch: (self._fences[switch], changes) for switch, changes in taken.items()})
        self._sending = set(taken)
        try:
            yield rows
        finally:
            self._sending = set()
            self._turn.release()
            if rows.turned_down is None:
                self._keep(taken)
            else:
                self.shipped += sum(map(len, taken.values()))
                for switch in rows.turned_down:
                    self.shipped -= len(taken[switch])
                    self._give_up(switch)

    def _keep(self, changes: Mapping[str, dict[str, str]]) -> None:
        """What was not sent waits on, but for what has changed since."""
        for switch, fields in changes.items():
            if switch in self._fences:
                self._waiting[switch] = fields | self._waiting.get(switch, {})
        self._wake()

    def _give_up(self, switch: str) -> None:
        """Redis knows a later turn at it."""
        self.turned_down += 1
        self.disown(switch)
        self._refused(switch)

    def check_server(self) -> None:
        """Redis is there (again). Another server may lack what the one before had not passed on yet."""
        if self._server and self._redis.server != self._server:
            self._whole |= self._fences.keys()
            self._wake()
        self._server = self._redis.server

    def _ship(self) -> None:
        for switch in list(self._whole):
            self._whole.discard(switch)
            self._waiting.pop(switch, None)
            self._sending = {switch}
            try:
                self._ship_whole(switch)
            except BaseException:  # whatever it is, nothing is lost of it
                if switch in self._fences:
                    self._whole.add(switch)
                raise
        for switch in list(self._waiting):
            changes = self._waiting.pop(switch, {})
            self._sending = {switch}
            while changes:
                some = dict(list(changes.items())[:BATCH])
                try:
                    kept = self._send(switch, some)
                except BaseException:
                    self._keep({switch: changes})
                    raise
                if not kept:
                    break
                changes = {field: value for field, value in changes.items() if field not in some}

    def _ship_whole(self, switch: str) -> None:
        keys = set(self.keys_of(switch))
        rows = [(t, k, row) for t, k, row in self._state.everything() if (t, k) in keys]
        fields = {"|".join((t, *map(str, k))): orjson.dumps(row).decode() for t, k, row in rows}
        items = list(fields.items())
        first = {EVERYTHING: EVERYTHING, **dict(items[:BATCH])}
        if not self._send(switch, first):
            return
        for start in range(BATCH, len(items), BATCH):
            # what changed meanwhile waits, and is sent behind it
            if not self._send(switch, dict(items[start : start + BATCH])):
                return

    def _send(self, switch: str, changes: Mapping[str, str]) -> bool:
        fence = self._fences.get(switch)
        if fence is None:
            return False
        key = self._redis.key
        words = [word for pair in changes.items() for word in pair]
        self.batches += 1
        try:
            kept = self._redis.run(
                "write state",
                [key("state", switch), key("fence", switch), key("where")],
                [fence, switch, *words],
            )
        except RedisRefused:
            return False  # logged; a row that Redis does not take must not hold up the others
        if not kept:
            self._give_up(switch)
            return False
        self.shipped += len(changes)
        return True
