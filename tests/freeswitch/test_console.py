"""Listening in from the console on a real switch, with Chromium: what is heard, and by whom it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import find_chromium
from tests.support.drivers import SipPeer, eventually
from tests.support.page import Page

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")

KEEP_PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); peers.push(this); }
};
"""
LEVEL = """
peers.at(-1).getStats().then((stats) =>
  [...stats.values()].find((one) => one.type === "inbound-rtp")?.audioLevel ?? 0)
"""
SAY = """
(() => {
  const sound = new AudioContext();
  const out = new MediaStreamAudioDestinationNode(sound, { channelCount: 1 });
  const tone = new OscillatorNode(sound, { frequency: 1000 });
  tone.connect(new GainNode(sound, { gain: 0.5 })).connect(out);
  tone.start();
  return peers.at(-1).getSenders()[0].replaceTrack(out.stream.getAudioTracks()[0]);
})()
"""
"""What the page never does: say something."""
LOUD = 0.05
"""Of Chromium's audioLevel, which is 1 at most."""


@pytest.fixture
def page(service) -> Iterator[Page]:
    page = Page()
    page.chromium.ask("Page.addScriptToEvaluateOnNewDocument", source=KEEP_PEERS)
    yield page
    page.stop()


def caller_in_room(agent, client, name: str, role: str) -> SipPeer:
    """Answered, and in the room."""
    peer = SipPeer(agent.call(from_=name))
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id="support", leg_id=leg, role=role)
    return peer


def test_the_operator_hears_the_room_and_is_not_heard(page, service, agent, client):
    caller = caller_in_room(agent, client, "+491", "caller")
    other = caller_in_room(agent, client, "+492", "agent")
    page.open(f"http://{service.address}/console#/rooms")
    page.click("support")
    page.click("Listen in")
    page.sees("Listening to support", timeout=40)
    listener = next(one for one in client.ok("list_legs") if one["type"] == "webrtc")
    assert (listener["muted"], listener["role"], listener["room_id"]) == (True, "listening-in", "support")
    page.evaluate(SAY)
    client.ok("unmute_leg", id=listener["id"])
    other.hears(1000)
    client.ok("mute_leg", id=listener["id"])
    other.hears(1000, wanted=False)
    caller.hears(1000, wanted=False)
    # nobody's routing keeps the operator from hearing all
    client.ok("room_routing_set", room_id="support", matrix={"caller": [], "agent": ["caller"]})
    caller.says(440)
    eventually(lambda: page.evaluate(LEVEL) > LOUD, "the caller is heard in the browser")
    other.hears(440)
    caller.says(0)
    eventually(lambda: page.evaluate(LEVEL) < LOUD / 10, "and silence is silent")
    other.says(440)
    eventually(lambda: page.evaluate(LEVEL) > LOUD, "the agent is heard in the browser")
    page.click("Stop listening")
    client.event("leg.disconnected", leg_id=listener["id"])
    assert page.problems() == []
