"""REFERs of a peer in tests."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .waiting import eventually

TARGET = "sip:bob@example.com"
ACTIVE, OVER = "active;expires=60", "terminated;reason=noresource"


def asked(peer: Any, client: Any, leg: str, target: str = TARGET) -> dict[str, Any]:
    """The peer has sent a REFER, on which clients are to decide."""
    peer.refer(target)
    event: dict[str, Any] = client.event("leg.transfer_requested", leg_id=leg)
    assert event["declined"] is False
    return event


def replacing(target: str, dialog: tuple[str, str, str]) -> str:
    """The target of a REFER that is to replace the call that a peer has in this dialog: Call-ID, the tag of
    whoever gets the INVITE, and that of the peer."""
    call_id, to_tag, from_tag = (part.replace("@", "%40") for part in dialog)
    return f"{target}?Replaces={call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{from_tag}"


def refused(peer: Any, client: Any, target: str, **more: Any) -> bool:
    """Send a REFER of which the switch shows a part, and say whether it was refused. On a real switch one in
    nine is not: behind what has room it shows what was there before. Where that was the end of another
    address, it looks whole, and clients are asked about it."""

    def answers() -> int:
        return sum(one.startswith("513") for one in peer.seen)

    def questions() -> int:
        return len(client.seen("leg.transfer_requested"))

    answered, told = answers(), questions()
    peer.refer(target, **more)
    eventually(lambda: answers() > answered or questions() > told, "it is answered or told of")
    return questions() == told


def reported(peer: Any, *lines: str) -> None:
    """Until the peer was told this of its REFERs, and nothing else, by requests that a strict one takes."""
    expected = [f"SIP/2.0 {line} {ACTIVE}" for line in lines[:-1]] + [f"SIP/2.0 {lines[-1]} {OVER}"]
    with suppress(AssertionError):
        eventually(lambda: len(peer.reports) >= len(expected), "the reports")
    assert (peer.reports, peer.wrongs) == (expected, []), (peer.reports, peer.wrongs)


def outcome(event: dict[str, Any]) -> tuple[Any, ...]:
    """What a leg.transfer_completed or _failed says."""
    return event.get("status_code"), event.get("reason"), event.get("error")
