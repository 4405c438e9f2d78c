"""What no line of the log says above debug.

It is taken out by the name of its member, by known forms within strings, and by comparison with what the
command under way brought.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

PRIVATE = frozenset(
    "password secret token authorization webhook_secret auth digits digit transcript text".split()
)
"""Members of a log line that are hidden unless the line is a debug one, at any depth and in any case."""
PRIVATE_WORDS = PRIVATE | frozenset("passwd passwords secrets tokens credentials cookie signature".split())
"""A member is private as well when one of these is a word of its name: `sip_auth_password`, `X-Secret`."""
PRIVATE_ENDINGS = ("_key", "accesskey", "secretkey", "apikey")
PERSONAL = frozenset("from from_ from_user to to_user uri number caller callee".split())
"""Members that name people, hidden unless `log.numbers` has them shown."""
HEADER_MEMBERS = frozenset("headers sip_headers".split())
"""Mappings whose names may be seen, and whose values not."""

REDACTED = "[redacted]"
MAX_DEPTH = 16
MAX_ID = 64
"""Longest id of a client in a line."""
MAX_VALUE = 2000
MAX_TRACEBACK = 20_000
SHORTEST_GUARDED = 3
"""Values below are too common to be told from other text."""
MAX_GUARDED = 256

FORMS = re.compile(
    r"""(?ix)
      (?P<header>  (?:proxy-)?authorization ["']? \s*[:=]\s* )          [^\r\n]+
    | (?P<bearer>  \bbearer\s+ (?!token\s) )                                      \S+
    | (?P<login>   (?:^|:\s) (?:auth|userauth) \s+ )                    \S+
    | (?P<digits>  \buuid_(?:send|recv)_dtmf \s+ \S+ \s+ )              \S+
    | (?P<text>    \buuid_send_text \s+ \S+ \s+ )                      [^\r\n]+
    | (?P<setting> (?:password|secret|token|signature|credential) ["']? [=:] \s? )
                                                           (?:'[^']*'|"[^"]*"|(?:\\.|[^\s,;&}])+)
    | (?P<account> ://) [^/\s@]+ (?=@)
    """
)
"""Private values in strings: what comes before them stays."""

QUERIES = re.compile(r"""(?i)(?P<query>\b(?:https?|wss?)://[^\s?#"'<>]*\?)[^\s"'<>]+""")
"""What a URL says behind its path: keys, often."""
NUMBERS = re.compile(
    r"""(?ix)
      (?P<sip>     \bsips?: )             [^\s@<>"';,]+ (?=@)
    | (?P<tel>     \btel: )               [0-9+*\#().-]+
    | (?P<number>  (?<![\w+.:-]) )        \+[0-9]{7,15} (?![0-9])
    """
)
"""What names people in strings."""

OURS = frozenset({"timestamp", "level", "logger"})
"""Members of each line that are never made of what somebody sent."""
BARE = re.compile(r"[^\s:=+]*\Z")
"""A string without what all of these forms have; most are, and looking for the forms took the longest."""

guarded: ContextVar[Any] = ContextVar("vsi_esl_guarded", default=None)
"""What a client sent with the command under way."""
_numbers = {"shown": False}

Line = MutableMapping[str, Any]


def show_numbers(shown: bool) -> None:
    """Have lines above debug say who called whom, or not."""
    _numbers["shown"] = shown


def shows_numbers() -> bool:
    """Whether lines above debug say who called whom (`log.numbers`)."""
    return _numbers["shown"]


def short(value: str, limit: int = MAX_ID) -> str:
    """A client's value as a line may have it."""
    return value if len(value) <= limit else f"{value[: limit - 1]}…"


@lru_cache(maxsize=4096)
def private(name: str) -> bool:
    """Whether a member of this name is hidden."""
    lower = name.lower()
    if lower in PRIVATE or lower.endswith(PRIVATE_ENDINGS):
        return True
    return not PRIVATE_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", lower))


def hide_private(_: Any, method: str, event: Line) -> Line:
    """Replace the values of private members, also inside mappings and lists; those stay as they are."""
    if method == "debug":
        return event
    for key, value in event.items():
        if key != "exc_info" and not key.startswith("_"):  # those are structlog's own objects
            event[key] = _hidden(key, value, MAX_DEPTH)
    return event


def _hidden(key: str, value: Any, depth: int) -> Any:
    if private(key) or (key.lower() in PERSONAL and not shows_numbers()):
        return REDACTED
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        if key.lower() in HEADER_MEMBERS:
            return dict.fromkeys(value, REDACTED)
        return {name: _hidden(str(name), inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden("", inner, depth - 1) for inner in value]
    return value  # sets hold no mappings


def scrub(_: Any, __: str, event: Line) -> Line:
    """Take private values out of strings, and shorten what is long."""
    if event.get("level") == "debug":
        return event
    brought = _private_values(guarded.get())
    for key, value in event.items():
        if key in OURS:
            continue
        limit = MAX_TRACEBACK if key == "exception" else MAX_VALUE
        event[key] = _scrubbed(value, brought, limit, MAX_DEPTH)
    return event


def _scrubbed(value: Any, brought: list[str], limit: int, depth: int) -> Any:
    if isinstance(value, str):
        value = value[: 4 * limit]
        for one in brought:
            value = value.replace(one, REDACTED)
        return short(value if BARE.match(value) else _without_forms(value), limit)
    if isinstance(value, (bool, float, type(None))):
        return value
    if isinstance(value, int):
        return REDACTED if brought and str(value) in brought else value
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {key: _scrubbed(inner, brought, limit, depth - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(inner, brought, limit, depth - 1) for inner in value]
    return _scrubbed(str(value), brought, limit, depth)  # as the renderer would show it


def _without_forms(value: str) -> str:
    value = QUERIES.sub(_keep_the_start, FORMS.sub(_keep_the_start, value))
    return value if shows_numbers() else NUMBERS.sub(_keep_the_start, value)


def _keep_the_start(match: re.Match[str]) -> str:
    return f"{match.group(match.lastgroup or 0)}{REDACTED}"


def _private_values(payload: Any) -> list[str]:
    """The strings in private members of a payload, longest first."""
    if payload is None:
        return []
    found: set[str] = set()
    todo: list[tuple[Any, bool, int]] = [(payload, False, MAX_DEPTH)]
    while todo and len(found) < MAX_GUARDED:
        value, hidden, depth = todo.pop()
        if isinstance(value, str):
            if hidden and len(value) >= SHORTEST_GUARDED:
                found.add(value)
        elif depth and isinstance(value, Mapping):
            for key, inner in value.items():
                name = str(key)
                todo.append((inner, hidden or private(name) or name.lower() in HEADER_MEMBERS, depth - 1))
        elif depth and isinstance(value, (list, tuple)):
            todo += [(inner, hidden, depth - 1) for inner in value]
    # as they are, and as a repr shows them
    found |= {repr(one)[1:-1] for one in found}
    return sorted(found, key=len, reverse=True)
