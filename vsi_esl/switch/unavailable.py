"""A switch that cannot be asked, as clients are told of it."""

from __future__ import annotations

from greenswitch.esl import NotConnectedError

from ..errors import SwitchUnavailable
from .esl.client import CommandTimeout


class AsUnavailable:
    """What a command fails with, in a client's words. No generator: it is in the way of every command."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing has failed yet."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, CommandTimeout):
            raise SwitchUnavailable(f"the switch did not answer: {error}") from error
        if isinstance(error, NotConnectedError):
            raise SwitchUnavailable(f"the connection to the switch was lost: {error}") from error


_it = AsUnavailable()


def as_unavailable() -> AsUnavailable:
    """`with as_unavailable():` around what asks the switch."""
    return _it
