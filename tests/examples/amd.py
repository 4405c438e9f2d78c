"""A machine answers, and beeps."""

from __future__ import annotations

from tests.record_examples import Recorder
from tests.support.drivers import SandboxDriver
from tests.support.sounds import RATE, sequence, silence, tone


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """A detection on an answered call."""
    amd = {"initial_silence_timeout": 500}
    leg = client.ok("create_leg", type="sip", to=switch.uri("answer"), app_id="shop", amd=amd)["id"]
    client.event("amd.result", result="no_speech")
    client.ok("leg_amd_start", id=leg, greeting_duration=1200, beep_timeout=8000)
    switch.callee().say(sequence(silence(0.5), tone(440, 1.6), silence(0.4), tone(1000, 0.4)), RATE)
    client.event("amd.result", result="machine")
    client.event("amd.beep")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
