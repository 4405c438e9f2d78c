"""Text to speech, of a leg and of a room. What is heard takes flite or espeak-ng on this machine."""

from __future__ import annotations

from tests.record_examples import Recorder
from tests.support.calls import in_room
from tests.support.drivers import SandboxDriver

TEXT = "Thank you for calling. An agent will be with you shortly."
ASKED = {"text": TEXT, "voice": "21m00Tcm4TlvDq8ikWAM", "model_id": "eleven_multilingual_v2", "volume": 0}
HERE = {"text": "Hello.", "voice": "default", "provider": "local"}


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """A provider that cannot be reached, and this machine, which says it."""
    _, leg = in_room(switch, client, "announcements")
    for kind, owner in (("leg", leg), ("room", "announcements")):
        client.ok(f"{kind}_tts", id=owner, **ASKED, provider="elevenlabs", api_key="sk_1f0e")
        client.event("tts.error")
        client.ok(f"{kind}_tts", id=owner, **HERE)
        client.event("tts.started")
        client.event("tts.finished")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
