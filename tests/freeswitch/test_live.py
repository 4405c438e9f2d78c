"""Live audio on a real switch: who is heard, by whom, and what is left of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import hears, in_room
from tests.support.live import Held
from tests.support.service import address
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, MediaSettings, StateSettings, SwitchSettings
from vsi_esl.live.plan import Hears, Speaks
from vsi_esl.live.sessions import Sessions
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

BY_FORK, BY_LOOPBACK = "fork", "loopback"


@pytest.fixture(params=[BY_FORK])
def way(request: pytest.FixtureRequest, switch: PrivateSwitch) -> str:
    """How legs are heard."""
    loaded = switch.api("module_exists mod_audio_fork").strip() == "true"
    if request.param == BY_FORK and not loaded:
        if not switch.api("load mod_audio_fork").startswith("+OK"):
            pytest.skip("there is no mod_audio_fork here")
    elif request.param == BY_LOOPBACK and loaded:
        switch.api("unload mod_audio_fork")
    return str(request.param)


@pytest.fixture
def start(switch: PrivateSwitch, tmp_path: Path) -> Iterator[Callable[[], Service]]:
    running: list[Service] = []

    def start_service() -> Service:
        config = Config(
            instance_id="test-1",
            switch=SwitchSettings(host="127.0.0.1", port=switch.esl_port, password=switch.password),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=str(tmp_path / "state.sqlite3")),
            media=MediaSettings(workers=1),
        ).having(
            RecordingSettings(dir=str(tmp_path / "recordings")),
            PlaybackSettings(spool_dir=str(tmp_path / "spool"), allow_private_urls=True),
        )
        service = Service(config)
        service.start()
        running.append(service)
        assert service.ctx.nodes.default.wait_ready(10)
        return service

    yield start_service
    for service in running:
        if not service.stopped:
            service.stop()


@pytest.fixture
def live(way: str, start: Callable[[], Service]) -> Service:
    """A service in this process."""
    service = start()
    assert service.ctx.nodes.default.facts.forks is (way == BY_FORK)
    return service


@pytest.fixture
def client(live: Service) -> Iterator[VsiClient]:
    client = VsiClient(address(live))
    yield client
    client.close()


def alone(client, agent, frequency: float, codec: str = "PCMU"):
    """A caller with a tone of its own, answered and in no room."""
    call = agent.call(codecs=[codec])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.rtp.frequency = frequency
    return call, leg


def left(switch: PrivateSwitch) -> list[str]:
    """Channels of live audio on the switch."""
    rows = json.loads(switch.api("show channels as json")).get("rows", [])
    return [row["uuid"] for row in rows if row["uuid"].startswith("lv-")]


def bugs(switch: PrivateSwitch, leg: str) -> list[str]:
    """What is attached to a leg's audio."""
    return [
        line.partition(">")[2].partition("<")[0]
        for line in switch.api(f"uuid_buglist {leg}").splitlines()
        if "<function>" in line
    ]


def test_a_caller_hears_itself_wherever_it_is(switch, live, client, agent):
    call, leg = alone(client, agent, 440)
    other, _ = in_room(client, agent, 700)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    hears(call, 440, True)
    hears(call, 700, True)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    hears(call, 700, False)
    hears(call, 440, True)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("mute_leg", id=leg)
    hears(other, 440, False)
    hears(call, 440, True)
    assert held.close().reason == "closed"
    hears(call, 440, False)
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    for one in (call, other):
        one.bye()


def test_what_is_said_into_a_room_is_heard_by_all(switch, live, client, agent):
    call, leg = in_room(client, agent, 440)
    other, _ = in_room(client, agent, 700)
    client.ok("mute_leg", id=leg)
    hears(other, 440, False)
    held = Held(live, leg_id=leg, room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM)
    hears(call, 440, True)
    hears(other, 440, True)
    hears(call, 700, True)
    held.close()
    hears(other, 440, False)
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    for one in (call, other):
        one.bye()


def test_a_room_is_heard_and_spoken_into(switch, live, client, agent):
    """The room's echo ends with its last leg, and was begun before its first."""
    client.ok("create_room", id="r")
    held = Held(live, room_id="r", hears=Hears.ROOM, speaks=Speaks.TO_ROOM).attached()
    first, one = in_room(client, agent, 440)
    hears(first, 440, True)
    second, _ = in_room(client, agent, 700)
    for call in (first, second):
        hears(call, 440, True)
        hears(call, 700, True)
    view = client.ok("get_room", id="r")
    assert len(view["participants"]) == 2
    first.bye()
    second.bye()
    assert held.end().reason == "owner"
    eventually(lambda: not left(switch), "nothing is left")
    assert not [event for event in client.events if event["type"].startswith("speaking")]
    assert one and len(live.ctx.get(Sessions)) == 0
