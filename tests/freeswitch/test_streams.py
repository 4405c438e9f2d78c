"""Legs over WebSockets on a real switch: what features do with them, and what happens when it is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from greenswitch.esl import NotConnectedError

from tests.support import listen
from tests.support.calls import reasons
from tests.support.drivers import eventually
from tests.support.hearing import HEARD, hears, in_room
from tests.support.live import Held
from tests.support.mediasocket import JSON, close_all, leg_socket, opened
from tests.support.server import Server
from tests.support.service import address
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.live.plan import Hears, Speaks
from vsi_esl.live.sessions import Sessions


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def live(start: Callable[[], Service]) -> Service:
    return start()


@pytest.fixture
def client(live: Service) -> Iterator[VsiClient]:
    client = VsiClient(address(live))
    yield client
    client.close()


def connected(client, live, **query):
    """A leg that is up."""
    peer = leg_socket(Server(address(live)), **query)
    leg = peer.message("connected")["leg_id"]
    client.event("leg.connected", leg_id=leg)
    return peer, leg


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_it_is_heard_and_whispered_to_alone_and_in_a_room(switch, live, client, agent, rate):
    """As speech to text, text to speech and agents do it; what is whispered is not in the room."""
    caller, _ = in_room(client, agent, 900)
    peer, leg = connected(client, live, rate=rate)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG).attached()
    peer.says(500)
    peer.hears(500)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("mute_leg", id=leg)
    peer.hears(500)
    peer.hears(900)
    hears(caller, 500, False)
    held.close()
    peer.hears(500, False)
    assert not reasons(client, leg)
    caller.bye()


def test_what_it_says_and_hears_is_recorded(switch, live, client, agent):
    caller, _ = in_room(client, agent, 900)
    peer, leg = connected(client, live, room_id="r")
    client.event("leg.joined_room", leg_id=leg)
    peer.says(500)
    hears(caller, 500)
    client.ok("leg_record_start", id=leg)
    client.ok("room_record_start", id="r", multi_channel=True)
    first = len(peer.heard)
    eventually(lambda: len(peer.heard) > first + 75, "a second and a half")
    room = client.ok("room_record_stop", id="r")["file"]
    rate, samples = listen.read(client.ok("leg_record_stop", id=leg)["file"])
    for side, frequency, other in ((0, 500, 900), (1, 900, 500)):
        assert (listen.levels(samples[:, side], rate, frequency) > HEARD).sum() > 20
        assert (listen.levels(samples[:, side], rate, other) > HEARD).sum() == 0
    assert room
    caller.bye()


@pytest.mark.parametrize("step", ["leg_as_pair", "unicast"])
def test_one_that_is_being_made_when_the_connection_is_lost(switch, live, client, agent, monkeypatch, step):
    """The answer to what was done is lost: the channel is taken up as it is, and no second one is made."""
    caller, _ = in_room(client, agent, 900)
    node = live.ctx.nodes.default
    do = getattr(node.live, step)

    def lost(*arguments):
        monkeypatch.undo()
        do(*arguments)
        with suppress(NotConnectedError):
            switch.api("reload mod_event_socket")
        eventually(lambda: not node.ready, "it is lost")
        raise SwitchUnavailable("the connection to the switch was lost")

    monkeypatch.setattr(node.live, step, lost)
    peer, leg = connected(client, live)
    eventually(lambda: node.reconnects and node.ready, "it is back")
    peer.says(500)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    peer.hears(900)
    hears(caller, 500)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    caller.bye()
    assert client.types().count("leg.ringing") == 2


def test_a_switch_that_is_killed(switch, live, client):
    peer, leg = connected(client, live, room_id="r")
    other = opened(address(live), "/v1/rooms/r/ws", wire=JSON)
    other.message("connected")
    switch.kill9()
    switch.start()
    switch.make_first_conference()
    assert live.ctx.nodes.default.wait_ready(30)
    for one in (peer, other):
        one.ended()
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["switch_restarted"]
    eventually(lambda: not len(live.ctx.get(Sessions)) and not live.ctx.legs.everyone(), "nothing is left")
    again, _ = connected(client, live, room_id="r")
    eventually(lambda: len(again.heard) > 5, "it goes on")
