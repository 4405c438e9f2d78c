"""What a command can answer when it cannot do what it was asked.

One class per kind of failure. The code is the VSI error code, which follows HTTP (and is the HTTP status
on the REST face); the message is what the client reads, in the reference server's words where it has some.
"""

from __future__ import annotations


class VsiError(Exception):
    """A refused command: `code` (400..503) and a message for the client."""

    code = 500

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class Invalid(VsiError):
    """The request itself is wrong; repeating it will not help."""

    code = 400


class Unauthorized(VsiError):
    """No token, or one that nobody has."""

    code = 401


class Forbidden(VsiError):
    """Whoever asks may not do this."""

    code = 403


class TooMany(VsiError):
    """More than the rate limit; `wait` is how many seconds to wait."""

    code = 429

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class NotFound(VsiError):
    """No such leg or room."""

    code = 404


class Conflict(VsiError):
    """The thing exists, but not in a state that allows this."""

    code = 409


class LegGone(Conflict):
    """The leg ended while something was waiting for it."""


class Internal(VsiError):
    """The command was fine and still failed."""

    code = 500


class NotSupported(VsiError):
    """Part of the protocol, but not of this server or the connected switch; the message says which."""

    code = 501


class SwitchUnavailable(VsiError):
    """No working connection to the switch, or no answer from it in time."""

    code = 503


class Unavailable(VsiError):
    """What it takes is not to be had at the moment."""

    code = 503


class CompanionAway(Unavailable):
    """The companion of a switch on another machine is not connected."""


class StorageFailed(VsiError):
    """What the command changes could not be made durable, so it has not happened."""

    code = 503


class BadArgument(Invalid):
    """A string that cannot be passed to the switch unchanged, so it is not passed at all."""
