"""Legs of one real switch in rooms of another: who hears whom, and what becomes of it when a side is gone."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import numpy as np
import pytest

from tests.freeswitch.conftest import ServiceProcess
from tests.support import listen
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import HALF_SECOND, HEARD, SILENT, hears, in_room
from tests.support.http import HttpClient
from tests.support.sipua import Call, UserAgent
from tests.support.sttserver import KEY, SttServer
from tests.support.vsi import VsiClient
from vsi_esl.switch.lines.tethers import MEDIA_TIMEOUT_MS

Connect = Callable[[ServiceProcess], VsiClient]
Agents = tuple[UserAgent, UserAgent]


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSwitch]:
    yield from running(tmp_path_factory.mktemp("east"))


@pytest.fixture(scope="module")
def west(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSwitch]:
    yield from running(tmp_path_factory.mktemp("west"))


def running(directory: Path) -> Iterator[PrivateSwitch]:
    switch = PrivateSwitch(directory, tether=True)
    switch.start()
    yield switch
    switch.kill9()  # it takes its time to end
    switch.stop()


@pytest.fixture(scope="module")
def provider() -> Iterator[SttServer]:
    server = SttServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def service_of_both(
    east: PrivateSwitch,
    west: PrivateSwitch,
    provider: SttServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    directory = tmp_path_factory.mktemp("service")
    settings = directory / "vsi.yaml"
    settings.write_text(
        f"""
switch: {{password: {east.password}, lost_after: 20s, connect_timeout: 1s}}
switches:
  - {{name: east, port: {east.esl_port}, tether: "127.0.0.1:{east.tether_port}"}}
  - {{name: west, port: {west.esl_port}, tether: "127.0.0.1:{west.tether_port}"}}
"""
    )
    environ = {"VSI_ESL_CONFIG": str(settings), "VSI_ESL_DEEPGRAM_URL": provider.url, "DEEPGRAM_API_KEY": KEY}
    process = ServiceProcess(east, directory, **environ)
    ready(process)
    yield process
    process.end()


@pytest.fixture
def both(
    service_of_both: ServiceProcess, east: PrivateSwitch, west: PrivateSwitch
) -> Iterator[ServiceProcess]:
    """The service with both, without calls, and with no rooms when the test is over."""
    yield service_of_both
    for switch in (east, west):
        switch.api("hupall")
    http = HttpClient(service_of_both.address)
    eventually(lambda: http("GET", "/v1/legs").body == [], "the calls are over")
    for room in http("GET", "/v1/rooms").body:
        http("DELETE", f"/v1/rooms/{room['id']}")


def ready(process: ServiceProcess) -> None:
    before = process.log().count("switch ready")
    process.start()
    eventually(lambda: process.log().count("switch ready") >= before + 2, "both switches are ready", 60)


@pytest.fixture
def agents(east: PrivateSwitch, west: PrivateSwitch) -> Iterator[Agents]:
    found = UserAgent(("127.0.0.1", east.sip_port)), UserAgent(("127.0.0.1", west.sip_port))
    yield found
    for agent in found:
        agent.stop()


def ends(switch: PrivateSwitch) -> list[str]:
    """The ends of calls between switches that there are."""
    return re.findall(r'"uuid":"(te-[0-9a-f]+)"', switch.api("show channels as json"))


def move(client: VsiClient, leg: str, room: str) -> None:
    client.ok("add_leg_to_room", room_id=room, leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id=room)


def series(service: ServiceProcess, name: str) -> dict[str, float]:
    """Those of a name, by their labels."""
    text = HttpClient(service.address)("GET", "/metrics").raw.decode()
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return {line.partition("{")[2].partition("}")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_who_hears_whom(both, agents, connect):
    """By the matrix, mute, deaf and hold, as tones."""
    client = connect(both)
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"guest": ["host"]})
    host, at_home = in_room(client, agents[1], 700, role="host")
    guest, here = in_room(client, agents[0], 440, role="guest")
    other, _ = in_room(client, agents[0], 1000, role="guest")
    third, _ = in_room(client, agents[1], 1300, role="guest")
    everybody = {host: 700, guest: 440, other: 1000, third: 1300}

    names = {"host": host, "guest": guest, "other": other, "third": third}

    def right(listener: str, sources: list[str]) -> bool:
        packets = list(names[listener].rtp.last)
        if len(packets) < HALF_SECOND:
            return not sources  # on hold it gets none
        samples = listen.heard(packets[-HALF_SECOND:])
        level = {
            name: listen.levels(samples, 8000, everybody[call], 500).max() for name, call in names.items()
        }
        return all(
            level[one] > HEARD if one in sources else level[one] < SILENT for one in names if one != listener
        )

    def heard(**wanted: list[str]) -> None:
        """Each of these hears those, and nobody else, in the last half second."""
        for one in names.values():
            one.rtp.forget()
        gevent.sleep(0.02 * HALF_SECOND)
        eventually(lambda: all(right(*one) for one in wanted.items()), f"heard: {wanted}")

    heard(guest=["host"], other=["host"], third=["host"], host=["guest", "other", "third"])
    client.ok("room_routing_set", room_id="r", matrix={})
    heard(guest=["host", "other", "third"], third=["host", "guest", "other"])
    client.ok("mute_leg", id=here)
    heard(host=["other", "third"], other=["host", "third"])
    client.ok("unmute_leg", id=here)
    client.ok("deaf_leg", id=here)
    heard(guest=[], host=["guest", "other", "third"])
    client.ok("undeaf_leg", id=here)
    client.ok("hold_leg", id=here)
    client.event("leg.hold", leg_id=here)
    heard(guest=[], host=["other", "third"])
    client.ok("unhold_leg", id=here)
    client.event("leg.unhold", leg_id=here)
    heard(guest=["host", "other", "third"], host=["guest", "other", "third"])
    client.ok("hold_leg", id=here)
    client.event("leg.hold", leg_id=here)
    move(client, here, "elsewhere")  # of its own switch; its peer stays on hold
    move(client, here, "r")
    heard(guest=[], host=["other", "third"])
    client.ok("unhold_leg", id=here)
    heard(guest=["host", "other", "third"])
    client.ok("delete_leg", id=at_home)
    client.event("leg.disconnected", leg_id=at_home)
    assert set(client.types(leg_id=here)) <= {
        *("leg.ringing", "leg.connected", "leg.joined_room", "leg.left_room", "leg.muted", "leg.unmuted"),
        *("leg.deaf", "leg.undeaf", "leg.hold", "leg.unhold", "speaking.started", "speaking.stopped"),
    }


def quiet(client: VsiClient, call: Call, leg: str, how: str) -> None:
    """Have nothing come from this leg any more, not even silence."""
    if how == "we hold":
        client.ok("hold_leg", id=leg)
        client.event("leg.hold", leg_id=leg)
    elif how != "sends nothing":
        call.hold(how)
        client.event("leg.hold", leg_id=leg)
    call.rtp.muted = True


@pytest.mark.parametrize("again", [False, True], ids=["", "after a move"])
@pytest.mark.parametrize("how", ["we hold", "sendonly", "inactive", "sends nothing"])
def test_a_leg_that_sends_nothing_stays_where_it_is(both, east, west, agents, connect, how, again):
    """The room's switch takes a tether without audio for one whose other switch is gone."""
    client = connect(both)
    b, _ = in_room(client, agents[1], 700)
    a, here = in_room(client, agents[0], 440)
    quiet(client, a, here, how)
    if again:
        move(client, here, "second")
        move(client, here, "r")
    tether = east.api(f"uuid_getvar {here} bridge_uuid").strip()
    lost, since = both.log().count("tether lost"), float(west.api("strepoch"))

    def long() -> bool:
        assert west.api(f"uuid_exists {tether}").strip() == "true", both.log()[-2000:]
        return (float(west.api("strepoch")) - since) * 1000 > 2 * MEDIA_TIMEOUT_MS

    eventually(long, "nothing came for so long")
    assert ends(east) == ends(west) == [tether]
    assert both.log().count("tether lost") == lost
    if how == "we hold":
        client.ok("unhold_leg", id=here)
    elif how != "sends nothing":
        a.unhold()
    a.rtp.muted = False
    hears(b, 440)
    hears(a, 700)


def loud(samples: np.ndarray, rate: int, frequency: float) -> float:
    """The amplitude of a tone in the middle of a recording."""
    third = len(samples) // 3
    return float(np.median(listen.levels(samples[third : 2 * third], rate, frequency, 100)))


def test_what_is_on_its_channel_goes_on_over_moves(both, provider, east, agents, connect):
    """Recording, speech to text, digits and a REFER are the leg's, wherever its member is."""
    if east.api("module_exists mod_audio_fork").strip() != "true":
        east.api("load mod_audio_fork")
    client = connect(both)
    b, there = in_room(client, agents[1], 700)
    a, here = in_room(client, agents[0], 440, room="home")
    client.ok("leg_stt_start", id=here, provider="deepgram")
    one = provider.connection()
    eventually(one.loud, "the caller is heard")
    client.ok("leg_record_start", id=here)
    move(client, here, "r")
    hears(a, 700)
    client.ok("room_record_start", id="r", multi_channel=True)
    client.event("recording.started", room_id="r")
    hears(b, 440)
    a.dtmf("5")
    client.event("dtmf.received", leg_id=here, digit="5")
    eventually(lambda: b.rtp.digits == "5", "passed on")
    b.dtmf("6")
    eventually(lambda: a.rtp.digits == "6", "passed on")
    a.refer("sip:bob@127.0.0.1:9")
    client.event("leg.transfer_requested", leg_id=here)
    client.ok("decline_transfer", id=here)
    hears(a, 700)
    mix = client.ok("room_record_stop", id="r")
    move(client, here, "home")
    move(client, here, "r")
    one.heard.clear()
    eventually(one.loud, "the caller is still heard")
    assert len(provider.connections) == 1
    file = client.ok("leg_record_stop", id=here)["file"]
    rate, samples = listen.read(file)
    assert np.median(listen.levels(samples[:, 0], rate, 440, 100)) > HEARD
    assert listen.levels(samples[:, 1], rate, 700, 100).max() > HEARD
    rate, samples = listen.read(mix["file"])
    assert loud(samples[:, 0], rate, 440) > HEARD and loud(samples[:, 0], rate, 700) > HEARD
    rate, tracks = listen.read(mix["multi_channel_file"])
    channels = {leg: one["channel"] for leg, one in mix["channels"].items()}
    for leg, tone, absent in ((here, 440, 700), (there, 700, 440)):
        assert loud(tracks[:, channels[leg]], rate, tone) > HEARD
        assert loud(tracks[:, channels[leg]], rate, absent) < SILENT


def types(call: Call, line: str) -> None:
    eventually(lambda: call.text.agreed, "text is agreed on")
    call.text.type(f"{line}\r\n")


def test_text_goes_to_everybody_in_the_room_once(both, agents, connect):
    """Over a tether by the service, on the channel of each; within the room's switch by the conference."""
    client = connect(both)
    b, there = in_room(client, agents[1], 700, rtt=True)
    c, _ = in_room(client, agents[1], 800, rtt=True)
    a, here = in_room(client, agents[0], 440, rtt=True)
    d, _ = in_room(client, agents[0], 1000, rtt=True)
    types(a, "from-east")
    client.event("rtt.received", leg_id=here)
    types(b, "from-west")
    client.event("rtt.received", leg_id=there)
    client.ok("send_leg_rtt", id=here, text="to-one")
    for call, told in (
        (a, ["from-west", "to-one"]),
        (b, ["from-east"]),
        (c, ["from-east", "from-west"]),
        (d, ["from-east", "from-west"]),
    ):
        eventually(lambda call=call, told=told: all(one in call.text.received for one in told), f"{told}")
    types(d, "last")  # behind all that may have been passed on twice
    for call in (a, b, c):
        eventually(lambda call=call: "last" in call.text.received, "it gets there")
        for text in ("from-east", "from-west", "to-one", "last"):
            assert call.text.received.count(text) <= 1, call.text.received
    assert "from-east" not in a.text.received and "from-west" not in b.text.received
    eventually(lambda: len(client.seen("rtt.received")) >= 3, "it is told")
    assert len(client.seen("rtt.received")) == 3
    hears(b, 440)
    hears(a, 700)


def test_a_hundred_moves_leave_nothing(both, east, west, agents, connect):
    client = connect(both)
    in_room(client, agents[1], 700)
    in_room(client, agents[1], 800, room="second")
    in_room(client, agents[0], 900, room="home")
    a, here = in_room(client, agents[0], 440)
    pair = 'from_switch="east",to_switch="west"'
    made = series(both, "vsi_esl_tethers_made_total")[pair]
    for number in range(100):
        client.rewind()
        client.events.clear()
        move(client, here, ("second", "home", "r")[number % 3])
    hears(a, 800)
    client.ok("remove_leg_from_room", room_id="second", leg_id=here)
    eventually(lambda: ends(east) == ends(west) == [], "nothing is left")
    assert series(both, "vsi_esl_tethers_made_total")[pair] - made == 67
    assert series(both, "vsi_esl_tethers_failed_total") == {pair: 0.0}
    assert "te-" not in east.api("conference list") + west.api("conference list")


def test_the_service_is_killed_and_knows_them_again(both, east, west, agents, connect):
    client = connect(both)
    b, _ = in_room(client, agents[1], 700)
    a, here = in_room(client, agents[0], 440, mute=True)
    client.ok("create_room", id="other")
    in_room(client, agents[0], 1000, room="mine")
    client.ok("bridge_create", room_id="mine", peer_room_id="r", bridge_id="x")
    hears(b, 1000)
    both.end(signal.SIGKILL)
    hears(a, 700)
    ready(both)
    client = connect(both)
    eventually(lambda: client.ok("get_leg", id=here)["room_id"] == "r", "it is in its room")
    assert len(ends(east)) == len(ends(west)) == 2
    client.ok("unmute_leg", id=here)
    hears(b, 440)
    hears(b, 1000)
    client.ok("bridge_delete", room_id="mine", bridge_id="x")
    hears(b, 1000, wanted=False)
    assert not client.seen("leg.left_room")
    for id in ends(east):
        east.api(f"uuid_kill {id}")
    hears(b, 440)
    assert not client.seen("leg.left_room")


def test_a_switch_that_dies_takes_its_own_legs_only(both, east, west, agents, connect):
    client = connect(both)
    _, there = in_room(client, agents[1], 700)
    a, here = in_room(client, agents[0], 440)
    west.kill9()
    gone = client.event("leg.left_room", 25, leg_id=here)
    assert gone["room_id"] == "r"
    west.start()
    client.event("leg.disconnected", 30, leg_id=there)
    move(client, here, "r")
    assert client.ok("get_leg", id=here)["state"] == "connected"
    assert "BYE" not in a.seen
