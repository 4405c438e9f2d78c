"""Speech to text: of a leg, and of the room it is in."""

from __future__ import annotations

from tests.record_examples import Recorder
from tests.support.calls import answered
from tests.support.drivers import SandboxDriver
from tests.support.sttserver import KEY


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """A caller says something, alone and in a room; and a key that nobody has."""
    peer, leg = answered(switch, client)
    peer.talk(True)
    account = {"provider": "deepgram", "api_key": KEY}
    client.ok("leg_stt_start", id=leg, **account, language="en", partial=True, keyterms=["Acme"])
    client.stt.connection(0).says("I have a", final=False)
    client.ok("leg_stt_stop", id=leg)
    client.ok("create_room", id="conference")
    client.ok("add_leg_to_room", room_id="conference", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("room_stt_start", id="conference", **account)
    client.stt.connection(1).says("I have a question about my bill.")
    client.event("stt.text", room_id="conference")
    client.ok("room_stt_stop", id="conference")
    client.ok("room_stt_start", id="conference", provider="deepgram", api_key="nobody's")
    client.event("stt.error", room_id="conference")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    client.ok("delete_room", id="conference")
