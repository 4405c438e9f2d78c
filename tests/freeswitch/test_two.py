"""A service with two real switches: calls are shared between them, and one that dies takes its own only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.freeswitch.conftest import ServiceProcess
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import in_room
from tests.support.http import HttpClient
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient

Connect = Callable[[ServiceProcess], VsiClient]


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSwitch]:
    """One that a test may end."""
    switch = PrivateSwitch(tmp_path_factory.mktemp("second"))
    switch.start()
    yield switch
    switch.stop()


@pytest.fixture
def both(switch: PrivateSwitch, second: PrivateSwitch, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The service with both switches; a lost one is given up after 2 s."""
    settings = tmp_path / "vsi.yaml"
    settings.write_text(
        f"""
switch: {{password: {switch.password}, lost_after: 2s, connect_timeout: 1s}}
switches:
  - {{name: east, port: {switch.esl_port}}}
  - {{name: west, port: {second.esl_port}, weight: 2}}
"""
    )
    process = ServiceProcess(switch, tmp_path, VSI_ESL_CONFIG=str(settings))
    process.start()
    eventually(lambda: process.log().count("switch ready") == 2, "both are ready")
    yield process
    process.end()


def shares(service: ServiceProcess) -> dict[str, int]:
    """Legs by switch."""
    return {one["name"]: one["legs"] for one in HttpClient(service.address)("GET", "/switches").body}


def test_calls_are_shared_and_a_switch_that_dies_takes_its_own_along(both, switch, second, agent, connect):
    client = connect(both)
    _, here = in_room(client, agent, 440)
    peer = UserAgent(("127.0.0.1", second.sip_port))
    try:
        made = [client.ok("create_leg", type="sip", to=f"sip:answer@{peer.at}")["id"] for _ in range(5)]
        for leg in made:
            client.event("leg.connected", leg_id=leg)
            client.rewind()
        assert shares(both) == {"east": 2, "west": 4}
        assert HttpClient(both.address)("POST", "/switches/west/drain").body["legs"] == 4
        last = client.ok("create_leg", type="sip", to=f"sip:answer@{peer.at}", room_id="r")["id"]
        client.event("leg.joined_room", leg_id=last)
        assert shares(both) == {"east": 3, "west": 4}
        second.kill9()
        lost = {client.event("leg.disconnected", 20)["leg_id"] for _ in range(4)}
        assert lost <= set(made)
        reasons = {one["cdr"]["reason"] for one in client.events if one["type"] == "leg.disconnected"}
        assert reasons == {"switch_lost"}
        assert {leg["id"] for leg in client.ok("list_legs")} == {here, last, *(set(made) - lost)}
    finally:
        peer.stop()


def test_the_service_is_killed_and_knows_the_calls_of_both(both, second, agent, connect):
    client = connect(both)
    _, here = in_room(client, agent, 440)
    caller = UserAgent(("127.0.0.1", second.sip_port))
    try:
        _, there = in_room(client, caller, 700, room="elsewhere")
        assert shares(both) == {"east": 1, "west": 1}
        both.end(9)
        both.start()
        eventually(lambda: both.log().count("switch ready") == 4, "both are ready")
        client = connect(both)
        assert {leg["id"]: leg["room_id"] for leg in client.ok("list_legs")} == {
            here: "r",
            there: "elsewhere",
        }
        assert client.error("add_leg_to_room", room_id="r", leg_id=there)[0] == 501
    finally:
        caller.stop()
