"""A switch that cannot be asked, as clients are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from greenswitch.esl import NotConnectedError

from ..errors import SwitchUnavailable
from .esl.client import CommandTimeout


@contextmanager
def as_unavailable() -> Iterator[None]:
    """What a command fails with, in a client's words."""
    try:
        yield
    except CommandTimeout as error:
        raise SwitchUnavailable(f"the switch did not answer: {error}") from error
    except NotConnectedError as error:
        raise SwitchUnavailable(f"the connection to the switch was lost: {error}") from error
