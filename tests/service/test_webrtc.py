"""WebRTC legs from the inside: what the switch lacks, what is lost, restarts, and races."""

from __future__ import annotations

import array
import os
import socket
import sys
import uuid
from contextlib import ExitStack, closing

import gevent
import pytest

from tests.support.browsers import SandboxBrowser, an_offer
from tests.support.browsers import connect as connect_to
from tests.support.calls import reasons
from tests.support.drivers import eventually
from tests.support.process import ServiceProcess, environ_of
from tests.support.service import crash
from tests.support.vsi import VsiClient
from vsi_esl.errors import StorageFailed
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.webrtc import browsers, sdp, verto
from vsi_esl.webrtc.browsers import Browsers

LONG_S = 15


@pytest.fixture
def mod_verto(switch):
    """The sandbox's."""
    if switch.name != "sandbox":
        pytest.skip("what cannot be done to a real switch; see tests/freeswitch")
    return switch.switch.verto


def left_on(switch):
    """Calls of browsers on the switch."""
    return [one for one in switch.channels() if len(one) == 36]


def test_a_switch_without_the_module(client, switch, mod_verto, service):
    switch.esl("unload mod_verto")
    node = service.ctx.nodes.default
    eventually(lambda: "mod_verto" in node.facts.missing_modules, "it is missed")
    code, message = client.error("webrtc_offer", sdp=an_offer())
    assert code == 501 and "mod_verto" in message
    assert left_on(switch) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("vsi_verto_port", "", "vars_vsi.xml"),
        ("vsi_verto_password", "", "vars_vsi.xml"),
        ("vsi_verto_port", "1", "not at port 1"),
        ("vsi_verto_password", "wrong", "directory/vsi.xml"),
    ],
)
def test_a_switch_without_the_profile_or_the_user(client, switch, mod_verto, name, value, expected):
    switch.switch.globals[name] = value
    code, message = client.error("webrtc_offer", sdp=an_offer())
    assert code == 501 and expected in message and "wrong" not in message
    eventually(lambda: mod_verto.clients == 0, "no connection is left")
    assert left_on(switch) == []


def test_a_password_that_changes_between_question_and_login(client, switch, mod_verto, monkeypatch):
    told = mod_verto.password
    real = verto.Verto.login

    def login(self, user, password):
        mod_verto.password = told  # as reloadxml does it
        real(self, user, password)

    mod_verto.password = switch.switch.globals["vsi_verto_password"] = "older"
    monkeypatch.setattr(verto.Verto, "login", login)
    switch.switch.timers.later(0, switch.switch.globals.update, {"vsi_verto_password": told})
    assert client.ok("webrtc_offer", sdp=an_offer())["leg_id"]


def test_a_switch_that_does_not_answer_the_offer(client, start, switch, mod_verto, monkeypatch, connect):
    monkeypatch.setattr("vsi_esl.sandbox.verto.ANSWER_S", 60)
    client = connect(start(webrtc={"offer_timeout": 0.3}))
    code, message = client.error("webrtc_offer", sdp=an_offer())
    assert code == 503 and "0.3 s" in message
    eventually(lambda: left_on(switch) == [] and mod_verto.clients == 0, "nothing is left on the switch")
    assert client.ok("list_legs") == [] and not client.types()


def test_a_listener_that_is_no_mod_verto(client, switch, mod_verto):
    with socket.create_server(("127.0.0.1", 0)) as server:
        switch.switch.globals["vsi_verto_port"] = str(server.getsockname()[1])

        def answer():
            taken, _ = server.accept()
            taken.recv(1000)
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            taken.close()

        said = gevent.spawn(answer)
        code, message = client.error("webrtc_offer", sdp=an_offer())
        said.join()
    assert code == 501 and "mod_verto" in message


def test_too_many_at_once(service, monkeypatch, mod_verto, switch):
    taken = service.ctx.get(Browsers)._slots
    for _ in range(browsers.MOST_OFFERS):
        taken.acquire()
    client = VsiClient(f"{service.config.http.host}:{service.http.server.server_port}")
    assert client.error("webrtc_offer", sdp=an_offer()) == (503, "too many WebRTC offers at once")
    taken.release()
    assert client.ok("webrtc_offer", sdp=an_offer())["leg_id"]
    client.close()


def test_a_disk_that_does_not_take_the_leg(client, service, switch, mod_verto, monkeypatch):
    def full(*_, **__):
        raise StorageFailed("the disk is full")

    monkeypatch.setattr(type(service.ctx.state), "save_legs", full)
    assert client.error("webrtc_offer", sdp=an_offer()) == (503, "the disk is full")
    eventually(lambda: left_on(switch) == [] and mod_verto.clients == 0, "nothing is left on the switch")
    assert client.ok("list_legs") == [] and not client.types()


def test_a_browser_that_never_connects(start, connect, switch, browser):
    client = connect(start(webrtc={"connect_timeout": 0.5}))
    leg = client.ok("webrtc_offer", sdp=browser().offer())["leg_id"]
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["ice_failure"]
    assert client.types(leg_id=leg) == ["leg.disconnected"]
    eventually(lambda: left_on(switch) == [], "nothing is left on the switch")


def test_a_browser_that_vanishes(start, connect, switch, browser):
    client = connect(start(webrtc={"media_timeout": 1}))
    one = browser()
    leg = connect_to(client, one)
    one.vanish()
    client.event("leg.disconnected", leg_id=leg, timeout=LONG_S)
    assert reasons(client, leg) == ["ice_failure"]


def test_a_browser_with_another_certificate(client, switch, mod_verto):
    one = SandboxBrowser(switch.switch)
    made = client.ok("webrtc_offer", sdp=one.offer())
    mod_verto.forged(switch.switch.channels[made["leg_id"]])
    client.event("leg.disconnected", leg_id=made["leg_id"])
    assert reasons(client, made["leg_id"]) == ["ice_failure"]


def test_an_operator_ends_it(client, switch, browser):
    leg = connect_to(client, browser())
    switch.esl(f"uuid_kill {leg}")
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["api_hangup"]


def test_a_connection_that_is_lost(client, service, browser, mod_verto, switch):
    early = client.ok("webrtc_offer", sdp=browser().offer())["leg_id"]
    up = connect_to(client, browser())
    mod_verto.drop_clients()
    for leg in (early, up):
        client.event("leg.disconnected", leg_id=leg)
        client.rewind()
    assert reasons(client, early) == reasons(client, up) == ["ice_failure"]
    eventually(lambda: left_on(switch) == [], "nothing is left on the switch")


def test_the_switch_gets_none_of_the_browsers_candidates(client, mod_verto, browser):
    leg = client.ok("webrtc_offer", sdp=browser().offer(gather=True))["leg_id"]
    given = mod_verto.offer_of(leg)
    assert given.count("a=candidate:") == 1
    assert "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host" in given
    assert given.startswith("v=0\r\n") and given.endswith("\r\n")


def test_the_end_of_a_leg_ends_its_connection(client, service, browser, mod_verto):
    leg = connect_to(client, browser())
    assert mod_verto.clients == 1
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: mod_verto.clients == 0, "the connection has ended")
    eventually(lambda: not service.ctx.state.items("webrtc"), "and is forgotten")


def test_two_who_end_it_at_once(client, browser):
    numbers = [client.send("webrtc_offer", sdp=browser().offer()) for _ in range(5)]
    legs = [client.reply(number)["data"]["leg_id"] for number in numbers]
    ends = [client.send("delete_leg", id=leg) for leg in legs for _ in range(2)]
    codes = [client.reply(number)["type"] for number in ends]
    assert codes.count("delete_leg.result") == 5
    for leg in legs:
        client.rewind()
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["api_hangup"]


def test_a_lost_event_socket_loses_no_leg(client, service, switch, browser):
    one = browser()
    leg = connect_to(client, one)
    made = client.ok("webrtc_offer", sdp=browser().offer())["leg_id"]
    before = service.ctx.nodes.default.reconnects
    switch.drop_connections()
    node = service.ctx.nodes.default
    eventually(lambda: node.reconnects > before and node.ready, "connected again")
    assert {one["id"] for one in client.ok("list_legs")} == {leg, made}
    one.says(700)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)


def test_media_that_came_while_nobody_watched(client, service, switch, mod_verto):
    one = SandboxBrowser(switch.switch)
    made = client.ok("webrtc_offer", sdp=one.offer())
    leg = made["leg_id"]
    one.answer(made["sdp"])
    candidate = client.ok("webrtc_get_candidates", id=leg)["candidates"][0]
    switch.drop_connections()
    one.candidate(candidate)
    client.event("leg.connected", leg_id=leg)
    assert client.types(leg_id=leg) == ["leg.connected"]


def test_a_service_that_starts_again_ends_what_it_cannot_take_up(start, connect, switch, browser):
    service = start()
    client = connect(service)
    leg = connect_to(client, browser())
    crash(service)
    # from the first event on: it may be told before a client is there
    client = connect(start(), "?since=00000000-0000-0000-0000-000000000000")
    client.event("leg.disconnected", leg_id=leg, timeout=LONG_S)
    assert reasons(client, leg)[0] in ("ice_failure", "unobserved")
    eventually(lambda: left_on(switch) == [], "nothing is left on the switch", LONG_S)


def test_a_switch_that_starts_again(client, service, switch, mod_verto, browser):
    leg = connect_to(client, browser())
    address = switch.switch.address
    switch.switch.crash()
    back = SandboxSwitch(*address)
    back.start()
    try:
        client.event("leg.disconnected", leg_id=leg, timeout=LONG_S)
        assert reasons(client, leg) == ["switch_restarted"]
        made = client.ok("webrtc_offer", sdp=an_offer())
        assert made["leg_id"] in back.channels
        client.ok("delete_leg", id=made["leg_id"])
        client.event("leg.disconnected", leg_id=made["leg_id"])
    finally:
        back.stop()


def test_a_browser_of_nobody_is_ended_and_one_of_another_service_is_not(client, service, switch, mod_verto):
    node = service.ctx.nodes.default
    port = int(switch.switch.globals["vsi_verto_port"])
    with_ours, with_other = (str(uuid.uuid4()) for _ in range(2))
    with ExitStack() as links:
        for channel, bond in ((with_ours, node.bond), (with_other, "another-bond")):
            link = links.enter_context(closing(verto.Verto("127.0.0.1", port)))
            link.connect()
            link.login("vsi@vsi", mod_verto.password)
            assert link.call(channel, sdp.read_offer(an_offer()).for_switch, {}).startswith("v=0")
            switch.esl(f"uuid_setvar {channel} signal_bond {bond}")
        switch.drop_connections()
        eventually(lambda: with_ours not in switch.channels(), "nobody's is ended")
        eventually(lambda: node.ready, "connected again")
        assert with_other in switch.channels()
    assert not client.types()


HANDED_ON = """
import os, sys
for place, number in enumerate(map(int, sys.argv[1:]), 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "vsi_esl", "serve"])
"""


class Systemd:
    """What systemd is to a unit with a file descriptor store: it keeps, and hands to the next process."""

    def __init__(self, directory):
        self.address = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self.kept = {}
        self._reader = gevent.spawn(self._read)

    def _read(self):
        while True:
            text, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(4))
            told = dict(line.split("=", 1) for line in text.decode().split("\n"))
            if "FDSTORE" in told:
                numbers = array.array("i")
                numbers.frombytes(ancillary[0][2])
                self.kept[told["FDNAME"]] = numbers[0]
            elif "FDSTOREREMOVE" in told:
                os.close(self.kept.pop(told["FDNAME"]))

    def start(self, environ, since=""):
        """The next process, with what is kept."""
        names, numbers = list(self.kept), list(self.kept.values())
        environ = {**environ, "NOTIFY_SOCKET": self.address}
        if names:
            environ |= {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}
        command = [sys.executable, "-c", HANDED_ON, *map(str, numbers)]
        return ServiceProcess(environ, since, command, pass_fds=numbers)

    def close(self):
        self._reader.kill()
        self._socket.close()
        for number in self.kept.values():
            os.close(number)


@pytest.fixture
def systemd(tmp_path):
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.close()


def test_a_killed_service_that_systemd_keeps_the_connections_of(systemd, switch, browser, tmp_path):
    one, two = browser(), browser()
    # one of the two has not sent a packet yet, and a start can take its time
    environ = environ_of(switch, tmp_path) | {"VSI_ESL_WEBRTC_MEDIA_TIMEOUT": "60"}
    first = systemd.start(environ)
    try:
        up = connect_to(first.client, one, 440)
        made = first.client.ok("webrtc_offer", sdp=two.offer(frequency=700))
        eventually(lambda: len(systemd.kept) == 2, "both connections are kept")
        since = first.client.events[-1]["event_id"]
    finally:
        first.end()
    gevent.sleep(0.3)  # longer than a switch takes to notice an end of connection
    second = systemd.start(environ, since)
    try:
        client = second.client
        early = made["leg_id"]
        assert {leg["id"] for leg in client.ok("list_legs")} == {up, early}
        two.answer(made["sdp"])
        two.candidate(client.ok("webrtc_get_candidates", id=early)["candidates"][0])
        client.event("leg.connected", leg_id=early)
        for leg in (up, early):
            client.ok("add_leg_to_room", room_id="r", leg_id=leg)
        one.hears(700)
        two.hears(440)
        assert not client.seen("leg.connected", leg_id=up) and not client.seen("leg.disconnected")
        client.ok("delete_room", id="r")
        for leg in (up, early):
            client.rewind()
            client.event("leg.disconnected", leg_id=leg)
        eventually(lambda: not systemd.kept, "nothing is kept any more")
    finally:
        second.end()
