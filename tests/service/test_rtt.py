"""Real-time text."""

from __future__ import annotations

from tests.support.calls import answered
from tests.support.drivers import eventually


def test_text_survives_a_restart_of_the_service(switch, connect, start):
    first = start()
    client = connect(first)
    peer, leg = answered(switch, client, rtt=True)
    peer.type("hello")
    client.event("rtt.received", leg_id=leg)
    client.ok("reject_leg_rtt", id=leg)
    first.stop()
    second = start()
    client = connect(second)
    assert not second.ctx.legs.get(leg).accept_rtt
    client.ok("accept_leg_rtt", id=leg)
    client.ok("send_leg_rtt", id=leg, text="back")
    eventually(lambda: "back" in peer.texts, "it arrives")
    peer.type("again")
    assert client.event("rtt.received", leg_id=leg)["seq"] == 2
