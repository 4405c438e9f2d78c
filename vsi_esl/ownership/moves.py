"""Units that are being taken or let go: each by a greenlet of its own, and no switch by two."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import gevent
import structlog

from ..cluster.connection import RedisUnavailable
from .units import Unit

log = structlog.get_logger(__name__)


class Moves:
    """Of one service; `changed` is told behind each."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._units: list[Unit] = []

    def __len__(self) -> int:
        return len(self._units)

    def has(self, unit: Unit) -> bool:
        """Whether a switch of it is being taken or let go."""
        return any(not set(unit).isdisjoint(one) for one in self._units)

    def beside(self, units: Iterable[Unit]) -> int:
        """How many have no switch of these."""
        switches = {switch for unit in units for switch in unit}
        return sum(switches.isdisjoint(one) for one in self._units)

    def begin(self, unit: Unit, work: Callable[..., None], *args: object) -> None:
        """Do `work(unit, *args)`."""
        self._units.append(unit)
        gevent.spawn(self._move, unit, work, args)

    def _move(self, unit: Unit, work: Callable[..., None], args: tuple[object, ...]) -> None:
        try:
            work(unit, *args)
        except RedisUnavailable as error:
            log.warning("switch neither taken nor handed over", switch=" ".join(unit), error=error.message)
        except Exception:
            log.exception("switch neither taken nor handed over", switch=" ".join(unit))
        finally:
            self._units.remove(unit)
            self._changed()
