"""A network between service and switch on which nothing arrives, while no connection is closed or refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import Driver, eventually
from tests.support.relay import Relay
from tests.support.service import ready

NOTICED_S = 10.0
"""How soon /readyz is to show it."""


@pytest.fixture
def relay(switch: Driver) -> Iterator[Relay]:
    """The network on the way to the switch's event socket. Calls do not go through it."""
    relay = Relay((switch.host, switch.port))
    yield relay
    relay.stop()


@pytest.fixture
def behind(start, relay):
    """Start a service on the other side of the relay."""

    def start_behind(wait=True, **settings):
        host, port = relay.address
        return start(wait=wait, switch={"host": host, "port": port, **settings})

    return start_behind


def test_a_network_that_is_gone_for_a_while(switch, relay, behind, connect):
    service = behind(command_timeout=1.0)
    client = connect(service)
    peer, leg = answered(switch, client)
    other, two = answered(switch, client)
    waiting, three = ring(switch, client)
    relay.go_dead()
    client.ok("answer_leg", id=three)
    other.hang_up()
    eventually(lambda: not ready(service), "it is noticed", NOTICED_S)
    assert "does not answer" in service.ctx.nodes.default.last_error
    assert client.error("send_leg_dtmf", id=leg, digits="1")[0] == 503
    assert client.error("create_leg", type="sip", to=switch.uri("instant"))[0] == 503
    switch.call(from_="+15550177")
    relay.come_back()
    eventually(lambda: ready(service), "it goes on")
    assert service.ctx.nodes.default.reconnects == 0
    assert client.event("leg.disconnected", leg_id=two)["cdr"]["reason"] == "remote_bye"
    client.rewind()
    client.event("leg.connected", leg_id=three)
    waiting.wait("200")
    client.rewind()
    four = client.event("leg.ringing", **{"from": "+15550177"})["leg_id"]
    assert {view["id"] for view in client.ok("list_legs")} == {leg, three, four}
    assert "BYE" not in peer.seen


def test_connections_that_the_network_has_forgotten(switch, relay, behind, connect):
    """As after a restart of a firewall in between: new connections work, the old ones say nothing more."""
    service = behind()
    client = connect(service)
    peer, leg = answered(switch, client)
    other, two = answered(switch, client)
    relay.forget()
    other.hang_up()
    eventually(lambda: not ready(service), "it is noticed", NOTICED_S)
    eventually(lambda: ready(service), "new ones are made", NOTICED_S)
    assert service.ctx.nodes.default.reconnects == 1
    client.event("leg.disconnected", leg_id=two)
    assert [view["id"] for view in client.ok("list_legs")] == [leg]
    client.ok("delete_leg", id=leg)
    peer.wait("BYE")


def test_a_network_that_is_dead_when_the_service_starts(relay, behind):
    relay.go_dead()
    service = behind(wait=False, connect_timeout=0.5)
    eventually(lambda: service.ctx.nodes.default.reconnects >= 2, "it has tried more than once", NOTICED_S)
    assert not ready(service)
    relay.come_back()
    assert service.ctx.nodes.default.wait_ready(NOTICED_S)
