"""Events that come while it is not sure that the switch is ours: nobody is told of them before it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import structlog

from ..errors import SwitchUnavailable
from .esl.client import EslClient

log = structlog.get_logger(__name__)

Event = dict[str, Any]


class Unsure:
    """Holds them back, and the reader of their connection with them. Then they are taken in order; or,
    when the switch is another service's or cannot be asked, dropped, and the connection is `lost`: the next
    connect has the calls looked at, if there is one.

    `confirm` raises SwitchUnavailable; it may wait. `go_on` has the connection read on.
    """

    def __init__(
        self,
        confirm: Callable[[], None],
        take: Callable[[Event], None],
        lost: Callable[[str], None],
        go_on: Callable[[EslClient], None],
    ) -> None:
        self._confirm, self._take, self._lost, self._go_on = confirm, take, lost, go_on
        self._held: list[Event] = []

    def __bool__(self) -> bool:
        """Whether events wait: those that follow wait behind them."""
        return bool(self._held)

    def hold(self, event: Event, events: EslClient | None) -> None:
        """Have it wait; `events` is the connection that it came by, and None for one that is gone: whoever
        waited for that would wait for good, and all that comes later behind it."""
        if events is None:
            return
        self._held.append(event)
        if len(self._held) == 1:
            events.pause()
            gevent.spawn(self._ask, events)

    def drop(self) -> None:
        """Forget them: the connection is gone."""
        self._held.clear()

    def _ask(self, events: EslClient) -> None:
        try:
            self._confirm()
        except SwitchUnavailable as error:
            self.drop()
            self._lost(error.message)
            return
        except Exception as error:  # they must not be held for good
            log.exception("not known whose the switch is")
            self.drop()
            self._lost(f"not known whose the switch is: {type(error).__name__}")
            return
        held, self._held = self._held, []
        for event in held:
            try:
                self._take(event)
            except Exception:
                # as where they are read: one that cannot be handled must not cost all that follow
                log.exception("event handler failed")
        self._go_on(events)
