"""What happened to a leg, on one page."""

from __future__ import annotations

from collections.abc import Iterator

from .history import History, Note

ALL = ("fault", "healed", "up", "gone")
"""Notes that concern everybody."""
AROUND_S = 3.0
"""How long before its beginning a leg's story begins."""
MOST_LINES = 60
NAMES = ("leg_id", "room_id", "playback_id", "event_id")


def story(history: History, subject: str) -> Iterator[str]:
    """All notes that name this leg (or room, or playback), and the faults of that time."""
    own = [note for note in history.notes if _names(note, subject)]
    if not own:
        yield f"{subject}: nobody noted anything"
        return
    first, last = own[0]["t"] - AROUND_S, own[-1]["t"] + AROUND_S
    shown = [
        note
        for note in history.notes
        if first <= note["t"] <= last and (note["what"] in ALL or _names(note, subject))
    ]
    for note in shown[:MOST_LINES]:
        yield f"{note['t'] - history.began:8.3f} {note['who']:9} {_words(note)}"
    if len(shown) > MOST_LINES:
        yield f"         and {len(shown) - MOST_LINES} more"


def _names(note: Note, subject: str) -> bool:
    what = note["what"]
    if what == "event":
        return any(note["event"].get(name) == subject for name in NAMES)
    if what == "channel":
        return bool(note["uuid"] == subject)
    if what in ("there", "left"):
        return any(subject in note.get(kind, ()) for kind in ("channels", "legs", "rooms"))
    if what == "cdr":
        return bool(note["record"]["leg_id"] == subject)
    if what in ("asked", "answered"):
        return subject in str(note.get("payload", "")) + str(note.get("data", ""))
    if what == "shown":
        return bool(note["who"] == subject)
    return what == "command" and subject in note["line"]


def _words(note: Note) -> str:
    what = note["what"]
    if what == "event":
        event = note["event"]
        more = event.get("room_id") or event.get("playback_id") or event.get("cdr", {}).get("reason") or ""
        return f"{event['type']} {more} [{event['event_id']}]"
    if what == "channel":
        return f"{note['name']} {note['channel']}"
    if what == "cdr":
        return f"record: {note['record'].get('reason')} [{note['record'].get('event_id')}]"
    if what == "asked":
        return f"asks {note['command']} {note['payload']}"
    if what == "answered":
        return f"is answered {'' if note['ok'] else 'no: '}{str(note['data'])[:90]}"
    if what in ("fault", "healed"):
        return f"-- {what}: {note['fault']}"
    if what == "shown":
        return f"shows fence {note['number']} of {note['service']}"
    if what == "command":
        return f"does for {note['of']}: {note['line'][:90]}"
    return what
