"""One live session: a media worker on one side and what the switch does for it on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult, Event

from ..calls.nodes import Node
from ..media.messages import Closed, Opened, Tell
from .attaching import Ways
from .plan import End, Plan
from .pool import Worker

if TYPE_CHECKING:
    from .sessions import Sessions

OWNER, SWITCH, WORKER, REFUSED, CLOSED = "owner", "switch", "worker", "refused", "closed"
"""Why one is over."""


class Session:
    """One that has not ended."""

    def __init__(
        self, sessions: Sessions, id: str, *, plan: Plan, node: Node, ways: Ways, worker: Worker
    ) -> None:
        self.id = id
        self.plan = plan
        self.node = node
        """The switch that its leg or room is on."""
        self.ways = ways
        self.worker = worker
        self.opened: AsyncResult[Opened | None] = AsyncResult()
        self.attached = Event()
        """Its first audio has come."""
        self.done: AsyncResult[End] = AsyncResult()
        self.over = False
        """It is to end, or has ended."""
        self.reason = ""
        """Why, when it is not the worker that says it."""
        self.closed: Closed | None = None
        """The worker's last word, when the end of the leg is still to be heard."""
        self.deadline: gevent.Greenlet | None = None
        self.attaching = True
        self.stale = False
        """To be attached anew: the rate of its leg has changed, or the connection was lost, meanwhile."""
        self.renewals = 0
        self.again = 0
        """How many of them since the last change of its leg's rate because the audio did not stay."""
        self.renewed_at = 0.0
        """By the monotonic clock."""
        self._sessions = sessions

    def tell(self, what: str, value: Any = None) -> None:
        """Something for its task. Does not fail; lost when the session is over."""
        if not self.done.ready():
            self.worker.send(Tell(session=self.id, what=what, value=value))

    def hand_over(self, descriptor: int, read: bytes) -> None:
        """Give its task a connection, which has a descriptor of its own then, and what has been read of it
        already. May wait; OSError when it cannot be done."""
        self.worker.hand_over(self.id, descriptor, read)

    def close(self, grace_s: float = 0.0) -> None:
        """End it: the switch stops at once to hear it or to bring it audio, the task may take `grace_s` for
        what is on its way. Returns at once; `on_closed` follows. Does not fail, and may be repeated."""
        self._sessions.end(self, CLOSED, grace_s)

    def up(self, channel: str) -> bool:
        """Whether an internal channel of it has been made and is to be there."""
        return any(one.up for one in self.ways.attachments if one.channel == channel)

    @property
    def untouched(self) -> bool:
        """It is over, and the switch was asked for nothing of it, and will not be."""
        return self.over and not any(one.asked for one in self.ways.attachments)

    @property
    def channels(self) -> list[str]:
        """Internal channels of it that are there, or may be."""
        return [one.channel for one in self.ways.attachments if one.channel]

    def ended_by(self, message: Closed) -> End:
        """How it ended, by the worker's last word."""
        return End(
            reason=self.reason or message.reason,
            error=message.error,
            category=message.category,
            figures=message.figures,
        )
