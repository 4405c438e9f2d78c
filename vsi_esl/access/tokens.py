"""Who may do what: tokens, their scopes, their share of the calls, and how often. Nothing here does I/O.

A token is configured as NAME:SCOPE:HASH[:APP_ID_PATTERN]. Scopes: `read` (commands that change nothing,
events, /metrics), `control` (all commands) and `admin` (as control, and not rate limited). With a pattern
(RE2, matched against the whole app_id) the token sees and commands only the legs and rooms whose app_id
matches, and nothing that is about all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import re2

from ..errors import Forbidden, TooMany

TOKEN_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
DIGEST = re.compile(r"[0-9a-f]{64}\Z")
ANOTHER = re.compile(r":[0-9a-f]{64}\b")
PREFIX = "vsi_"
"""In front of every token, so that a secret scanner can know one."""
RANDOM = re.compile(r"[A-Za-z0-9+=_-]{16,}")
FEW_DIGITS = 3
NOT_SHOWN = "(not shown: it may be a secret)"
BURST_S = 2


class Scope(IntEnum):
    """Each includes those below it."""

    READ = 1
    CONTROL = 2
    ADMIN = 3


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` a second, and twice that at once after a pause. 0 is no limit."""

    rate: int
    clock: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = float(self.rate * BURST_S), self.clock()

    def limit(self, rate: int) -> None:
        """Another rate from now on."""
        if rate != self.rate:
            self.rate = rate
            self.__post_init__()

    def take(self) -> float:
        """0 when there was one to take; else how many seconds it takes until there is."""
        if not self.rate:
            return 0.0
        now = self.clock()
        self._left = min(self.rate * BURST_S, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self.rate
        self._left -= 1
        return 0.0


@dataclass(slots=True)
class Access:
    """What one request or connection may do. `name` is the token's, for the log."""

    name: str = ""
    scope: Scope = Scope.ADMIN
    pattern: str = ""
    bucket: Bucket = field(default_factory=lambda: Bucket(0))
    _matches: Callable[[str], object] | None = None

    def __post_init__(self) -> None:
        if self.pattern:
            self._matches = _compiled(self.pattern).fullmatch

    @property
    def right(self) -> tuple[str, Scope, str]:
        """What makes it another token's when it changes."""
        return self.name, self.scope, self.pattern

    @property
    def confined(self) -> bool:
        """Whether it sees a part of the calls only."""
        return self._matches is not None

    def allows_app(self, app_id: str) -> bool:
        """Whether legs and rooms with this app_id (empty: none) are within reach."""
        return self._matches is None or self._matches(app_id) is not None

    def require(self, scope: Scope) -> None:
        """Forbidden when the scope does not reach that far."""
        if self.scope < scope:
            raise Forbidden(
                f"the token's scope is {self.scope.name.lower()}; this needs {scope.name.lower()}"
            )

    def spend(self) -> None:
        """Count one request or command. TooMany when there were too many."""
        wait = self.bucket.take()
        if wait > 0:
            raise TooMany("rate limit exceeded", wait)


OPEN = Access()
"""No tokens are configured: everything."""


class Tokens:
    """The configured tokens. ValueError for one that is wrong, which is told by its place: what was pasted
    there may be the token itself."""

    def __init__(self, lines: Iterable[str], rate: int = 0) -> None:
        self._tokens: list[tuple[bytes, Access]] = []
        for number, line in enumerate(lines, 1):
            try:
                digest, access = parse(line, rate)
            except ValueError as error:
                raise ValueError(f"token {number}: {error}") from None
            if any(access.name == other.name for _, other in self._tokens):
                raise ValueError(f"token {access.name!r} is there twice")
            self._tokens.append((digest, access))

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def renewed(self, lines: Iterable[str], rate: int) -> Tokens:
        """These tokens; what one of the same right may do is the same object as before, and goes on."""
        fresh = Tokens(lines, rate)
        before = {(digest, *access.right): access for digest, access in self._tokens}
        for at, (digest, access) in enumerate(fresh._tokens):
            kept = before.get((digest, *access.right))
            if kept is not None:
                kept.bucket.limit(access.bucket.rate)
                fresh._tokens[at] = digest, kept
        return fresh

    def __contains__(self, access: Access) -> bool:
        return any(access is own for _, own in self._tokens)

    def find(self, token: str) -> Access | None:
        """What a token may do; None for an unknown one. Takes as long whichever it is."""
        given = digest_of(token)
        found = None
        for digest, access in self._tokens:
            if hmac.compare_digest(digest, given):
                found = access
        return found


def digest_of(token: str) -> bytes:
    """How a token is kept. A fast hash will do: 256 random bits cannot be guessed, however fast."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest().encode()


def new_token() -> str:
    """A random token of 256 bits."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def line_of(name: str, scope: str, token: str, pattern: str = "") -> str:
    """The configuration of a token."""
    line = f"{name}:{scope}:{digest_of(token).decode()}" + (f":{pattern}" if pattern else "")
    parse(line)
    return line


def parse(line: str, rate: int = 0) -> tuple[bytes, Access]:
    """Digest and access of a configured token. ValueError says what is wrong, and of the line at most the
    name, when all else is as it must be."""
    name, _, rest = line.partition(":")
    scope, _, rest = rest.partition(":")
    digest, colon, pattern = rest.partition(":")
    if not NAME.match(name):
        raise ValueError("a token is NAME:SCOPE:HASH[:APP_ID_PATTERN]; NAME of letters, digits and ._-")
    if name.startswith(PREFIX) and may_be_secret(name):  # names are in logs and replies
        raise ValueError("its name is a token; `vsi-esl token NAME` makes the line")
    if scope.upper() not in Scope.__members__:
        raise ValueError("the scope must be read, control or admin")
    if not DIGEST.match(digest):
        raise ValueError("the hash must be SHA-256 in hex; `vsi-esl token` makes one")
    if colon and not pattern:
        raise ValueError(f"{name!r}: the app_id pattern is empty")
    if ANOTHER.search(pattern) or (PREFIX in pattern and may_be_secret(pattern)):
        # a pattern that matches nothing would be a strange way to be told
        raise ValueError(f"{name!r}: another token stands in its app_id pattern")
    level = Scope[scope.upper()]
    if pattern and level is Scope.ADMIN:
        raise ValueError(f"{name!r}: an admin token cannot be confined to an app_id")
    bucket = Bucket(0 if level is Scope.ADMIN else rate)
    try:
        return digest.encode(), Access(name, level, pattern, bucket)
    except re2.error as error:
        # what stands behind the colon is from the pattern
        raise ValueError(f"{name!r}: bad app_id pattern: {str(error).partition(':')[0]}") from None


def may_be_secret(text: str) -> bool:
    """Whether something in it looks as if it were made at random: long, and of mixed characters."""
    return any(
        sum(char.isdigit() for char in run) > FEW_DIGITS or (run != run.lower() and run != run.upper())
        for run in RANDOM.findall(text)
    )


def shown(text: str) -> str:
    """The text, for a message, unless it may be a secret."""
    return NOT_SHOWN if may_be_secret(text) else text


def _compiled(pattern: str) -> re2._Regexp[str]:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)
