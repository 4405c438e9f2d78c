"""Live sessions as a feature would have them."""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult
from gevent.event import Event as Signal

from vsi_esl.app import Service
from vsi_esl.live.plan import End, Plan
from vsi_esl.live.session import Session
from vsi_esl.live.sessions import Sessions
from vsi_esl.model.owner import of_leg, of_room

TIMEOUT_S = 20.0


class Held:
    """A session of a service, begun; what it said, and its end."""

    def __init__(self, service: Service, **plan: Any) -> None:
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[End] = []
        self._attached, self._end = Signal(), AsyncResult()
        owner = of_leg(plan["leg_id"]) if plan.get("leg_id") else of_room(plan.get("room_id", ""))
        members = {"kind": "test", "task": "echo", "owner": owner, **plan}
        self.session: Session = service.ctx.get(Sessions).begin(
            service.ctx, Plan(**members, on_report=self._reported, on_closed=self._closed)
        )

    def _reported(self, what: str, data: dict[str, Any]) -> None:
        self.reports.append((what, data))
        if what == "attached":
            self._attached.set()

    def _closed(self, end: End) -> None:
        self.ends.append(end)
        self._end.set(end)

    def attached(self) -> Held:
        """Wait until the switch has brought its audio."""
        assert self._attached.wait(TIMEOUT_S), f"not attached; {self.ends}"
        return self

    def end(self, timeout: float = TIMEOUT_S) -> End:
        """Wait for its end."""
        end: End = self._end.get(timeout=timeout)
        return end

    def close(self) -> End:
        """End it."""
        self.session.close()
        return self.end()
