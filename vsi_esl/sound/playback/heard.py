"""What a leg or a room hears and clients stop and adjust by its id: playbacks, and what other features have.

Their ids are one space. Each kind says how it is found, stopped and adjusted (`Heard.add`, in a feature's
`register`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ...calls.context import Context
from ...errors import NotFound
from ...model.owner import Owner


class One(Protocol):
    """Something that is heard."""

    app_id: str

    @property
    def owner(self) -> Owner: ...


@dataclass(slots=True, frozen=True)
class Kind:
    """`find` gives one by its id, None when there is none that could be stopped. `set_volume` takes -8..8."""

    find: Callable[[str], One | None]
    stop: Callable[[Context, Any], None]
    set_volume: Callable[[Context, Any, int], None]


class Heard:
    """All kinds of a service; had by `ctx.get(Heard)`."""

    def __init__(self) -> None:
        self._kinds: list[Kind] = []

    def add(self, kind: Kind) -> None:
        self._kinds.append(kind)

    def find(self, id: str) -> One | None:
        return next((one for kind in self._kinds if (one := kind.find(id)) is not None), None)

    def stop(self, ctx: Context, owner: Owner, id: str) -> None:
        """End one of this leg or room now, whether it has begun or not. NotFound."""
        kind, one = self._get(owner, id, "no playback in progress")
        kind.stop(ctx, one)

    def set_volume(self, ctx: Context, owner: Owner, id: str, volume: int) -> None:
        """Change the volume of one of this leg or room. NotFound."""
        kind, one = self._get(owner, id, "playback not found")
        kind.set_volume(ctx, one, volume)

    def _get(self, owner: Owner, id: str, missing: str) -> tuple[Kind, One]:
        for kind in self._kinds:
            one = kind.find(id)
            if one is not None and one.owner == owner:
                return kind, one
        raise NotFound(missing)
