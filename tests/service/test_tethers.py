"""Legs of one switch in rooms of another: what is done where, and what becomes of it when a side is gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.drivers import SandboxDriver, SandboxPeer, eventually
from tests.support.http import HttpClient
from tests.support.tethered import joined
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.calls import mending
from vsi_esl.calls.nodes import Node
from vsi_esl.calls.tethers import Expected
from vsi_esl.cli.doctor import switch_checks
from vsi_esl.config import Config
from vsi_esl.config.settings import HttpSettings, ListedSwitch, StateSettings, SwitchSettings
from vsi_esl.model.leg import Leg
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.sandbox.originate import originate
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.switch.lines import tethers as lines
from vsi_esl.translate import giving_up, sweep

Starter = Callable[..., tuple[Service, VsiClient]]
EAST, WEST = "127.0.0.1:5072", "127.0.0.2:5072"


@pytest.fixture
def east() -> Iterator[SandboxDriver]:
    driver = SandboxDriver(tether=EAST)
    yield driver
    driver.stop()


@pytest.fixture
def west() -> Iterator[SandboxDriver]:
    driver = SandboxDriver(tether=WEST)
    yield driver
    driver.stop()


@pytest.fixture
def start(east: SandboxDriver, west: SandboxDriver, tmp_path: Path) -> Iterator[Starter]:
    """Start a service with both switches, and a client of it. The next one finds its state."""
    running: list[Service] = []
    clients: list[VsiClient] = []

    def start_service(*away: str, **of_west: Any) -> tuple[Service, VsiClient]:
        """Returns when all but those that are `away` are ready."""
        for one in running:
            if not one.stopped:
                one.stop()
        listed = [
            ListedSwitch(
                name,
                SwitchSettings(host=one.host, port=one.port, password=one.password, sweep_interval=0.0),
                tether=one.switch.tether,
            )
            for name, one in (("east", east), ("west", west))
        ]
        config = Config(
            switches=(listed[0], replace(listed[1], **of_west)),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=str(tmp_path / "state.sqlite3")),
        ).having(
            RecordingSettings(dir=str(tmp_path / "recordings")),
            PlaybackSettings(spool_dir=str(tmp_path / "spool")),
        )
        service = Service(config)
        service.start()
        running.append(service)
        for node in service.ctx.nodes:
            assert node.name in away or node.wait_ready(20)
        clients.append(VsiClient(f"127.0.0.1:{service.http.server.server_port}"))
        return service, clients[-1]

    yield start_service
    for client in clients:
        client.close()
    for service in running:
        if not service.stopped:
            service.stop()


def nodes(service: Service) -> tuple[Node, Node]:
    east, west = service.ctx.nodes
    return east, west


def where(client: VsiClient) -> dict[str, str]:
    """Leg -> its room."""
    return {leg["id"]: leg.get("room_id", "") for leg in client.ok("list_legs")}


def calls(*switches: SandboxDriver) -> list[int]:
    """How many ends of tethers each switch has."""
    return [len(one.channels("te-")) for one in switches]


def leg_of(service: Service, leg_id: str) -> Leg:
    return service.ctx.legs.get(leg_id)


def member(switch: SandboxDriver, leg: Leg) -> tuple[bool, bool]:
    """Whether the leg's member speaks and hears."""
    there = switch.switch.channels[leg.tether.id].member
    return there.speak, there.hear


def test_each_hears_the_other(east, west, start):
    service, client = start()
    b, there = joined(west, client, "r")
    a, here = joined(east, client, "r")
    assert where(client) == {there: "r", here: "r"}
    assert (calls(east, west), leg_of(service, here).tether.node) == ([1, 1], "west")
    a.says(440)
    b.says(700)
    a.hears(700)
    b.hears(440)
    assert {one["leg_id"] for one in client.events if one["type"] == "leg.ringing"} == {here, there}
    for node in nodes(service):
        sweep.look(service.ctx, node)
    assert where(client) == {there: "r", here: "r"}
    client.ok("delete_leg", id=here)
    client.event("leg.disconnected", leg_id=here)
    eventually(lambda: calls(east, west) == [0, 0], "nothing is left")
    eventually(lambda: len(service.ctx.tethers.legs) == 0, "and forgotten")


def test_it_comes_muted_and_is_muted_where_its_member_is(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r", mute=True, deaf=True)
    leg = leg_of(service, here)
    assert member(west, leg) == (False, False)
    client.ok("unmute_leg", id=here)
    assert member(west, leg) == (True, False)
    client.ok("undeaf_leg", id=here)
    assert member(west, leg) == (True, True)
    client.ok("hold_leg", id=here)
    client.event("leg.hold", leg_id=here)
    eventually(lambda: member(west, leg) == (True, False), "nothing of the room reaches a peer on hold")
    assert east.esl(f"uuid_getvar {here} vsi_muted") == "false"


def far_end(west, leg):
    """The end of a leg's tether at the room."""
    return west.switch.channels[leg.tether.id]


def test_a_leg_that_we_hold_keeps_its_tether_without_audio(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    end = far_end(west, leg_of(service, here))
    client.ok("hold_leg", id=here)
    client.event("leg.hold", leg_id=here)
    eventually(lambda: end.media_timer is not None, "nothing comes")
    assert end.media_timeout_ms == lines.PATIENT_TIMEOUT_MS
    for room in ("mine", "r"):
        client.ok("add_leg_to_room", room_id=room, leg_id=here)
        client.event("leg.joined_room", leg_id=here, room_id=room)
    end = far_end(west, leg_of(service, here))
    eventually(lambda: end.media_timeout_ms == lines.PATIENT_TIMEOUT_MS, "it is held again")
    client.ok("unhold_leg", id=here)
    client.event("leg.unhold", leg_id=here)
    eventually(lambda: end.media_timer is None, "something comes")
    eventually(lambda: end.media_timeout_ms == lines.MEDIA_TIMEOUT_MS, "as before")


def test_a_hold_that_is_refused_leaves_the_tether_as_it_was(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    end = far_end(west, leg_of(service, here))
    east.switch.channels[here].far.hold_code = 488
    client.ok("hold_leg", id=here)
    client.event("leg.command_failed", leg_id=here)
    eventually(lambda: end.media_timeout_ms == lines.MEDIA_TIMEOUT_MS, "as before")
    assert end.media_timer is None


@pytest.mark.parametrize("flow", ["", "sendonly", "inactive"])
def test_a_leg_whose_peer_sends_nothing_keeps_its_tether(east, west, start, flow):
    service, client = start()
    joined(west, client, "r")
    peer, here = joined(east, client, "r")
    if flow:
        peer.hold(flow)
        client.event("leg.hold", leg_id=here)
    peer.rtp(False)
    leg = leg_of(service, here)
    assert far_end(west, leg).media_timer is None
    del east.switch.channels[here].variables["bridge_generate_comfort_noise"]
    peer.rtp(False)
    assert far_end(west, leg).media_timer is not None, "as it is without"


def test_routing_is_by_its_member(east, west, start):
    _, client = start()
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"guest": ["host"]})
    b, _ = joined(west, client, "r", role="host")
    a, here = joined(east, client, "r", role="guest")
    c, _ = joined(west, client, "r", role="guest")
    for peer, tone in ((a, 440), (b, 700), (c, 1000)):
        peer.says(tone)
    a.hears(700)
    a.hears(1000, wanted=False)
    b.hears(440)
    c.hears(440, wanted=False)
    client.ok("set_leg_role", leg_id=here, role="host")
    a.hears(1000)
    c.hears(440)


def test_speaking_is_that_of_its_member(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    leg_of(service, here).speech_detection = True
    far = SandboxPeer(west.switch, west.switch.channels[leg_of(service, here).tether.id])
    far.talk(True)
    client.event("speaking.started", leg_id=here, room_id="r")
    client.ok("mute_leg", id=here)
    client.event("speaking.stopped", leg_id=here)


def test_moves_leave_nothing_behind(east, west, start):
    service, client = start()
    joined(west, client, "one")
    joined(west, client, "two")
    joined(east, client, "home")
    _, here = joined(east, client, "one")
    told: list[tuple[str, str]] = []
    for room in ("two", "one", "home", "two", "home"):
        client.ok("add_leg_to_room", room_id=room, leg_id=here)
        client.event("leg.joined_room", leg_id=here, room_id=room)
    client.ok("add_leg_to_room", room_id="one", leg_id=here)
    client.ok("remove_leg_from_room", room_id="one", leg_id=here)
    client.event("leg.left_room", leg_id=here, room_id="one")
    told = [
        (one["type"].partition(".")[2], one["room_id"])
        for one in client.events
        if one.get("leg_id") == here and "room_id" in one
    ]
    rooms = ["one", "two", "one", "home", "two", "home", "one"]
    assert told == [(what, room) for room in rooms for what in ("joined_room", "left_room")]
    eventually(lambda: calls(east, west) == [0, 0], "nothing is left")
    assert service.ctx.tethers.made[("east", "west")] == 5
    kept = service.ctx.tethers
    eventually(lambda: not (kept.legs or kept.coming or kept._expected), "and forgotten")


def test_what_is_the_calls_stays_on_its_channel(east, west, start):
    _, client = start()
    b, _ = joined(west, client, "r")
    a, here = joined(east, client, "r")
    a.dtmf("5")
    client.event("dtmf.received", leg_id=here, digit="5")
    eventually(lambda: b.digits == "5", "passed on")
    b.dtmf("6")
    eventually(lambda: a.digits == "6", "passed on")
    client.ok("leg_record_start", id=here)
    client.event("recording.started", leg_id=here)
    assert list(east.switch.channels[here].recordings)
    client.ok("leg_play_start", id=here, tone="busy")
    client.event("playback.started", leg_id=here)
    assert (len(east.channels("pb-")), west.channels("pb-")) == (1, [])
    client.ok("leg_record_stop", id=here)


def test_text_goes_to_everybody_in_the_room_once(east, west, start):
    _, client = start()
    b, there = joined(west, client, "r", rtt=True)
    c, _ = joined(west, client, "r", rtt=True)
    a, here = joined(east, client, "r", rtt=True)
    d, rejecting = joined(east, client, "r", rtt=True)
    without, _ = joined(east, client, "r")
    alone, _ = joined(east, client, "other", rtt=True)
    client.ok("reject_leg_rtt", id=rejecting)
    a.type("from-east")
    client.event("rtt.received", leg_id=here)
    for peer in (b, c):
        eventually(lambda peer=peer: "from-east" in peer.texts, "it gets there")
    b.type("from-west")
    client.event("rtt.received", leg_id=there)
    eventually(lambda: "from-west" in a.texts and "from-west" in c.texts, "it gets there")
    client.ok("accept_leg_rtt", id=rejecting)
    a.type("to\bo-all")
    b.type("last")
    for peer, told in (
        (a, ["from-west", "last"]),
        (b, ["from-east", "to-all"]),
        (c, ["from-east", "from-west", "to-all", "last"]),
        (d, ["to-all", "last"]),
    ):
        eventually(lambda peer=peer, told=told: set(told) <= set(peer.texts), f"all of {told}")
        words = [word for word in peer.texts if not word.endswith("::")]
        assert sorted(words) == sorted(told)
    eventually(lambda: len(client.seen("rtt.received")) == 4, "each was told")
    assert (without.texts, alone.texts) == ([], [])


def test_tracks_of_a_room_are_of_its_members(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    client.ok("room_record_start", id="r", multi_channel=True)
    client.event("recording.started", room_id="r")
    tether = leg_of(service, here).tether
    assert len(west.switch.channels[tether.id].recordings) == 1
    assert east.switch.channels[here].recordings == {}
    west.esl(f"uuid_kill {tether.id}")
    eventually(lambda: leg_of(service, here).tether not in (None, tether), "made anew")
    fresh = leg_of(service, here).tether
    eventually(lambda: len(west.switch.channels[fresh.id].recordings) == 1, "a track of its own")
    client.ok("room_record_stop", id="r")
    done = client.event("recording.finished", room_id="r")
    assert set(done["channels"]) >= {here}


@pytest.mark.parametrize("side", ["east", "west"])
def test_one_that_ends_is_made_anew_and_nobody_is_told(east, west, start, side):
    service, client = start()
    b, _ = joined(west, client, "r")
    a, here = joined(east, client, "r")
    before = leg_of(service, here).tether
    client.rewind()
    count = len(client.events)
    {"east": east, "west": west}[side].esl(f"uuid_kill {before.id}")
    eventually(lambda: leg_of(service, here).tether not in (None, before), "another one")
    a.says(440)
    b.hears(440)
    assert where(client)[here] == "r"
    assert len(client.events) == count
    eventually(lambda: calls(east, west) == [1, 1], "no other one")
    eventually(lambda: not service.ctx.tethers.mending, "and no more is done")


def test_one_that_cannot_be_made_anew_is_given_up(east, west, start, monkeypatch):
    monkeypatch.setattr(mending, "AGAIN_S", 0.02)
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    west.esl(f"uuid_kill {leg_of(service, here).tether.id}")
    west.switch.max_channels = 0
    gone = client.event("leg.left_room", leg_id=here)
    assert gone["room_id"] == "r"
    assert where(client)[here] == ""
    assert service.ctx.tethers.failed[("east", "west")] == mending.TRIES
    client.ok("add_leg_to_room", room_id="home", leg_id=here)


def test_a_switch_that_is_gone_takes_no_leg_of_another_along(east, west, start, monkeypatch):
    monkeypatch.setattr(mending, "AGAIN_S", 0.05)
    monkeypatch.setattr("vsi_esl.sandbox.tethers.MEDIA_TIMEOUT_MS", 100)
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    node = nodes(service)[1]
    node.settings = replace(node.settings, lost_after=30.0)
    west.switch.crash()
    client.event("leg.left_room", leg_id=here, room_id="r")
    assert (where(client)[here], calls(east)) == ("", [0])
    assert here in east.channels()


def test_a_switch_that_is_given_up_has_no_legs_of_others(east, west, start):
    service, client = start()
    _, there = joined(west, client, "r")
    _, here = joined(east, client, "r")
    node = nodes(service)[1]
    west.freeze()
    west.drop_connections()
    eventually(lambda: not node.ready, "it is away")
    assert where(client)[here] == "r"
    giving_up._give_up(service.ctx, node)
    client.event("leg.left_room", leg_id=here)
    client.event("leg.disconnected", leg_id=there)
    eventually(lambda: calls(east) == [0], "its end is over")
    west.thaw()


@pytest.mark.parametrize("first", ["east", "west"])
def test_a_new_process_knows_both_halves_whichever_is_first(east, west, start, first):
    service, client = start()
    _, there = joined(west, client, "r")
    _, here = joined(east, client, "r", mute=True)
    id = leg_of(service, here).tether.id
    later = west if first == "east" else east
    late = "west" if first == "east" else "east"
    service.stop()
    later.freeze()
    service, client = start(late)
    later.thaw()
    assert service.ctx.nodes.find(late).wait_ready(20)
    assert where(client) == {there: "r", here: "r"}
    leg = leg_of(service, here)
    eventually(lambda: leg.tether is not None and leg.tether.member_id != "", "both are found")
    assert leg.tether.id == id
    client.ok("unmute_leg", id=here)
    assert member(west, leg) == (True, True)
    assert client.types(leg_id=here) == ["leg.unmuted"]
    assert calls(east, west) == [1, 1]
    client.ok("add_leg_to_room", room_id="home", leg_id=here)
    eventually(lambda: calls(east, west) == [0, 0], "nothing is left")


def test_a_new_process_without_state_has_room_and_tether_of_the_channels(east, west, start, tmp_path):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    service.stop()
    for file in tmp_path.glob("state.sqlite3*"):
        file.unlink()
    service, client = start()
    eventually(lambda: where(client).get(here) == "r", "it is in its room")
    assert leg_of(service, here).tether.node == "west"
    assert calls(east, west) == [1, 1]


@pytest.mark.parametrize("half", ["east", "west"])
def test_a_half_without_the_other_is_nothing(east, west, start, half):
    """Killed while nobody watched, the other end too."""
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    id = leg_of(service, here).tether.id
    service.stop()
    ended = {"east": east, "west": west}[half]
    ended.switch.channels[id].remote = None
    other = west if ended is east else east
    other.switch.channels[id].remote = None
    ended.esl(f"uuid_kill {id}")
    service, client = start()
    eventually(lambda: leg_of(service, here).tether is not None, "it has another one")
    assert leg_of(service, here).tether.id != id
    eventually(lambda: calls(east, west) == [1, 1], "and no more")
    assert where(client)[here] == "r"


def test_a_connection_that_is_lost_changes_nothing(east, west, start):
    service, client = start()
    joined(west, client, "r")
    _, here = joined(east, client, "r")
    before = leg_of(service, here).tether.id
    for driver, node in zip((east, west), nodes(service), strict=True):
        count = node.reconnects
        driver.drop_connections()
        eventually(lambda node=node, count=count: node.reconnects > count and node.ready, "it is back")
    assert leg_of(service, here).tether.id == before
    assert (where(client)[here], calls(east, west)) == ("r", [1, 1])


def test_a_restart_of_the_rooms_switch_has_the_leg_in_its_room_again(east, west, start, monkeypatch):
    monkeypatch.setattr("vsi_esl.sandbox.tethers.MEDIA_TIMEOUT_MS", 100)
    service, client = start()
    _, there = joined(west, client, "r")
    _, here = joined(east, client, "r")
    west.switch.crash()
    west.switch = SandboxSwitch(west.host, west.port, heartbeat_s=1.0, tether=WEST)
    west.switch.start()
    client.event("leg.disconnected", leg_id=there)
    eventually(lambda: leg_of(service, here).tether is not None, "it is there again")
    assert where(client) == {here: "r"}


def stranger(east: SandboxDriver, token: str, id: str = "te-abc") -> str:
    """Call the profile for tethers of the other switch; what it answered."""
    header = f",sip_h_X-VSI-Tether={token}" if token else ""
    command = f"originate {{origination_uuid={id}{header}}}sofia/vsi_tether/sip:x@{WEST} &park()"
    heard: list[str] = []
    outcome = originate(east.switch, command.partition(" ")[2])
    outcome.then(heard.append)
    east.switch.flush()
    eventually(lambda: bool(heard), "an answer")
    return heard[0]


def test_nobody_else_is_let_in(east, west, start):
    service, client = start()
    joined(west, client, "r")
    assert "INCOMING_CALL_BARRED" in stranger(east, "")
    assert "INCOMING_CALL_BARRED" in stranger(east, "0" * 32)
    assert service.ctx.tethers.refused["west"] == 1
    expected = service.ctx.tethers
    good = Expected("te-abc", "west", "127.0.0.1", 2e10, list)
    for wrong in (
        replace(good, id="te-other"),
        replace(good, node="east"),
        replace(good, source="127.0.0.9"),
        replace(good, until=1.0),
    ):
        token = expected.expect(wrong)
        assert "INCOMING_CALL_BARRED" in stranger(east, token)
        assert expected.take(token, wrong.id, wrong.node, wrong.source) is None
    token = expected.expect(good)
    assert expected.take(token, "te-abc", "west", "127.0.0.1") is good
    assert "INCOMING_CALL_BARRED" in stranger(east, token)
    assert [one for one in client.events if one["type"] == "leg.ringing"][1:] == []
    assert len(where(client)) == 1


@pytest.mark.parametrize("lacks", ["east", "west"])
def test_without_a_tether_it_is_said_which_switch_lacks_it(east, west, start, lacks):
    service, client = start()
    node = service.ctx.nodes.find(lacks)
    joined(west, client, "r")
    node.share = replace(node.share, tether="")
    east.call()
    leg = client.event("leg.ringing", leg_type="sip_inbound")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == (
        501,
        f"leg {leg} is on another switch than room r, and there is no tether for {lacks}",
    )
    assert where(client)[leg] == ""


def test_a_tether_counts_as_a_leg_of_the_rooms_switch(east, west, start):
    service, client = start(capacity=2)
    joined(west, client, "r")
    joined(east, client, "r")
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    listed = {one["name"]: one for one in http("GET", "/switches").body}
    assert (listed["west"]["legs"], listed["west"]["tethers"]) == (1, 1)
    assert listed["west"]["takes_no_calls"] == "full (2 legs)"
    east.call()
    leg = client.event("leg.ringing", leg_type="sip_inbound")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == (
        503,
        "room r is on west, full (2 legs)",
    )
    shown = http("GET", "/metrics").raw.decode()
    for line in (
        r'vsi_esl_tethers\{from_switch="east",to_switch="west"\} 1\.0',
        r'vsi_esl_tethers_made_total\{from_switch="east",to_switch="west"\} 1\.0',
        r'vsi_esl_tether_setup_seconds_count\{from_switch="east",to_switch="west"\} 1\.0',
    ):
        assert re.search(f"^{line}$", shown, re.M), line


def test_a_room_is_deleted_with_its_legs_of_both_switches(east, west, start):
    _, client = start()
    _, there = joined(west, client, "r")
    _, here = joined(east, client, "r")
    client.ok("delete_room", id="r")
    for leg in (here, there):
        assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "room_deleted"
        client.rewind()
    assert where(client) == {}
    eventually(lambda: calls(east, west) == [0, 0], "nothing is left")


def test_a_bridge_connects_rooms_of_two_switches(east, west, start):
    service, client = start()
    a, _ = joined(east, client, "a")
    b, _ = joined(west, client, "b")
    a.says(440)
    b.says(700)
    client.ok("bridge_create", room_id="a", peer_room_id="b", bridge_id="x")
    client.event("room.bridged", bridge_id="x")
    a.hears(700)
    b.hears(440)
    client.ok("bridge_update", room_id="a", bridge_id="x", direction="send")
    a.hears(700, wanted=False)
    b.hears(440)
    assert calls(east, west) == [1, 1]
    assert list(service.ctx.tethers.between_rooms.values()) == [("east", "west")]
    client.ok("bridge_delete", room_id="a", bridge_id="x")
    eventually(lambda: calls(east, west) == [0, 0], "nothing is left")
    eventually(lambda: not service.ctx.tethers.between_rooms, "and forgotten")


@pytest.mark.parametrize("first", ["east", "west"])
def test_such_a_bridge_is_known_again_and_made_anew(east, west, start, first):
    service, client = start()
    joined(east, client, "a")
    joined(west, client, "b")
    client.ok("bridge_create", room_id="a", peer_room_id="b", bridge_id="x")
    before = east.channels("te-")
    later, late = (west, "west") if first == "east" else (east, "east")
    service.stop()
    later.freeze()
    service, client = start(late)
    later.thaw()
    assert service.ctx.nodes.find(late).wait_ready(20)
    assert (east.channels("te-"), west.channels("te-")) == (before, before)
    west.esl(f"uuid_kill {before[0]}")
    eventually(lambda: calls(east, west) == [1, 1] and east.channels("te-") != before, "another one")


def test_the_doctor_calls_each_from_the_other(east, west, start):
    service, _ = start()
    found = {check.name: (check.status, check.detail) for check in switch_checks(service.config)}
    assert found["east: tethers"] == ("ok", f"vsi_tether at {EAST}")
    assert found["east: tethers to west"] == ("ok", f"{WEST} takes them")
    assert found["west: tethers to east"] == ("ok", f"{EAST} takes them")
    assert service.ctx.tethers.refused == {}


@pytest.mark.parametrize("early", [False, True])
def test_a_caller_is_answered_into_a_room_of_the_other_switch(east, west, start, early):
    service, client = start()
    b, _ = joined(west, client, "r")
    a = east.call()
    leg = client.event("leg.ringing", leg_type="sip_inbound")["leg_id"]
    if early:
        client.ok("leg_early_media", id=leg)
        client.event("leg.early_media", leg_id=leg)
    assert client.ok("add_leg_to_room", room_id="r", leg_id=leg)["status"] == "adding"
    client.event("leg.joined_room", leg_id=leg, room_id="r")
    assert leg_of(service, leg).tether.node == "west"
    a.says(440)
    b.hears(440)


def test_a_call_that_is_dialled_and_not_answered_is_not_put_there(east, west, start):
    _, client = start()
    joined(west, client, "r")
    client.ok("create_room", id="own")
    joined(east, client, "own")
    leg = client.ok("create_leg", type="sip", to=east.uri("early"), room_id="own")["id"]
    client.event("leg.joined_room", leg_id=leg)
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == (
        501,
        f"leg {leg} is on another switch than room r, and not answered yet",
    )
