"""The tethers of a service: which there are, which are being made, and how that went.

A tether is a call between two switches of the service that carries a leg of the one into a room of the other
(`model.channel.Tether`), or connects two rooms. How they are made and ended is in `tethering`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..model.channel import Tether
from ..model.leg import Leg
from ..ops.series import Spread
from ..work import clock

Pair = tuple[str, str]
"""The names of two switches: of the leg's, and of the room's."""

SETUP_BOUNDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""In seconds; two switches on one machine that has little to do take 0.13."""


def new_id() -> str:
    """The channel id of both ends of a call."""
    return f"te-{secrets.token_hex(6)}"


def address_of(tether: str) -> str:
    """The IP address in the `tether` of a switch's settings."""
    return tether.rpartition(":")[0].strip("[]")


@dataclass(slots=True)
class Expected:
    """A call that is on its way to a switch, which lets it in by its token."""

    id: str
    node: str
    """The name of that switch."""
    source: str
    """The IP address that it has to come from."""
    until: float
    entry: Callable[[], Sequence[str]]
    """The commands that put it where it is to be, made when it is there."""


@dataclass(slots=True)
class Coming:
    """A leg's tether that is being made."""

    leg: Leg
    tether: Tether
    speak: bool = True
    """As its member came into the room."""
    hear: bool = True


@dataclass(slots=True)
class Half:
    """The end of a tether in a room, found after a restart of the service before its leg was."""

    node: str
    conference: str
    member_id: str
    speak: bool
    hear: bool
    rate: int
    of: str = ""
    """The name of the leg's switch."""


@dataclass(slots=True)
class Mending:
    """A tether that ended by itself, and is being made anew."""

    room_id: str
    until: float
    tries: int = 0


@dataclass(slots=True)
class Tethers:
    """All of a service."""

    legs: dict[str, Leg] = field(default_factory=dict)
    """Of those that are up, by their id."""
    coming: dict[str, Coming] = field(default_factory=dict)
    """Of those that are being made, by their id."""
    mending: dict[str, Mending] = field(default_factory=dict)
    """By the leg's id."""
    halves: dict[str, Half] = field(default_factory=dict)
    """By the tether's id."""
    between_rooms: dict[str, Pair] = field(default_factory=dict)
    """Of the calls that connect rooms, by their id."""
    made: Counter[Pair] = field(default_factory=Counter)
    failed: Counter[Pair] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Calls that came to a switch's profile for tethers and were none, by its name."""
    seconds: dict[Pair, Spread] = field(default_factory=dict)
    """From the beginning until a leg is heard in the room."""
    _expected: dict[str, Expected] = field(default_factory=dict)

    def expect(self, call: Expected) -> str:
        """The token by which this call is let in: once, and until its time is over."""
        now = clock.now()
        self._expected = {key: one for key, one in self._expected.items() if one.until > now}
        token = secrets.token_hex(16)
        self._expected[token] = call
        return token

    def take(self, token: str, id: str, node: str, source: str) -> Expected | None:
        """The call of this token, if it is that: its id, its switch and where it comes from. The token is
        spent, whatever is asked with it."""
        call = self._expected.pop(token, None)
        if call is None or clock.now() >= call.until:
            return None
        return call if (call.id, call.node, call.source) == (id, node, source) else None

    def forget(self, id: str) -> None:
        """Let a call in no more."""
        self._expected = {key: one for key, one in self._expected.items() if one.id != id}

    def on(self, node: str) -> int:
        """How many legs of other switches are in rooms of this one."""
        return sum(leg.tether is not None and leg.tether.node == node for leg in self.legs.values())

    def series(self) -> Iterator[Metric]:
        """What /metrics shows of them."""
        labels = ["from_switch", "to_switch"]
        up = Counter((leg.node, leg.tether.node) for leg in self.legs.values() if leg.tether is not None)
        up.update(self.between_rooms.values())
        known = {*up, *self.made, *self.failed}
        there = GaugeMetricFamily("vsi_esl_tethers", "Calls between switches that are up.", labels=labels)
        made = CounterMetricFamily("vsi_esl_tethers_made", "Calls between switches made.", labels=labels)
        failed = CounterMetricFamily(
            "vsi_esl_tethers_failed", "Calls between switches that could not be made.", labels=labels
        )
        for pair in sorted(known):
            there.add_metric(pair, up[pair])
            made.add_metric(pair, self.made[pair])
            failed.add_metric(pair, self.failed[pair])
        took = HistogramMetricFamily(
            "vsi_esl_tether_setup_seconds", "From the beginning until it carries sound.", labels=labels
        )
        for pair, spread in self.seconds.items():
            spread.add_to(took, *pair)
        refused = CounterMetricFamily(
            "vsi_esl_tethers_refused", "Calls to the profile for tethers that were none.", labels=["switch"]
        )
        for name, count in self.refused.items():
            refused.add_metric([name], count)
        yield from (there, made, failed, took, refused)

    def took(self, pair: Pair, seconds: float) -> None:
        """One was made in so many seconds."""
        self.made[pair] += 1
        self.seconds.setdefault(pair, Spread(SETUP_BOUNDS)).observe(seconds)
