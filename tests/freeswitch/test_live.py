"""Live audio on a real switch: who is heard, by whom, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from greenswitch.esl import NotConnectedError

from tests.support import listen
from tests.support.drivers import eventually
from tests.support.ending import ended_on_error
from tests.support.freeswitch import REPOSITORY, PrivateSwitch
from tests.support.hearing import HEARD, hears, in_room
from tests.support.live import Held
from tests.support.liveservice import HELD, READY
from tests.support.service import address, http
from tests.support.sipmessage import sdp
from tests.support.vsi import VsiClient
from vsi_esl.app import Service
from vsi_esl.live.plan import Hears, Speaks
from vsi_esl.live.sessions import Sessions

SERVICE = "from tests.support import patched; from tests.support.liveservice import main; main()"
BY_FORK, BY_LOOPBACK = "fork", "loopback"


@pytest.fixture(params=[BY_FORK, BY_LOOPBACK])
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


def heard_by(service: Service) -> str:
    """As /readyz says."""
    return http(service)("GET", "/readyz").body["switch"]["legs_heard_by"]


def packets(call) -> int:
    """How many a peer has received: its clock."""
    return call.rtp.received


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


def test_a_recording_has_what_is_whispered_after_it_began(switch, live, client, agent):
    """It can hear only those whispers that were there before it: it goes on in another file."""
    call, leg = alone(client, agent, 440)
    client.ok("leg_record_start", id=leg)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    call.rtp.kept = []
    eventually(lambda: len(call.rtp.kept) >= 30, "more of it")
    held.close()
    rate, samples = listen.read(client.ok("leg_record_stop", id=leg)["file"])
    assert (listen.levels(samples[:, 1], rate, 440) > HEARD).sum() >= 10
    call.bye()


def test_a_leg_on_hold_is_silent_and_goes_on(switch, live, client, agent):
    """Also a session that is begun while it is held."""
    call, leg = alone(client, agent, 440)
    held = [Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)]
    hears(call, 440, True)
    client.ok("hold_leg", id=leg)
    held.append(Held(live, leg_id=leg, hears=Hears.LEG).attached())
    client.ok("unhold_leg", id=leg)
    hears(call, 440, True)
    call.hold()
    client.event("leg.hold", leg_id=leg)
    call.unhold()
    hears(call, 440, True)
    assert [one.close().reason for one in held] == ["closed", "closed"]
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    call.bye()


def test_early_media_is_heard_and_whispered_to(switch, live, client, agent):
    call = agent.call(codecs=["PCMU"])
    call.rtp.frequency = 440
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("leg_early_media", id=leg)
    client.event("leg.early_media", leg_id=leg)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    assert "200" not in call.seen
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    hears(call, 440, True)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    hears(call, 440, True)
    held.close()
    call.bye()


def test_a_leg_that_agrees_on_another_rate(switch, live, client, agent):
    """What is said to it and what it says is as long and as high as before."""
    source, _ = in_room(client, agent, 440, room="src")
    uri = f"sip:answer@127.0.0.1:{agent.address[1]}"
    leg = client.ok("create_leg", type="sip", uri=uri, codecs=["PCMU", "G722"])["id"]
    call = agent.incoming()
    call.answer(["PCMU"])
    client.event("leg.connected", leg_id=leg)
    plans = (
        {"leg_id": leg, "hears": Hears.LEG},
        {"leg_id": leg, "room_id": "src", "hears": Hears.ROOM, "speaks": Speaks.TO_LEG},
    )
    held = [Held(live, **plan).attached() for plan in plans]
    for codec, payload_type, rate in (("G722", 9, 16000), ("PCMU", 0, 8000)):
        number = held[0].session.renewals
        answers = call.seen.count("200")
        call.request("INVITE", sdp(call.rtp.port, [codec], "sendrecv", 5 + payload_type))
        call.wait(lambda call: call.seen.count("200") > answers)  # noqa: B023
        call.rtp.payload_type = payload_type
        eventually(lambda: live.ctx.legs.get(leg).channel.rate == rate, "it is noticed")  # noqa: B023
        for one in held:
            eventually(lambda: one.session.renewals > number, "renewed")  # noqa: B023
            # the switch may drop it, and then it is attached once more
            eventually(lambda: not one.ends and one.session.attached.is_set(), "attached")  # noqa: B023
        worker = live.ctx.get(Sessions).pool.workers[0]
        eventually(lambda: "frames_in" in worker.figures, "its first figures")  # noqa: B023
        begun, frames = packets(call), worker.figures["frames_in"]
        client.ok("leg_record_start", id=leg)
        eventually(lambda: packets(call) > begun + 75, "a second and a half")  # noqa: B023
        recorded, samples = listen.read(client.ok("leg_record_stop", id=leg)["file"])
        heard = listen.levels(samples[:, 1], recorded, 440)
        assert (heard > HEARD).sum() > 50, heard
        # two sessions hear 50 frames a second each; the figures are up to 0.75 s old
        assert worker.figures["frames_in"] - frames < 2 * (packets(call) - begun + 75)
    assert not held[0].ends and not held[1].ends
    for one in held:
        one.close()
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    for one in (source, call):
        one.bye()


# -- faults ----------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_or_hangs(switch, live, client, agent):
    """Its sessions end with one word each, and another takes its place; no call notices."""
    call, leg = in_room(client, agent, 440)
    sessions = live.ctx.get(Sessions)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        plans = (
            {"leg_id": leg, "hears": Hears.LEG, "speaks": Speaks.TO_LEG},
            {"leg_id": leg, "hears": Hears.LEG},
            {"room_id": "r", "hears": Hears.ROOM, "speaks": Speaks.TO_ROOM},
        )
        held = [Held(live, **plan).attached() for plan in plans]
        worker = sessions.pool.workers[0]
        killed = time.monotonic()
        os.kill(worker.pid, number)
        assert [one.end().reason for one in held] == ["worker"] * 3
        assert time.monotonic() - killed < 10
        eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
        assert [len(one.ends) for one in held] == [1, 1, 1]
        eventually(lambda: not os.path.exists(f"/proc/{worker.pid}"), "it is reaped")  # noqa: B023
    eventually(lambda: sessions.pool.restarts == 2, "another one was started each time")
    eventually(lambda: not sessions.pool.workers[0].sessions, "it has none of theirs")
    again = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    again.close()
    assert not [event for event in client.events if event["type"] == "leg.disconnected"]
    call.bye()


def test_a_service_that_is_killed(switch, way, start, agent, tmp_path):
    """Its workers end; the calls go on, and the next service takes away what is left of the sessions."""
    arguments = [sys.executable, "-c", SERVICE, str(tmp_path), str(switch.esl_port)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    with ended_on_error(process):
        assert any(line.startswith(READY) for line in process.stdout)
        call = agent.call(codecs=["PCMU"])
        call.rtp.frequency = 440
        leg, worker = next(line for line in process.stdout if line.startswith(HELD)).split()[1:]
        call.wait("200")
        hears(call, 440, True)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    eventually(lambda: not os.path.exists(f"/proc/{worker}"), "the worker ends with it")
    hears(call, 440, False)
    assert left(switch)
    service = start()
    assert service.ctx.legs.find(leg) is not None
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    eventually(lambda: not service.ctx.state.items("live"), "and forgotten")
    call.bye()


def test_a_switch_that_is_restarted(switch, live, client, agent):
    call, leg = in_room(client, agent, 440)
    plans = (
        {"leg_id": leg, "hears": Hears.LEG, "speaks": Speaks.TO_LEG},
        {"room_id": "r", "hears": Hears.ROOM},
    )
    held = [Held(live, **plan).attached() for plan in plans]
    switch.kill9()
    call.rtp.close()
    switch.start()
    switch.make_first_conference()
    assert live.ctx.nodes.default.wait_ready(30)
    assert {one.end().reason for one in held} <= {"switch", "owner"}
    assert [len(one.ends) for one in held] == [1, 1]
    sessions = live.ctx.get(Sessions)
    eventually(lambda: not len(sessions) and not sessions.pool.workers[0].sessions, "nothing is left of them")


def test_a_connection_that_is_lost_costs_nothing(switch, live, client, agent):
    """The sessions go on, meanwhile and afterwards."""
    call, leg = in_room(client, agent, 440)
    held = Held(live, leg_id=leg, room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM).attached()
    with suppress(NotConnectedError):
        switch.api("reload mod_event_socket")
    hears(call, 440, True)
    eventually(lambda: live.ctx.nodes.default.reconnects, "it was lost")
    assert live.ctx.nodes.default.wait_ready(20)
    hears(call, 440, True)
    assert held.close().reason == "closed"
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    call.bye()


def test_an_operator_ends_what_brings_the_audio(switch, live, client, agent):
    call, leg = in_room(client, agent, 440)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG).attached()
    switch.api(f"uuid_kill {held.session.channels[0]}")
    assert held.end().reason == "switch"
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    call.bye()


def test_a_leg_that_hangs_up(switch, live, client, agent):
    """Its sessions end with it, before its last event."""
    for hears_, speaks in ((Hears.LEG, Speaks.TO_LEG), (Hears.LEG, Speaks.TO_NOBODY)):
        call, leg = alone(client, agent, 440)
        ended = []
        held = Held(live, leg_id=leg, hears=hears_, speaks=speaks).attached()
        live.ctx.bus.add_sink(lambda event, *_: ended.append((event.type, len(held.ends))))  # noqa: B023
        call.bye()
        assert held.end().reason == "owner"
        client.event("leg.disconnected", leg_id=leg)
        assert ("leg.disconnected", 1) in ended
        eventually(lambda: not left(switch), "nothing is left")


def test_the_module_is_unloaded_and_comes_back(switch, client, agent, live, way):
    """The bugs that it leaves on legs are taken away then."""
    if way != BY_FORK:
        pytest.skip("there is nothing to unload")
    call, leg = alone(client, agent, 440)
    held = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    switch.api("unload mod_audio_fork")
    assert held.end().reason == "switch"
    hears(call, 440, False)
    assert bugs(switch, leg) == [held.session.id]
    eventually(lambda: heard_by(live) == BY_LOOPBACK, "it is shown")
    other = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    other.close()
    switch.api("load mod_audio_fork")
    eventually(lambda: not left(switch) and not bugs(switch, leg), "nothing is left")
    eventually(lambda: heard_by(live) == BY_FORK, "it is shown")
    again = Held(live, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    hears(call, 440, True)
    again.close()
    call.bye()
