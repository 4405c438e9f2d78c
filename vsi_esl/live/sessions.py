"""All live sessions of a service: begun, told things, ended; each with a media worker on one side and the
switch on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..calls.context import Context
from ..model.owner import Owner
from .plan import Plan


class Session:
    """One that has not ended."""

    def __init__(self, session_id: str, plan: Plan) -> None:
        self.id = session_id
        self.plan = plan

    def tell(self, what: str, value: Any = None) -> None:
        """Something for its task. Does not fail; lost when the session is over."""
        raise NotImplementedError

    def close(self, grace_s: float = 0.0) -> None:
        """End it: the switch stops at once to hear it or to bring it audio, the task may take `grace_s` for
        what is on its way. Returns at once; `on_closed` follows. Does not fail, and may be repeated."""
        raise NotImplementedError


class Sessions:
    """Had by `ctx.get(Sessions)`."""

    def begin(self, ctx: Context, plan: Plan) -> Session:
        """Begin a session: returns at once, all else is told by the plan's callbacks. Raises NotSupported
        (501) when the switch lacks what it takes, Unavailable (503) when there are too many or no
        worker."""
        raise NotImplementedError

    def of(self, owner: Owner) -> list[Session]:
        """Those of a leg or room."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Session]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError
