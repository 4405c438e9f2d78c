"""What is kept of a leg for its record, beside what the leg itself knows; also over a restart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..events.base import Event
from ..events.legs import LegConnected, LegRinging
from ..events.rooms import LegJoinedRoom
from ..model.leg import Leg
from ..sound.recording.events import RecordingStarted

if TYPE_CHECKING:
    from ..calls.context import Context

KIND = "call"
"""Under which the state had accounts before they were in their legs' rows."""
MAX_ROOMS = 32
FOLLOWED = (LegRinging, LegConnected, LegJoinedRoom, RecordingStarted)
"""The events that an account is made of, but for the last one."""


SECRETS = re.compile(r"(?i)(wss?://)(?:[^/@]*@)?([^?#]*).*|(sips?:[^@:;?]*):[^@]*(@.*)", re.DOTALL)
"""URLs with a login or a query, and SIP URIs with a password: around what is left out."""


def without_secrets(uri: str) -> str:
    """A URI without what only its server is to see."""
    found = SECRETS.fullmatch(uri)
    return "".join(part or "" for part in found.groups()) if found else uri


@dataclass(slots=True)
class Account:
    """Of one leg. Times are those of `clock`."""

    id: str
    from_: str = ""
    to: str = ""
    trunk: str = ""
    call_id: str = ""
    codec: str = ""
    rang_at: float = 0.0
    sip_status: int = 0
    cause: str = ""
    recordings: int = 0
    rooms: list[str] = field(default_factory=list)

    def learn(self, leg: Leg) -> None:
        """Take what the leg knows by now."""
        self.call_id = leg.call_id or self.call_id
        self.codec = leg.channel.codec or self.codec
        self.rang_at = leg.rang_at or self.rang_at
        self.sip_status = leg.sip_status or self.sip_status
        self.cause = leg.hangup_cause or self.cause


_MEMBERS = frozenset(one.name for one in fields(Account))


class Accounts:
    """The accounts of all legs that have not ended. The state keeps each with its leg: what is told of a leg
    here is followed by that being saved."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._of: dict[str, Account] = {}
        ctx.state.keep_beside(self._of.get)

    def __len__(self) -> int:
        return len(self._of)

    def restore(self) -> None:
        """At start: those of the legs that the process before has not told the end of."""
        there = self._ctx.state.legs()
        for body in self._ctx.state.items(KIND):
            if body["id"] in there:
                self._of[body["id"]] = _account(body)
            else:
                self._ctx.state.forget_item(KIND, body["id"])
        for record in there.values():
            if record.beside is not None:
                self._of[record.id] = _account(record.beside)

    def follow(self, event: Event) -> None:
        """An event was published, of those in `FOLLOWED`."""
        if isinstance(event, LegRinging):
            account = self.of(event.leg_id)
            account.from_ = event.from_ or ""
            account.to = without_secrets(event.to or event.uri or "")
            account.trunk = event.trunk_id or ""
        elif isinstance(event, LegConnected):
            account = self.of(event.leg_id)
            if (leg := self._ctx.legs.find(event.leg_id)) is not None:
                account.learn(leg)
        elif isinstance(event, LegJoinedRoom):
            account = self.of(event.leg_id)
            if event.room_id and event.room_id not in account.rooms and len(account.rooms) < MAX_ROOMS:
                account.rooms.append(event.room_id)
        elif isinstance(event, RecordingStarted) and event.leg_id:
            account = self.of(event.leg_id)
            account.recordings += 1
            if (leg := self._ctx.legs.find(event.leg_id)) is not None:
                self._ctx.state.save_legs([leg])

    def of(self, leg_id: str) -> Account:
        """A leg's account, a new one if there is none."""
        account = self._of.get(leg_id)
        if account is None:
            account = self._of[leg_id] = Account(leg_id)
        return account

    def drop(self, leg_id: str) -> None:
        """Have none of a leg that another service has now."""
        self._of.pop(leg_id, None)

    def close(self, leg_id: str) -> Account:
        """The account of a leg of which no more will come."""
        account = self._of.pop(leg_id, None) or Account(leg_id)
        self._ctx.state.forget_item(KIND, leg_id)
        return account


def _account(body: dict[str, Any]) -> Account:
    """From what was kept, by this version or another."""
    return Account(**{name: value for name, value in body.items() if name in _MEMBERS})
