"""Whether what clients and webhooks were told is what happened on the switches.

Each rule is a function from a history to problems. A rule that is broken by the machine's load alone is no
rule: what has to happen is asked for at the end, what must not happen at any time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .history import Channel, Event, History, by_leg
from .story import story

KNOWN_AFTER_S = 3.0
"""A call that has been there for so long while nothing was wrong is a leg."""
LATE_S = 20.0
"""The end of a call is told within so much time without trouble."""
AHEAD_S = 2.0
"""How far the notes of one process may be ahead of another's."""
HEADER_BYTES = 44
"""A WAV file with nothing in it."""
SHORT_S = 2.0
"""Of a shorter recording nothing need have been written: the switch was killed, or its leg said nothing."""
ENDS = ("leg.disconnected",)
AFTER_THE_END = ("recording.finished",)
"""A recording's file is published when the call is over."""
ONCE = ("leg.ringing", "leg.connected", "leg.disconnected")
PAIRS = {
    "leg.joined_room": ("leg.left_room", ("leg_id",)),
    "leg.hold": ("leg.unhold", ("leg_id",)),
    "room.created": ("room.deleted", ("room_id",)),
    "recording.started": ("recording.finished", ("leg_id", "room_id")),
}
"""What begins -> what ends it, and the members that say of what; each after the other, by turns."""
MAY_STAY = ("leg.hold",)
"""What has no end of its own when its leg ends."""
SOUND_ENDS = ("playback.finished", "playback.error")


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that is broken, and by what. `subject` is whose story explains it."""

    rule: str
    subject: str
    text: str


Rule = Callable[[History], Iterator[Problem]]


def listeners(history: History) -> list[str]:
    """Everybody who was told events."""
    return [*history.clients, *({"hook"} & {note["who"] for note in history.of("event")})]


def begun_and_ended(history: History) -> Iterator[Problem]:
    """Each leg begins once and ends once, for everybody who was told of it."""
    for who in listeners(history):
        for leg, told in by_leg(history.events(who)).items():
            kinds = Counter(event["type"] for _, event in told)
            for kind in ONCE:
                if kinds[kind] > 1:
                    ids = [event["event_id"] for _, event in told if event["type"] == kind]
                    yield Problem("told twice", leg, f"{who}: {kind} with ids {', '.join(ids)}")
            if not kinds["leg.ringing"]:
                yield Problem("never begun", leg, f"{who}: {told[0][1]['type']} and no leg.ringing")
            if not kinds["leg.disconnected"]:
                yield Problem("never ended", leg, f"{who}: no leg.disconnected")


def in_order(history: History) -> Iterator[Problem]:
    """Nothing before the beginning of a leg, nothing behind its end."""
    asked = _removals(history)
    for who in listeners(history):
        for leg, told in by_leg(history.events(who)).items():
            kinds = [event["type"] for _, event in told]
            if "leg.ringing" in kinds[1:] and kinds[0] != "leg.ringing":
                yield Problem("before the beginning", leg, f"{who}: {kinds[0]} before leg.ringing")
            if "leg.disconnected" in kinds:
                behind = told[kinds.index("leg.disconnected") + 1 :]
                extra = [
                    event["type"]
                    for _, event in behind
                    if event["type"] not in (*AFTER_THE_END, *ENDS) and not _asked_for(asked, event)
                ]
                if extra:
                    yield Problem("after the end", leg, f"{who}: {', '.join(extra)} after leg.disconnected")
            if "leg.connected" in kinds and "leg.early_media" in kinds[kinds.index("leg.connected") :]:
                yield Problem("out of order", leg, f"{who}: leg.early_media after leg.connected")


def by_turns(history: History) -> Iterator[Problem]:
    """Who joins a room leaves it before he joins another, and so on."""
    asked = _removals(history)
    pairs = _pairs(history)
    for who in listeners(history):
        is_open: dict[tuple[str, str], Event] = {}
        for _, event in history.events(who):
            for begins, (ends, members) in pairs.items():
                if event["type"] not in (begins, ends):
                    continue
                subject = _of(event, members) or _recorded(is_open, event)
                before = is_open.get((begins, subject))
                if event["type"] == begins:
                    if before is not None:
                        yield Problem("not by turns", subject, f"{who}: {begins} again without {ends}")
                    is_open[begins, subject] = event
                elif _asked_for(asked, event) and (before or {}).get("room_id") != event.get("room_id"):
                    continue  # out of a room that it has left, perhaps for another
                elif before is None:
                    yield Problem("not by turns", subject, f"{who}: {ends} without {begins}")
                else:
                    del is_open[begins, subject]
                    where = (before.get("room_id"), event.get("room_id"))
                    if begins == "leg.joined_room" and where[0] != where[1]:
                        yield Problem("not by turns", subject, f"{who}: joined {where[0]}, left {where[1]}")
        for (begins, subject), _ in is_open.items():
            if begins not in MAY_STAY:
                yield Problem("never over", subject, f"{who}: {begins} without {PAIRS[begins][0]}")


def _pairs(history: History) -> dict[str, tuple[str, tuple[str, ...]]]:
    pairs: dict[str, tuple[str, tuple[str, ...]]] = dict(PAIRS)
    if list(history.of("several")):  # without Redis two of them may make a room of one name, each its own
        del pairs["room.created"]
        pairs["recording.started"] = ("recording.finished", ("leg_id", "file"))
    return pairs


def _of(event: Event, members: Sequence[str]) -> str:
    return next((str(event[name]) for name in members if event.get(name)), "")


def _recorded(is_open: dict[tuple[str, str], Event], event: Event) -> str:
    """Of a recording that has no file in the end: the first one that is open in its room."""
    found = (
        key
        for (_, key), one in is_open.items()
        if one["type"] == "recording.started" and one.get("room_id") == event.get("room_id")
    )
    return next(found, "")


def _removals(history: History) -> set[tuple[str, str]]:
    """The legs that were asked out of a room. Of one that is not in it leg.left_room is told all the same."""
    return {
        (note["payload"]["leg_id"], note["payload"]["room_id"])
        for note in history.of("asked")
        if note["command"] == "remove_leg_from_room"
    }


def _asked_for(asked: set[tuple[str, str]], event: Event) -> bool:
    return event["type"] == "leg.left_room" and (event["leg_id"], event["room_id"]) in asked


def sound_is_over(history: History) -> Iterator[Problem]:
    """Each playback that began has one end, and nothing behind it."""
    for who in listeners(history):
        told: dict[str, list[str]] = defaultdict(list)
        for _, event in history.events(who):
            if event["type"].startswith("playback."):
                told[event["playback_id"]].append(event["type"])
        for playback, kinds in told.items():
            ends = [kind for kind in kinds if kind in SOUND_ENDS]
            if len(ends) != 1 or kinds[-1] not in SOUND_ENDS or kinds.count("playback.started") > 1:
                yield Problem("a playback's life", playback, f"{who}: {', '.join(kinds)}")


def everybody_was_told_the_same(history: History) -> Iterator[Problem]:
    """Clients that were always there, or asked for what they had missed, have the same events in the same
    order; a confined one those of its application."""
    for note in history.of("dropped"):
        yield Problem("events dropped", note["who"], f"{note['who']}: {note['count']} events dropped")
    told = {who: [event for _, event in history.events(who)] for who in history.clients}
    if not told:
        yield Problem("nobody listened", "", "there was no client")
        return
    confined = {note["who"]: note["app_id"] for note in history.of("connected") if note.get("app_id")}
    whole = [who for who in told if who not in confined]
    if not whole:
        return
    several = bool(list(history.of("several")))
    first = max(whole, key=lambda who: len(told[who]))
    for who, events in told.items():
        app = confined.get(who)
        expected = [one for one in told[first] if app is None or one.get("app_id") == app]
        yield from _differences(first, expected, who, events, several)


def _differences(
    first: str, expected: Sequence[Event], other: str, events: Sequence[Event], several: bool
) -> Iterator[Problem]:
    here, there = ({one["event_id"] for one in stream} for stream in (expected, events))
    for missing, who in (
        *((one, other) for one in expected if one["event_id"] not in there),
        *((one, first) for one in events if one["event_id"] not in here),
    ):
        yield Problem("not told to all", _subject(missing), f"{who} has not {_short(missing)}")
    both = [[one for one in stream if one["event_id"] in here & there] for stream in (expected, events)]
    if several:  # between legs of different services the order may differ while Redis is away
        both = [sorted(stream, key=_subject) for stream in both]
    for mine, theirs in zip(*both, strict=True):
        if mine["event_id"] != theirs["event_id"]:
            text = f"{first} has {_short(mine)} where {other} has {_short(theirs)}"
            yield Problem("another order", _subject(mine), text)
            return
    bodies = {one["event_id"]: one for one in expected}
    for one in events:
        if one["event_id"] in bodies and bodies[one["event_id"]] != one:
            yield Problem("another content", _subject(one), f"{other} has {_short(one)} with other members")


def webhooks_are_complete(history: History) -> Iterator[Problem]:
    """Every event came as a webhook, and those of one leg in order."""
    told = {who: history.events(who) for who in history.clients}
    everything = {event["event_id"]: event for one in told.values() for _, event in one}
    hooks = history.events("hook")
    sent = {event["event_id"]: event for _, event in hooks}
    for id, event in everything.items():
        if id not in sent:
            yield Problem(
                "no webhook", _subject(event), f"{_short(event)} came to a client and to no webhook"
            )
    for id, event in sent.items():
        if id not in everything:
            yield Problem(
                "webhook alone", _subject(event), f"{_short(event)} came to a webhook and no client"
            )
    by_hook = by_leg(hooks)
    for who in history.clients:
        for leg, events in by_leg(told[who]).items():
            ids = [event["event_id"] for _, event in events if event["event_id"] in sent]
            order = [event["event_id"] for _, event in by_hook.get(leg, ()) if event["event_id"] in set(ids)]
            if ids != order:
                yield Problem("webhooks out of order", leg, f"{who} was told in another order")


def legs_are_calls(history: History) -> Iterator[Problem]:
    """What was told of a leg is what its call did: connected when it was answered, over when it was over."""
    ends: dict[str, float] = {}
    connected: set[str] = set()
    known: set[str] = set()
    for who in listeners(history):
        for t, event in history.events(who):
            leg = event.get("leg_id", "")
            known.add(leg)
            if event["type"] == "leg.connected":
                connected.add(leg)
            if event["type"] == "leg.disconnected":
                ends[leg] = min(ends.get(leg, t), t)
    for leg in sorted(connected):
        channel = history.channels.get(leg)
        if channel is None:
            yield Problem("no such call", leg, "leg.connected, and no switch had the call")
        elif channel.answered is None and not channel.fell:
            yield Problem("never answered", leg, "leg.connected, and the switch never said so")
    for leg, channel in history.channels.items():
        over = history.over(channel)
        if leg not in known:
            yield from _unknown(history, channel, over)
        elif leg in ends and ends[leg] < over - AHEAD_S:
            yield Problem("ended too early", leg, f"told {over - ends[leg]:.1f} s before its call was over")
        elif leg in ends and (late := history.calm_within(over, ends[leg])) > LATE_S:
            yield Problem("ended late", leg, f"told after {late:.0f} s in which nothing was wrong")


def _unknown(history: History, channel: Channel, over: float) -> Iterator[Problem]:
    calm = history.calm_within(channel.created, min(over, history.notes[-1]["t"]))
    if calm > KNOWN_AFTER_S:
        text = f"{channel.direction} {channel.name} on {channel.switch}, for {calm:.1f} s without trouble"
        yield Problem("known to nobody", channel.uuid, text)


def answered_calls_go_on(history: History) -> Iterator[Problem]:
    """What was answered is not given up for want of an answer."""
    for who in listeners(history):
        for leg, told in by_leg(history.events(who)).items():
            kinds = {event["type"]: event for _, event in told}
            reason = kinds.get("leg.disconnected", {}).get("cdr", {}).get("reason")
            if "leg.connected" in kinds and reason in UNANSWERED:
                yield Problem("given up though answered", leg, f"{who}: {reason} behind leg.connected")


UNANSWERED = ("ring_timeout",)


def nothing_is_left(history: History) -> Iterator[Problem]:
    """When everything was hung up there is no leg, no room and no channel, not even a device of ours."""
    ends = {note["who"] for note in history.of("there")}
    for who in {note["who"] for note in history.of("up")} - ends:
        yield Problem("not looked at", who, "nobody looked at what is left there")
    for note in history.of("there"):
        for uuid in note["channels"]:
            yield Problem("a channel is left", uuid, f"on {note['who']}")
    if not list(history.of("left")):
        yield Problem("not looked at", "director", "nobody looked at what legs are left")
    for note in history.of("left"):
        for kind in ("legs", "rooms"):
            for id in note[kind]:
                yield Problem(f"{kind} are left", id, "in the service")


def commands_were_kept(history: History) -> Iterator[Problem]:
    """A leg whose id was given in answer to create_leg is told of."""
    asked = {(note["who"], note["number"]): note for note in history.of("asked")}
    known = {event.get("leg_id") for who in history.clients for _, event in history.events(who)}
    for note in history.of("answered"):
        question = asked.get((note["who"], note["number"]))
        if (
            question
            and note["ok"]
            and question["command"] == "create_leg"
            and note["data"]["id"] not in known
        ):
            yield Problem(FORGOTTEN, note["data"]["id"], "create_leg was answered with its id")


def records_are_complete(history: History) -> Iterator[Problem]:
    """Each leg that has ended has one record, that of its last event."""
    several = bool(list(history.of("several")))
    records: dict[str, list[Event]] = defaultdict(list)
    for note in history.of("cdr"):
        records[note["record"]["leg_id"]].append(note["record"])
    ends: dict[str, set[str]] = defaultdict(set)
    for who in history.clients:
        for _, event in history.events(who):
            if event["type"] == "leg.disconnected":
                ends[event["leg_id"]].add(event["event_id"])
    for leg in sorted(records.keys() | ends.keys()):
        # a service that dies between the file and forgetting it leaves it to another, which has another file
        if several and len({record.get("event_id") for record in records[leg]}) == 1:
            del records[leg][1:]
        if len(records[leg]) != 1:
            yield Problem("records", leg, f"{len(records[leg])} records of a leg that {_ended(ends[leg])}")
        elif ends[leg] and records[leg][0].get("event_id") not in ends[leg]:
            yield Problem("records", leg, f"its record has the event {records[leg][0].get('event_id')}")
        elif not ends[leg]:
            yield Problem("records", leg, "a record of a leg whose end nobody was told")


def _ended(ids: set[str]) -> str:
    return "has ended" if ids else "nobody was told the end of"


def recordings_are_there(history: History) -> Iterator[Problem]:
    """A file that was announced is where it was announced, with something in it, or an error says why not."""
    files = {note["path"]: note["bytes"] for note in history.of("file")}
    began: dict[str, float] = {}
    for who in history.clients[:1]:
        for t, event in history.events(who):
            owner = event.get("leg_id") or event.get("room_id", "")
            if event["type"] == "recording.started":
                began[owner] = t
            if event["type"] != "recording.finished":
                continue
            lasted = _until_a_fall(history, began.get(owner, t), t)
            for path in filter(None, (event.get("file"), event.get("multi_channel_file"))):
                if path not in files:
                    yield Problem("no such file", owner, f"{path} was announced")
                elif files[path] <= HEADER_BYTES and not event.get("error") and lasted > SHORT_S:
                    text = f"{path} has {files[path]} bytes and no error, after {lasted:.1f} s"
                    yield Problem("an empty file", owner, text)


def _until_a_fall(history: History, first: float, last: float) -> float:
    """Seconds, up to the first fall of a switch."""
    return min([last, *(note["t"] for note in history.of("gone") if note["t"] > first)]) - first


def memory_is_flat(history: History) -> Iterator[Problem]:
    """Without calls, the service has about the memory and the descriptors that it began with."""
    for process, samples in _idle(history).items():
        first, last = samples[0], samples[-1]
        if last["descriptors"] > first["descriptors"] + MORE_DESCRIPTORS:
            text = f"{first['descriptors']} at first, {last['descriptors']} at last"
            yield Problem("descriptors are left open", process, text)
        if last["rss"] > first["rss"] + MORE_BYTES:
            text = f"{first['rss'] >> 20} MB at first, {last['rss'] >> 20} MB at last"
            yield Problem("memory grows", process, text)


MORE_DESCRIPTORS = 32
"""The connections to the receivers of webhooks are kept open for a while, several to each."""
MORE_BYTES = 60 << 20
"""What the recent events take, which are kept."""


def _idle(history: History) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for note in history.of("sample"):
        if note["idle"]:
            found[note["of"]].append(note)
    return found


def one_owner_acts(history: History) -> Iterator[Problem]:
    """Of two services only one acts on a switch: who had it before may until it can have noticed, as long as
    who has it now does nothing there."""
    names = {note["address"]: note["of"] for note in history.of("place")}
    if not names:
        return  # one service, whose every switch is
    turns: dict[str, Turn] = {}
    for note in history.notes:
        switch, turn = note["who"], turns.get(note["who"])
        if note["what"] == "shown":
            if turn is None or note["number"] > turn.number:
                turns[switch] = Turn(note["number"], note["service"], note["t"])
        elif note["what"] == "command":
            who = names.get(note["of"], note["of"])
            if turn is None:
                yield Problem("nobody's", switch, f"{who} has {switch} do {note['line'][:80]}")
            elif who == turn.owner:
                turn.acted = True
            elif turn.acted or note["t"] > turn.since + NOTICED_S:
                fence = f"{note['t'] - turn.since:.2f} s behind fence {turn.number} of {turn.owner}"
                yield Problem("two owners", switch, f"{who} has {switch} do {note['line'][:80]}, {fence}")


NOTICED_S = 1.75
"""How long who takes a switch waits for that (docs/services.md)."""


@dataclass(slots=True)
class Turn:
    """Of a service at a switch, since it was shown there."""

    number: int
    owner: str
    since: float
    acted: bool = False


def it_was_a_run(history: History) -> Iterator[Problem]:
    """There were calls and faults: a run in which nothing happens shows nothing."""
    if len(history.legs) < LEAST_LEGS:
        yield Problem("no run", "", f"{len(history.legs)} legs in all")
    if not list(history.of("fault")):
        yield Problem("no run", "", "no fault was inflicted")
    if not any(channel.answered for channel in history.channels.values()):
        yield Problem("no run", "", "no call was answered")


LEAST_LEGS = 10

RULES: tuple[Rule, ...] = (
    begun_and_ended,
    in_order,
    by_turns,
    sound_is_over,
    everybody_was_told_the_same,
    webhooks_are_complete,
    legs_are_calls,
    answered_calls_go_on,
    nothing_is_left,
    commands_were_kept,
    records_are_complete,
    recordings_are_there,
    memory_is_flat,
    one_owner_acts,
    it_was_a_run,
)


def check(history: History, rules: Sequence[Rule] = RULES) -> list[Problem]:
    """Everything that is wrong with a run."""
    found = [problem for rule in rules for problem in rule(history)]
    several = found and list(history.of("several"))
    contested = set(_contested(history)) if several else set()
    unknown = history.unshipped if several else set()
    return [
        one
        for one in found
        if one.rule in NO_EXCUSE
        or (one.subject not in contested and not (one.rule == FORGOTTEN and one.subject in unknown))
    ]


FORGOTTEN = "answered and forgotten"
NO_EXCUSE = ("two owners", "nobody's", "a channel is left", "legs are left", "rooms are left")


def _contested(history: History) -> Iterator[str]:
    """The legs, rooms and playbacks about which two services told (see `History.contested`)."""
    spans = history.contested
    legs = {
        one.uuid
        for one in history.channels.values()
        for switch, first, last in spans
        if one.switch == switch and one.created < last and (one.ended is None or one.ended > first)
    }
    yield from legs
    for who in listeners(history):
        for t, event in history.events(who):
            within = any(first <= t <= last for _, first, last in spans)
            if event.get("leg_id") in legs or (within and not event.get("leg_id")):
                yield from filter(None, (event.get("playback_id"), event.get("file"), event["event_id"]))
            if within and event.get("room_id"):
                yield event["room_id"]


def report(history: History, problems: Sequence[Problem], most: int = 5) -> Iterator[str]:
    """For people: how many of each kind, and the stories of the first."""
    for rule, count in Counter(problem.rule for problem in problems).most_common():
        yield f"{count:5}  {rule}"
    told: set[str] = set()
    for problem in problems:
        if problem.rule in told or len(told) >= most:
            continue
        told.add(problem.rule)
        yield ""
        yield f"{problem.rule}: {problem.subject}: {problem.text}"
        yield from story(history, problem.subject)


def _subject(event: Event) -> str:
    return str(event.get("leg_id") or event.get("room_id") or event["event_id"])


def _short(event: Event) -> str:
    return f"{event['type']} [{event['event_id']}]"
