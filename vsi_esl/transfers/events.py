"""The VSI events of transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..events.base import LegEvent

Kind = Annotated[Literal["blind", "attended"], "Attended when the target has a Replaces."]


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferInitiated(LegEvent):
    """A transfer was asked for; the REFER goes out now."""

    type = "leg.transfer_initiated"
    kind: Kind
    target: Annotated[str, "The URI that the peer is to call."]
    replaces_leg_id: Annotated[str | None, "The leg whose call the peer takes over; attended only."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferProgress(LegEvent):
    """The peer reports how far its call to the target is; it may before it has accepted the REFER."""

    type = "leg.transfer_progress"
    status_code: Annotated[int, "SIP status; 0 when the report has none that can be read."]
    reason: Annotated[str | None, "The status in words."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferCompleted(LegEvent):
    """The transfer succeeded, and is over."""

    type = "leg.transfer_completed"
    status_code: Annotated[int, "SIP status, 200 to 299."]
    reason: Annotated[str | None, "The status in words."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferFailed(LegEvent):
    """The transfer failed, and is over. A leg that the switch lost with it is disconnected next."""

    type = "leg.transfer_failed"
    status_code: Annotated[int | None, "SIP status of the call to the target, if there is one."] = None
    reason: Annotated[str | None, "The status in words."] = None
    error: Annotated[str | None, "Why there is no such call: the REFER itself failed."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferRequested(LegEvent):
    """The peer sent a REFER. One that is not declined waits for a client's decision, or is carried out."""

    type = "leg.transfer_requested"
    kind: Kind
    target: Annotated[str, "The URI of Refer-To."]
    declined: Annotated[bool, "Whether it has been declined already, and there is nothing to decide."]
    replaces_call_id: Annotated[str | None, "Call-ID of the call to replace; attended only."] = None
    replaces_leg_id: Annotated[str | None, "The leg whose call that is, if it is one of ours."] = None
