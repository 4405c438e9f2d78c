"""Live sessions for unit tests of features: nobody listens or speaks, a test says what is reported."""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult

from vsi_esl.calls.context import Context
from vsi_esl.calls.moments import Awaited
from vsi_esl.errors import VsiError
from vsi_esl.live.plan import End, Plan
from vsi_esl.live.sessions import Sessions
from vsi_esl.model.leg import Leg
from vsi_esl.model.owner import of_leg

LIMIT_S = 20.0


class FakeSession:
    """One that a feature has begun."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.told: list[tuple[str, Any]] = []
        self.closed = False
        """The feature has ended it."""
        self.graces: list[float] = []
        """With what time for the last words, each time that it did."""
        self.done: AsyncResult[End] = AsyncResult()

    def tell(self, what: str, value: Any = None) -> None:
        self.told.append((what, value))

    def close(self, grace_s: float = 0.0) -> None:
        self.closed = True
        self.graces.append(grace_s)

    # -- for tests -------------------------------------------------------------------------------------------

    def report(self, what: str, **data: Any) -> None:
        """The worker says something."""
        self.plan.on_report(what, data)

    def end(self, reason: str = "done", error: str = "", category: str = "") -> None:
        """It is over."""
        end = End(reason=reason, error=error, category=category)
        self.plan.on_closed(end)
        self.done.set(end)


class FakeSessions:
    """In place of Sessions: `FakeSessions(ctx)` makes it a part of a service."""

    def __init__(self, ctx: Context) -> None:
        self.begun: list[FakeSession] = []
        self.refusal: VsiError | None = None
        """Set: none can be begun."""
        ctx._of_features[Sessions] = self
        ctx.moments.ended.subscribe(self._ended)

    def begin(self, ctx: Context, plan: Plan) -> FakeSession:
        if self.refusal is not None:
            raise self.refusal
        self.begun.append(FakeSession(plan))
        return self.begun[-1]

    def _ended(self, ctx: Context, leg: Leg, room_id: str) -> list[Awaited]:
        """The last event of a leg waits for its sessions, until the test ends them."""
        return [
            Awaited(one.done, LIMIT_S)
            for one in self.begun
            if one.plan.owner == of_leg(leg.id) and not one.done.ready()
        ]
