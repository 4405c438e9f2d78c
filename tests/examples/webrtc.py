"""A browser, from its offer to its media."""

from __future__ import annotations

from tests.record_examples import Recorder
from tests.support.browsers import SandboxBrowser
from tests.support.drivers import SandboxDriver


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """An offer, candidates both ways, and the end."""
    browser = SandboxBrowser(switch.switch)
    made = client.ok("webrtc_offer", sdp=browser.offer(), app_id="shop")
    browser.answer(made["sdp"])
    client.ok("webrtc_add_candidate", id=made["leg_id"], candidate=browser.local_candidates()[0])
    for candidate in client.ok("webrtc_get_candidates", id=made["leg_id"])["candidates"]:
        browser.candidate(candidate)
    client.event("leg.connected", leg_id=made["leg_id"])
    client.ok("delete_leg", id=made["leg_id"])
    client.event("leg.disconnected", leg_id=made["leg_id"])
