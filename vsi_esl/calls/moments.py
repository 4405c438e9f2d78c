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
    instead_of: str = ""
    """Only for a leg that ended for this reason: the result is another reason, or empty, which takes its
    place."""


class Signal(NamedTuple):
    """A header of a SIP message that the switch received within a leg's dialog, as it was on the wire."""

    message: str
    """The first line of the message: of a request, or of a response."""
    header: str
    value: str
    bonded: bool
    """The leg had its partner (`switch.bond`) then: a REFER waits for our answer."""


class Moment(Generic[P, T]):
    """One kind of moment. Calling it tells all who subscribed, and returns what they answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._subscribers: list[Callable[P, T]] = []

    def __len__(self) -> int:
        """How many have subscribed; of fewer answers some have failed."""
        return len(self._subscribers)

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

    All but `dialling`, `answering`, `room_deleting` and `adopt` are told from the reader of switch events:
    subscribers must not wait.
    """

    def __init__(self) -> None:  # noqa: PLR0915  (one for each moment)
        self.restore: Moment[[Context], None] = Moment("restore")
        """At start, before the switch is there: take up what the process before has kept."""
        self.adopt: Moment[[Context, Node, Snapshot], Iterable[str]] = Moment("adopt")
        """After each connect to a switch, its legs are adopted: make what is on it what the switch says, and
        nothing else. Answers with the internal channels there that the feature goes on using; all others are
        ended, if every feature has answered."""
        self.lost: Moment[[Context, Node], None] = Moment("lost")
        """The connection to a switch is gone."""
        self.taken: Moment[[Context, Node], None] = Moment("taken")
        """The switch is this service's from now on, and not connected yet. May wait."""
        self.leaving: Moment[[Context, Node], None] = Moment("leaving")
        """The switch is handed over to another service, and not connected any more: what is kept until it is
        done, and is done beside the switch, is to be done now, or left to the other. May wait, for a second
        or two."""
        self.released: Moment[[Context, Node], None] = Moment("released")
        """The switch is another service's from now on: forget what is on it, without a word to clients or to
        the switch. Its legs and rooms are still there, and go next."""
        self.bound: Moment[[Context, Node], int] = Moment("bound")
        """How much there is on a switch that ends when another service has it: what is connected to this
        process."""
        self.between: Moment[[Context], Iterable[tuple[str, str]]] = Moment("between")
        """The switches, in pairs, that one service has to have for what the feature does."""
        self.host_back: Moment[[Context, Node], None] = Moment("host_back")
        """The companion of a switch is there, at first or again. May wait."""
        self.reload: Moment[[Context], None] = Moment("reload")
        """Settings that can change in a running service have changed."""
        self.stop: Moment[[Context], None] = Moment("stop")
        """The service stops: end what is under way in this process. The calls go on."""

        self.dialling: Moment[[Context, Leg], None] = Moment("dialling")
        """A leg is about to be dialled, as a client asked."""
        self.answering: Moment[[Context, Leg], None] = Moment("answering")
        """An inbound leg is about to be answered. May wait."""
        self.media_up: Moment[[Context, Leg], None] = Moment("media_up")
        """A leg has media, before its answer or with it."""
        self.secured: Moment[[Context, str], None] = Moment("secured")
        """The DTLS handshake of a channel is over: its media flows from now on. May be told twice."""
        self.entered: Moment[[Context, Leg], None] = Moment("entered")
        """The switch has a leg in a conference: its room's, or the one where it is alone."""
        self.joined: Moment[[Context, Room, Leg], None] = Moment("joined")
        """A leg came into a room."""
        self.left_conference: Moment[[Context, Leg, str], None] = Moment("left_conference")
        """The switch has a leg no more in a conference."""
        self.left: Moment[[Context, Room, Leg], None] = Moment("left")
        """A leg went out of a room."""
        self.unseated: Moment[[Context, Room, Leg], None] = Moment("unseated")
        """A leg that stays in its room has lost its member there, and is to get another."""
        self.reseated: Moment[[Context, Room, Leg], None] = Moment("reseated")
        """It has got it."""
        self.digit: Moment[[Context, Leg, str], None] = Moment("digit")
        """A digit of a leg's peer was reported."""
        self.text_for: Moment[[Context, Leg, str], bool] = Moment("text_for")
        """A text is for a leg's peer; true when the feature that has the peer has taken it."""
        self.held: Moment[[Context, Leg], None] = Moment("held")
        """Hold of a leg began or ended, on either side."""
        self.whispered: Moment[[Context, Leg], None] = Moment("whispered")
        """A leg got a whisper, which only recordings begun after it can hear."""
        self.muted: Moment[[Context, Leg], None] = Moment("muted")
        """A leg was muted or unmuted."""
        self.signalled: Moment[[Context, Leg, Signal], None] = Moment("signalled")
        """The peer of a leg sent a SIP message within the call. Once for each of its headers that the switch
        watches (Refer-To, CSeq, Subscription-State), before the switch does what it says."""
        self.rate_changed: Moment[[Context, Leg], None] = Moment("rate_changed")
        """A leg has agreed with its peer on a codec of another sample rate."""
        self.ended: Moment[[Context, Leg, str], Iterable[Awaited]] = Moment("ended")
        """A leg has ended and is found no more; it was in this room (or ""). Answers with what its last event
        is to wait for."""
        self.room_emptied: Moment[[Context, Room], None] = Moment("room_emptied")
        """The last leg went out of a room."""
        self.room_deleting: Moment[[Context, Room], None] = Moment("room_deleting")
        """A room is being deleted: nothing begins in it any more, all else is still as it was. May wait."""
        self.room_deleted: Moment[[Context, Room], None] = Moment("room_deleted")
        """A room goes; its event follows."""
        self.room_wanted: Moment[[Context, Room], bool] = Moment("room_wanted")
        """Whether a feature needs a room that has no legs."""
        self.channel_ended: Moment[[Context, str], None] = Moment("channel_ended")
        """A channel that is no leg has ended."""
