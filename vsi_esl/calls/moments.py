"""What features may be told of: the moments in the life of a leg, a room and the service.

A feature subscribes in its `register`; the core tells, and knows none of them. Subscribers are called one
after the other, in the order of `vsi_esl.features`. A fault of one is logged and is not the others'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

import structlog
from gevent.event import AsyncResult

from ..model.leg import Leg
from ..model.room import Room
from ..switch.snapshot import Snapshot

if TYPE_CHECKING:
    from .context import Context
    from .nodes import Node

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Awaited(NamedTuple):
    """What the last event of a leg waits for, and for how long at most (seconds)."""

    result: AsyncResult[Any]
    limit: float


class Moment(Generic[P, T]):
    """One kind of moment. Calling it tells all who subscribed, and returns what they answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._subscribers: list[Callable[P, T]] = []

    def subscribe(self, subscriber: Callable[P, T]) -> None:
        """Have `subscriber` called at each such moment."""
        self._subscribers.append(subscriber)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        answers = []
        for subscriber in self._subscribers:
            try:
                answers.append(subscriber(*args, **kwargs))
            except Exception:
                log.exception("a feature failed", moment=self.name, feature=subscriber.__module__)
        return answers


class Moments:
    """The moments of one service.

    All but `dialling`, `room_deleting` and `adopt` are told from the reader of switch events: subscribers
    must not wait.
    """

    def __init__(self) -> None:
        self.restore: Moment[[Context], None] = Moment("restore")
        """At start, before the switch is there: take up what the process before has kept."""
        self.adopt: Moment[[Context, Node, Snapshot], Iterable[str]] = Moment("adopt")
        """After each connect to a switch, its legs are adopted: make what is on it what the switch says, and
        nothing else. Answers with the internal channels there that the feature goes on using; all others are
        ended."""
        self.lost: Moment[[Context, Node], None] = Moment("lost")
        """The connection to a switch is gone."""
        self.reload: Moment[[Context], None] = Moment("reload")
        """Settings that can change in a running service have changed."""
        self.stop: Moment[[Context], None] = Moment("stop")
        """The service stops: end what is under way in this process. The calls go on."""

        self.dialling: Moment[[Context, Leg], None] = Moment("dialling")
        """A leg is about to be dialled, as a client asked."""
        self.media_up: Moment[[Context, Leg], None] = Moment("media_up")
        """A leg has media, before its answer or with it."""
        self.entered: Moment[[Context, Leg], None] = Moment("entered")
        """The switch has a leg in a conference: its room's, or the one where it is alone."""
        self.joined: Moment[[Context, Room, Leg], None] = Moment("joined")
        """A leg came into a room."""
        self.left_conference: Moment[[Context, Leg, str], None] = Moment("left_conference")
        """The switch has a leg no more in a conference."""
        self.left: Moment[[Context, Room, Leg], None] = Moment("left")
        """A leg went out of a room."""
        self.digit: Moment[[Context, Leg, str], None] = Moment("digit")
        """A digit of a leg's peer was reported."""
        self.held: Moment[[Context, Leg], None] = Moment("held")
        """Hold of a leg began or ended, on either side."""
        self.whispered: Moment[[Context, Leg], None] = Moment("whispered")
        """A leg got a whisper, which only recordings begun after it can hear."""
        self.muted: Moment[[Context, Leg], None] = Moment("muted")
        """A leg was muted or unmuted."""
        self.rate_changed: Moment[[Context, Leg], None] = Moment("rate_changed")
        """A leg has agreed with its peer on a codec of another sample rate."""
        self.ended: Moment[[Context, Leg, str], Iterable[Awaited]] = Moment("ended")
        """A leg has ended and is found no more; it was in this room (or ""). Answers with what its last event
        is to wait for."""
        self.room_emptied: Moment[[Context, Room], None] = Moment("room_emptied")
        """The last leg went out of a room."""
        self.room_deleting: Moment[[Context, Room], None] = Moment("room_deleting")
        """A room is to be deleted, and is still as it was. May wait."""
        self.room_deleted: Moment[[Context, Room], None] = Moment("room_deleted")
        """A room goes; its event follows."""
        self.room_wanted: Moment[[Context, Room], bool] = Moment("room_wanted")
        """Whether a feature needs a room that has no legs."""
        self.channel_ended: Moment[[Context, str], None] = Moment("channel_ended")
        """A channel that is no leg has ended."""
