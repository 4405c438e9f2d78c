"""A call is transferred to somebody else, and one is not; and peers ask for transfers."""

from __future__ import annotations

from tests.record_examples import Recorder
from tests.support.drivers import SandboxDriver
from tests.support.transfers import OVER, referred


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """An attended transfer that succeeds, and a blind one that fails."""
    other = client.ok("create_leg", type="sip", to=switch.uri("answer"), app_id="shop")["id"]
    client.event("leg.connected", leg_id=other)
    for replaces, line, end in (
        (other, "SIP/2.0 200 OK", "leg.transfer_completed"),
        ("", "SIP/2.0 486 Busy Here", "leg.transfer_failed"),
    ):
        leg = client.ok("create_leg", type="sip", to=switch.uri("answer"), app_id="shop")["id"]
        client.event("leg.connected", leg_id=leg)
        more = {"replaces_leg_id": replaces} if replaces else {}
        client.ok("leg_transfer", id=leg, target="sip:sales@example.com", **more)
        peer = switch.callee()
        referred(peer)
        peer.notify("SIP/2.0 180 Ringing")
        client.event("leg.transfer_progress", leg_id=leg)
        peer.notify(line, OVER)
        client.event(end, leg_id=leg)
        client.event("leg.disconnected", leg_id=leg)
    asked(switch, client)


def asked(switch: SandboxDriver, client: Recorder) -> None:
    """A peer's REFER is accepted, and another one declined."""
    leg = client.ok("create_leg", type="sip", to=switch.uri("answer"), app_id="shop")["id"]
    client.event("leg.connected", leg_id=leg)
    peer = switch.callee()
    peer.refer("sip:sales@example.com")
    client.event("leg.transfer_requested", leg_id=leg)
    client.ok("accept_transfer", id=leg)
    client.ok("progress_transfer", id=leg, status_code=180)
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    peer.refer("sip:sales@example.com")
    client.event("leg.transfer_requested", leg_id=leg)
    client.ok("decline_transfer", id=leg, code=486, reason="Busy Here")
    client.event("leg.transfer_failed", leg_id=leg)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
