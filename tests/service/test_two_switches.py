"""A service with two switches: what happens to one happens to its legs only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.drivers import SandboxDriver, SandboxPeer, eventually
from tests.support.http import HttpClient
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.calls.host import Host
from vsi_esl.calls.nodes import Node
from vsi_esl.cli.switches import switches
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, ListedSwitch, StateSettings, SwitchSettings
from vsi_esl.model.owner import of_leg
from vsi_esl.model.sound_stores import Playbacks, Recordings
from vsi_esl.protocol import unknown
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.translate import giving_up, sweep
from vsi_esl.translate.adoption import SWITCH_RESTARTED, UNOBSERVED
from vsi_esl.translate.giving_up import SWITCH_LOST

Starter = Callable[..., tuple[Service, VsiClient]]


@pytest.fixture
def east() -> Iterator[SandboxDriver]:
    driver = SandboxDriver()
    yield driver
    driver.stop()


@pytest.fixture
def west() -> Iterator[SandboxDriver]:
    driver = SandboxDriver()
    yield driver
    driver.stop()


@pytest.fixture
def start(east: SandboxDriver, west: SandboxDriver, tmp_path: Path) -> Iterator[Starter]:
    """Start a service with both switches, and a client of it. The next one finds its state."""
    running: list[Service] = []
    clients: list[VsiClient] = []
    listed = tuple(
        ListedSwitch(
            name,
            SwitchSettings(host=one.host, port=one.port, password=one.password, sweep_interval=0.0),
        )
        for name, one in (("east", east), ("west", west))
    )
    config = Config(
        switches=listed,
        http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
        state=StateSettings(path=str(tmp_path / "state.sqlite3")),
    ).having(
        RecordingSettings(dir=str(tmp_path / "recordings")),
        PlaybackSettings(spool_dir=str(tmp_path / "spool")),
    )

    def start_service(*away: str) -> tuple[Service, VsiClient]:
        """Returns when all but those that are `away` are ready."""
        for one in running:
            if not one.stopped:
                one.stop()
        service = Service(config)
        service.start()
        running.append(service)
        for node in service.ctx.nodes:
            assert node.name in away or node.wait_ready(10)
        clients.append(VsiClient(f"127.0.0.1:{service.http.server.server_port}"))
        return service, clients[-1]

    yield start_service
    for client in clients:
        client.close()
    for service in running:
        if not service.stopped:
            service.stop()


def answered(switch: SandboxDriver, client: VsiClient, room: str) -> tuple[SandboxPeer, str]:
    """A call that was answered and put into a room."""
    peer = switch.call()
    leg = client.event("leg.ringing", leg_type="sip_inbound")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id=room, leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    return peer, leg


def nodes(service: Service) -> tuple[Node, Node]:
    east, west = service.ctx.nodes
    return east, west


def where(client: VsiClient) -> dict[str, str]:
    """Leg -> its room."""
    return {leg["id"]: leg.get("room_id", "") for leg in client.ok("list_legs")}


def of_room(client: VsiClient, room: str, leg: str) -> list[dict[str, Any]]:
    """Every event so far that has to do with a room or its leg."""
    return [one for one in client.events if one.get("room_id") == room or one.get("leg_id") == leg]


def sounding(service: Service, client: VsiClient, room: str, leg: str) -> None:
    """Have a playback on a leg, and a recording of its room."""
    client.ok("leg_play_start", id=leg, tone="busy")
    client.event("playback.started", leg_id=leg)
    client.ok("room_record_start", id=room)
    client.event("recording.started", room_id=room)


def restarted(driver: SandboxDriver) -> None:
    """The switch is another process now, at the same address."""
    driver.switch.crash()
    driver.switch = SandboxSwitch(driver.host, driver.port, heartbeat_s=1.0)
    driver.switch.start()


def test_each_leg_is_on_its_switch_and_so_are_rooms(east, west, start):
    service, client = start()
    _, here = answered(east, client, "a")
    client.ok("create_room", id="b")
    assert service.ctx.rooms.get("b").node == ""
    _, there = answered(west, client, "b")
    assert [service.ctx.legs.get(leg).node for leg in (here, there)] == ["east", "west"]
    assert [service.ctx.rooms.get(room).node for room in "ab"] == ["east", "west"]
    assert client.error("add_leg_to_room", room_id="b", leg_id=here) == (
        501,
        f"leg {here} is on another switch than room b, and there is no tether for east and west",
    )
    assert client.error("bridge_create", room_id="a", peer_room_id="b") == (
        501,
        "rooms a and b are on different switches, and there is no tether for east and west",
    )
    assert where(client) == {here: "a", there: "b"}


def test_a_leg_is_dialled_where_its_room_is(east, west, start):
    service, client = start()
    answered(west, client, "b")
    for room, node in (("b", "west"), ("new", "east"), ("", "east")):
        leg = client.ok("create_leg", type="sip", to=west.uri("instant"), room_id=room)["id"]
        client.event("leg.connected", leg_id=leg)
        assert service.ctx.legs.get(leg).node == node
        assert [leg in one.channels() for one in (east, west)] == [node == "east", node == "west"]
    client.rewind()  # it may have been there before its answer was reported
    client.event("leg.joined_room", room_id="new")
    assert service.ctx.rooms.get("new").node == "east"


def test_rooms_without_a_place_are_bridged_where_the_other_is(east, west, start):
    service, client = start()
    answered(west, client, "b")
    client.ok("create_room", id="c")
    client.ok("bridge_create", room_id="c", peer_room_id="b", bridge_id="x")
    assert service.ctx.rooms.get("c").node == "west"
    assert (len(east.channels("br-")), len(west.channels("br-"))) == (0, 1)


def test_a_connection_that_is_lost_concerns_its_own_legs_only(east, west, start):
    service, client = start()
    _, here = answered(east, client, "a")
    gone, missed = answered(east, client, "a")
    _, there = answered(west, client, "b")
    sounding(service, client, "b", there)
    node, other = nodes(service)
    before, channels = of_room(client, "b", there), west.channels()
    service.ctx.timers.cancel(other.name)  # its second look, which is about the beginning
    told: list[str] = []
    other.command_many = lambda lines, *_: told.extend(lines) or [""] * len(lines)
    other.post = lambda *lines: told.extend(lines)
    with other.waits.expect("joined", there) as waiting, node.waits.expect("joined", here) as failing:
        node._on_event = lambda event: None  # the end of the other call goes unseen
        gone.hang_up()
        eventually(lambda: missed not in east.channels(), "its channel is gone")
        east.drop_connections()
        assert failing.wait(20) is None and failing.exception is not None
        assert client.event("leg.disconnected", leg_id=missed)["cdr"]["reason"] == UNOBSERVED
        eventually(lambda: node.ready, "connected again")
        assert not waiting.ready()
    assert (node.reconnects, other.reconnects, other.refreshes) == (1, 0, 0)
    assert where(client) == {here: "a", there: "b"}
    assert client.types(leg_id=here)[-1] == "leg.joined_room"
    assert of_room(client, "b", there) == before
    eventually(lambda: not len(service.ctx.workers), "nothing is left to do")
    assert (told, west.channels()) == ([], channels)


def test_a_restart_of_a_switch_ends_its_own_legs_only(east, west, start):
    service, client = start()
    _, here = answered(east, client, "a")
    _, there = answered(west, client, "b")
    sounding(service, client, "a", here)
    before = of_room(client, "a", here)
    restarted(west)
    assert client.event("leg.disconnected", 15, leg_id=there)["cdr"]["reason"] == SWITCH_RESTARTED
    assert where(client) == {here: "a"}
    assert of_room(client, "a", here) == before
    assert len(service.ctx.get(Playbacks)) == len(service.ctx.get(Recordings)) == 1
    # and the other way round, by now with a leg that came after it
    _, later = answered(west, client, "b")
    restarted(east)
    assert client.event("leg.disconnected", 15, leg_id=here)["cdr"]["reason"] == SWITCH_RESTARTED
    assert where(client) == {later: "b"}
    assert client.types(leg_id=later)[-1] == "leg.joined_room"


def test_a_new_process_knows_the_legs_of_a_switch_that_is_away(east, west, start, monkeypatch):
    """They are not reported gone by what the other switch has, and neither is their sound. A list without
    them is one that is asked for when the switch has been away for long."""
    service, client = start()
    _, here = answered(east, client, "a")
    _, there = answered(west, client, "b")
    sounding(service, client, "b", there)
    west.freeze()
    service, client = start("west")
    for command in ("list_legs", "list_rooms"):
        refused = 503, "there are legs on switch west, whose calls are not known yet"
        assert client.error(command) == refused
    refused = 503, "room b is on switch west, whose calls are not known yet"
    assert client.error("get_room", id="b") == refused
    assert client.ok("get_room", id="a")["participants"][0]["id"] == here
    assert client.ok("mute_leg", id=here)
    monkeypatch.setattr(unknown, "LEFT_OUT_S", 0.0)
    assert where(client) == {here: "a"}
    assert [one["id"] for one in client.ok("list_rooms")] == ["a", "b"]
    client.event("leg.muted", leg_id=here)
    sweep.look(service.ctx, nodes(service)[0])
    west.thaw()
    assert nodes(service)[1].wait_ready(20)
    assert where(client) == {here: "a", there: "b"}
    assert [one.leg_id for one in service.ctx.get(Playbacks)] == [there]
    assert [one.room_id for one in service.ctx.get(Recordings)] == ["b"]
    assert client.types() == ["leg.muted"]
    client.ok("delete_leg", id=there)
    client.event("leg.disconnected", leg_id=there)


def test_a_look_at_one_switch_reports_no_leg_of_the_other(east, west, start):
    service, client = start()
    _, here = answered(east, client, "a")
    _, there = answered(west, client, "b")
    for node in nodes(service):
        sweep.look(service.ctx, node)
    assert where(client) == {here: "a", there: "b"}


class Watched:
    """A host, and what was asked of it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._host, name)


def test_files_are_handled_where_their_switch_is(east, west, start, tmp_path):
    """As a switch on another machine needs it: nothing of a file is done elsewhere."""
    service, client = start()
    node, other = nodes(service)
    node.host, other.host = Watched(node.host), Watched(other.host)
    _, leg = answered(west, client, "b")
    sounding(service, client, "b", leg)
    playing = service.ctx.get(Playbacks).of(of_leg(leg))
    client.ok("leg_play_stop", id=leg, playback_id=playing[0].id)
    client.event("playback.finished", leg_id=leg)
    file = client.ok("room_record_stop", id="b")["file"]
    assert Path(file).parent == tmp_path / "recordings"
    all_of_it = {"hold", "place", "publish", "release", "tone_clip"}
    eventually(lambda: all_of_it <= set(other.host.asked), f"{all_of_it} are asked of its own")
    assert node.host.asked == []


def test_each_switch_is_shown_by_itself(east, west, start):
    service, client = start()
    address = f"127.0.0.1:{service.http.server.server_port}"
    east.freeze()
    east.drop_connections()
    node, other = nodes(service)
    eventually(lambda: not node.ready, "the loss is noticed")
    ready = HttpClient(address)("GET", "/readyz")
    assert (ready.status, ready.body["switch"]["ready"]) == (200, False)
    assert {name: one["ready"] for name, one in ready.body["switches"].items()} == {
        "east": False,
        "west": True,
    }
    metrics = HttpClient(address)("GET", "/metrics").raw.decode()
    assert re.findall(r"^vsi_esl_switch_up(.*) ([01])\.0$", metrics, re.M) == [
        ('{switch="east"}', "0"),
        ('{switch="west"}', "1"),
    ]
    assert re.search(r"^vsi_esl_ready 1\.0$", metrics, re.M)
    # calls are made on the one that is there
    leg = client.ok("create_leg", type="sip", to=west.uri("instant"))["id"]
    client.event("leg.connected", leg_id=leg)
    assert service.ctx.legs.get(leg).node == other.name


# -- their shares of the calls -----------------------------------------------------------------------------


@pytest.fixture
def http(start: Starter) -> tuple[Service, VsiClient, HttpClient]:
    service, client = start()
    return service, client, HttpClient(f"127.0.0.1:{service.http.server.server_port}")


def test_calls_are_shared_by_weight(east, west, http):
    service, client, _ = http
    node, other = nodes(service)
    other.share = replace(other.share, weight=2)
    made = [client.ok("create_leg", type="sip", to=west.uri("instant"))["id"] for _ in range(6)]
    assert [service.ctx.legs.on(one.name) for one in (node, other)] == [2, 4]
    for leg in made:
        client.event("leg.connected", leg_id=leg)
        client.rewind()
    assert [len(set(made) & set(one.channels())) for one in (east, west)] == [2, 4]


def test_a_switch_that_drains_gets_no_new_calls_also_after_a_restart(east, west, start):
    service, client = start()
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    answered(east, client, "a")
    answer = http("POST", "/switches/east/drain")
    assert (answer.status, answer.body["draining"], answer.body["legs"]) == (200, True, 1)
    service, client = start()
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    for _ in range(3):
        client.ok("create_leg", type="sip", to=west.uri("instant"))
    assert [service.ctx.legs.on(one.name) for one in nodes(service)] == [1, 3]
    # its room takes legs, and callers come as before
    client.ok("create_leg", type="sip", to=west.uri("instant"), room_id="a")
    answered(east, client, "a")
    assert [service.ctx.legs.on(one.name) for one in nodes(service)] == [3, 3]
    assert http("GET", "/readyz").body["switches"]["east"]["draining"] is True
    assert re.search(
        r'^vsi_esl_switch_draining{switch="east"} 1\.0$', http("GET", "/metrics").raw.decode(), re.M
    )
    assert http("POST", "/switches/east/undrain").body["takes_no_calls"] == ""
    service, client = start()
    assert not nodes(service)[0].draining


def test_what_is_asked_of_no_switch_is_refused(http):
    _, _, ask = http
    assert ask("POST", "/switches/north/drain").error == (404, "no switch north; there are: east, west")
    assert ask("GET", "/switches/east/drain").status == 405


def test_a_switch_that_does_not_come_back_loses_its_legs(east, west, start):
    service, client = start()
    _, here = answered(east, client, "a")
    _, there = answered(west, client, "b")
    sounding(service, client, "b", there)
    node = nodes(service)[1]
    node.settings = replace(node.settings, lost_after=0.3)
    west.freeze()
    west.drop_connections()
    gone = client.event("leg.disconnected", 15, leg_id=there)
    assert gone["cdr"]["reason"] == SWITCH_LOST
    assert where(client) == {here: "a"}
    eventually(lambda: not len(service.ctx.get(Playbacks)), "its playback is over")
    # a room that has nothing in it any more goes where its next leg is
    leg = client.ok("create_leg", type="sip", to=east.uri("instant"), room_id="b")["id"]
    client.event("leg.joined_room", leg_id=leg)
    assert service.ctx.rooms.get("b").node == "east"
    # and what was given up does not come back
    west.thaw()
    assert node.wait_ready(15)
    eventually(lambda: there not in west.channels(), "it is hung up")
    assert client.types(leg_id=there)[-1] == "leg.disconnected"


def test_one_that_comes_back_in_time_loses_nothing(east, west, start, monkeypatch):
    service, client = start()
    _, there = answered(west, client, "b")
    node = nodes(service)[1]
    node.settings = replace(node.settings, lost_after=30.0)
    give_time = node._on_lost

    def pending() -> bool:
        return service.ctx.timers.pending(node.name, giving_up.TIMER)

    lost = []
    monkeypatch.setattr(node, "_on_lost", lambda: (give_time(), lost.append(pending())))
    west.drop_connections()
    eventually(lambda: node.reconnects and node.ready, "it is back")
    assert (lost, pending()) == ([True], False)
    giving_up._give_up(service.ctx, node)
    assert where(client) == {there: "b"}


def test_a_new_process_gives_up_what_only_the_state_knows_of(east, west, start, monkeypatch):
    _, client = start()
    _, there = answered(west, client, "b")
    west.freeze()
    monkeypatch.setattr(SwitchSettings, "lost_after", 0.3, raising=False)
    service, client = start("west")
    giving_up._give_up(service.ctx, nodes(service)[1])
    assert client.event("leg.disconnected", leg_id=there)["cdr"]["reason"] == SWITCH_LOST
    west.thaw()


def test_the_command_line_lists_and_drains(http, monkeypatch):
    service, _, _ = http
    url = f"ws://127.0.0.1:{service.http.server.server_port}/v1/vsi"

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(switches, [*arguments, "--url", url])
        return result.exit_code, result.output

    code, text = run("list")
    assert (code, len(text.splitlines())) == (0, 3)
    assert re.search(r"^east +127\.0\.0\.1:\d+ +takes calls +0 +no limit +1 +0 +sandbox", text, re.M)
    assert run("drain", "east") == (0, "east drains; legs on it: 0\n")
    assert run("drain", "west")[0] == 0
    code, text = run("list", "--json")
    assert (code, [one["takes_no_calls"] for one in json.loads(text)]) == (1, ["draining", "draining"])
    assert run("undrain", "east") == (0, "east takes calls\n")
    code, text = run("drain", "north")
    assert (code, text) == (1, "Error: no switch north; there are: east, west\n")
