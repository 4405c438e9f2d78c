"""What everybody who took part in a run has noted, and what can be asked of it.

A note is one JSON object: `t` (seconds of the clock that only goes forward, which all processes of a machine
share), `who` noted it, `what` it is, and what belongs to that:

| who | what | |
|---|---|---|
| a client | `connected`, `lost`, `dropped` (`count`) | of its connection |
| | `event` (`event`) | as it came |
| | `asked` (`number`, `command`, `payload`), `answered` (`number`, `ok`, `data`) | a command |
| `hook` | `event` (`event`) | a webhook that got its whole answer |
| a switch | `up`, `gone` | its process |
| | `channel` (`name`, `uuid`, `channel`, `direction`) | an event of its own |
| | `there` (`channels`) | what is left when everything is over |
| | `command` (`of`, `line`) | what a service, by its address, had it do; not what was only asked |
| | `shown` (`number`, `service`) | the fence, when it was another than before |
| `director` | `fault`, `healed` (`fault`, `on`) | what was done to them |
| | `calm`, `disturbed` | nothing is wrong, and everybody knows; or not |
| | `place` (`of`, `address`) | where a service is that is one of several |
| | `cdr` (`record`), `file` (`path`, `bytes`), `left` (`legs`, `rooms`), `sample` | found |
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Note = dict[str, Any]
Event = dict[str, Any]
CONTESTED_S = 8.0
"""How long it can take, from a lease that runs out to a switch whose calls the next owner knows."""
SAID_S = 1.0
"""What a switch that stood still had said comes this soon when it goes on."""
UNSHIPPED_S = 0.1
"""What was answered is told and known to others some ms behind that, on a machine that has time."""
LEG, TETHER = "sofia/", "sofia/vsi_tether/"
"""How the names of the channels begin that are calls, but for those between switches; all others are the
service's own devices."""


@dataclass(slots=True)
class Channel:
    """A call on a switch, as the switch told it. Times of the run; None for what has not been."""

    uuid: str
    switch: str
    created: float
    direction: str
    name: str
    answered: float | None = None
    ended: float | None = None
    fell: bool = False
    """It ended with its switch."""


@dataclass
class History:
    """All notes of a run, in the order of time."""

    notes: list[Note]
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.notes.sort(key=lambda note: note["t"])
        self.began = self.notes[0]["t"] if self.notes else 0.0

    @classmethod
    def read(cls, path: Path) -> History:
        """From a file with a note in each line."""
        with path.open() as file:
            return cls([json.loads(line) for line in file])

    def of(self, what: str, who: str = "") -> Iterator[Note]:
        """The notes of a kind."""
        return (note for note in self.notes if note["what"] == what and who in ("", note["who"]))

    def events(self, who: str) -> list[tuple[float, Event]]:
        """What somebody was told, in the order in which it came, each once."""
        seen: set[str] = set()
        told = []
        for note in self.of("event", who):
            event = note["event"]
            if event["event_id"] not in seen:
                seen.add(event["event_id"])
                told.append((note["t"], event))
        return told

    @cached_property
    def clients(self) -> list[str]:
        """Those that were told things, webhooks aside."""
        return sorted({note["who"] for note in self.of("connected")})

    @cached_property
    def legs(self) -> set[str]:
        """Those that a client was told of."""
        told = (event.get("leg_id") for who in self.clients for _, event in self.events(who))
        return {leg for leg in told if leg}

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """The calls that the switches had, by their ids."""
        found: dict[str, Channel] = {}
        for note in self.notes:
            if note["what"] == "channel" and is_leg(note["channel"]):
                uuid = note["uuid"]
                one = found.setdefault(
                    uuid, Channel(uuid, note["who"], note["t"], note["direction"], note["channel"])
                )
                if note["name"] == "CHANNEL_ANSWER":
                    one.answered = note["t"]
                elif note["name"] == "CHANNEL_HANGUP_COMPLETE" and one.ended is None:
                    one.ended = note["t"]
            elif note["what"] == "gone":
                for one in found.values():
                    if one.switch == note["who"] and one.ended is None:
                        one.ended, one.fell = note["t"], True
        return found

    @cached_property
    def contested(self) -> list[tuple[str, float, float]]:
        """Switches that another service took while who had them was cut off from Redis, alone: from when it
        was until the other knows all calls. What the first one told meanwhile only its own clients have, and
        how these calls ended the other one tells once more (docs/services.md, What Redis cannot promise)."""
        found, owners = [], dict[str, tuple[str, int]]()
        cut: dict[frozenset[str], tuple[float, float]] = {}
        for note in self.notes:
            if note["what"] == "fault" and len(note.get("on", ())) == 2:
                cut[frozenset(note["on"])] = note["t"], float("inf")
            elif note["what"] == "healed" and frozenset(note.get("on", ())) in cut:
                cut[frozenset(note["on"])] = cut[frozenset(note["on"])][0], note["t"]
            elif note["what"] == "shown":
                switch, (before, number) = note["who"], owners.get(note["who"], ("", 0))
                if note["number"] <= number:
                    continue
                owners[switch] = note["service"], note["number"]
                since, until = cut.get(frozenset((before, "redis")), (0.0, -CONTESTED_S))
                # also when another one had the lease in between, and never showed it
                another = before != note["service"] or note["number"] > number + 1
                if before and another and note["t"] < until + CONTESTED_S:
                    found.append((switch, since, note["t"] + CONTESTED_S))
        return found

    @cached_property
    def unshipped(self) -> set[str]:
        """Legs that began in the moment before a service was killed or stood still: that `create_leg` was
        answered may be known to nobody else (docs/services.md). What was told of them is. The call of one
        that was being dialled appears behind that."""
        moments = [
            note["t"]
            for note in self.of("fault")
            if note["fault"].startswith(("kill service", "stop service"))
        ]
        return {
            one.uuid
            for one in self.channels.values()
            if any(abs(at - one.created) < UNSHIPPED_S for at in moments)
        }

    def over(self, channel: Channel) -> float:
        """When its call was over, at the earliest. Who watches a switch that was made to stand still may hear
        the last that it said when it goes on only, and a service have heard it before."""
        if channel.ended is None:
            return float("inf")
        began = channel.ended
        still, since = f"stop {channel.switch} ", 0.0
        for note in self.notes:
            if not note.get("fault", "").startswith(still):
                continue
            if note["what"] == "fault":
                since = note["t"]
            elif abs(note["t"] - channel.ended) < SAID_S:
                began = since
        return began

    @cached_property
    def calm(self) -> list[tuple[float, float]]:
        """When nothing was wrong."""
        spans, since = [], None
        for note in self.notes:
            if note["what"] == "calm" and since is None:
                since = note["t"]
            elif note["what"] == "disturbed" and since is not None:
                spans.append((since, note["t"]))
                since = None
        if since is not None:
            spans.append((since, self.notes[-1]["t"]))
        return spans

    def calm_within(self, first: float, last: float) -> float:
        """Seconds of the longest calm between two moments."""
        return max((min(last, end) - max(first, start) for start, end in self.calm), default=0.0)


def is_leg(channel: str) -> bool:
    """Whether a channel of this name is a call."""
    return channel.startswith(LEG) and not channel.startswith(TETHER)


def by_leg(told: Iterable[tuple[float, Event]]) -> dict[str, list[tuple[float, Event]]]:
    """Leg -> what was told of it."""
    found: dict[str, list[tuple[float, Event]]] = defaultdict(list)
    for t, event in told:
        if leg := event.get("leg_id"):
            found[leg].append((t, event))
    return found
