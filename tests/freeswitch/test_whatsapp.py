"""The media of WhatsApp calls on a real switch: ICE, DTLS-SRTP and opus, against a gateway of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import certs, listen
from tests.support.dtlsmedia import DtlsMedia
from tests.support.freeswitch import PrivateSwitch
from tests.support.metapeer import BUSINESS, PASSWORD, MetaCall, MetaPeer, Users
from tests.support.vsi import VsiClient
from tests.support.waiting import eventually
from tests.support.webserver import WebServer, tone

from .conftest import ServiceProcess

HEARD = 2000
"""Amplitude of a tone that was sent at 8000: clearly there."""
HZ = 700


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certs.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[PrivateSwitch]:
    switch = PrivateSwitch(tmp_path_factory.mktemp("switch"), tls=directory)
    switch.start()
    try:
        switch.make_first_conference()
        yield switch
    finally:
        switch.kill9()  # it would wait 20 s for the connection that it does not trust
        switch.stop()


@pytest.fixture
def meta(switch: PrivateSwitch, directory: Path) -> Iterator[MetaPeer]:
    peer = MetaPeer(directory, switch.whatsapp_port)
    yield peer
    switch.api("hupall")
    peer.stop()


@pytest.fixture
def service(
    request: pytest.FixtureRequest, switch: PrivateSwitch, meta: MetaPeer, tmp_path: Path
) -> Iterator[ServiceProcess]:
    """With as long a time without media as its parameter says."""
    more = {"VSI_ESL_WHATSAPP_TARGET": meta.target, "VSI_ESL_RTP_TIMEOUT": getattr(request, "param", "20s")}
    process = ServiceProcess(switch, tmp_path, **more)
    process.start()
    yield process
    process.end()


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


def call(client: VsiClient, meta: MetaPeer, number: str = Users.ANSWERS) -> tuple[MetaCall, str]:
    """A business calls a user, who answers."""
    auth = {"password": PASSWORD}
    leg = client.ok("create_leg", type="whatsapp", to=number, from_=BUSINESS, auth=auth)["id"]
    client.event("leg.connected", leg_id=leg)
    return meta.called(), leg


def arrive(client: VsiClient, meta: MetaPeer, *, lite: bool = True) -> tuple[MetaCall, str]:
    """A user calls, and is answered."""
    peer = meta.call(lite=lite)
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    return peer, leg


def reason(client: VsiClient, leg: str) -> str:
    return client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"]


def both_ways(client: VsiClient, web: WebServer, peer: MetaCall, leg: str) -> None:
    """What is played to the leg comes back from the gateway, and is what the leg says in a recording."""
    # what is sent before the other side is ready is sent again after 1, 2 and 4 s
    eventually(lambda: peer.media.secure, f"DTLS is through {peer.media.failed}")
    url = web.put("/tone.wav", tone(HZ, 20))
    client.ok("leg_play_start", id=leg, url=url)
    eventually(lambda: peer.media.received > 20, "RTP comes")
    file = client.ok("leg_record_start", id=leg)["file"]
    received = peer.media.received
    eventually(lambda: peer.media.received > received + 75, "a second and a half passes")
    client.ok("leg_record_stop", id=leg)
    rate, samples = listen.read(client.event("recording.finished", leg_id=leg).get("file", file))
    assert rate == 48000
    said = samples[:, 0]
    assert (listen.levels(said[len(said) // 2 :], rate, HZ) > HEARD).mean() > 0.8
    assert set(peer.media.payload_types) == {111}


@pytest.mark.parametrize("setup", ["passive", "active"])
def test_audio_both_ways_with_a_user_who_is_called(client, meta, web, setup):
    """The gateway as DTLS server, and as client."""
    meta.setup = setup
    peer, leg = call(client, meta)
    both_ways(client, web, peer, leg)
    # of two full ICE agents the one that offers is to nominate; FreeSWITCH does so only as DTLS server
    assert (peer.media.role, peer.media.nominated) == {
        "passive": ("controlled", False),
        "active": ("controlling", True),
    }[setup]


@pytest.mark.parametrize("lite", [True, False], ids=["lite", "full"])
def test_audio_both_ways_with_a_user_who_calls(client, meta, web, lite):
    """By a gateway that does ICE lite, as Meta's do, and one that does not."""
    peer, leg = arrive(client, meta, lite=lite)
    both_ways(client, web, peer, leg)
    assert "a=setup:active" in peer.message("200").body
    for line in ("a=rtpmap:111 opus/48000/2", "a=rtpmap:126 telephone-event/8000", "a=rtcp-mux"):
        assert line in peer.message("200").body


@pytest.mark.parametrize("setup", ["passive", "active"])
def test_a_gateway_with_ice_lite_that_is_called_gets_no_media(client, meta, setup):
    """A limit of FreeSWITCH: before it begins DTLS, and before it uses one that the peer has begun, it waits
    for an ICE check of the peer's, which a lite agent does not make."""
    meta.setup = setup
    peer, leg = call(client, meta, Users.LITE)
    eventually(lambda: peer.media.checks > 0, "the switch checks the way")
    if setup == "active":
        eventually(lambda: peer.media.secure, "DTLS is through")
    checks = peer.media.checks
    eventually(lambda: peer.media.checks > checks + 1, "it goes on with that")
    assert (peer.media.secure, peer.media.received) == (setup == "active", 0)
    client.ok("delete_leg", id=leg)
    assert reason(client, leg) == "api_hangup"


def test_media_of_a_gateway_with_ice_lite_lasts(client, meta, web):
    """The switch stays with the gateway, and does not go where the check came from."""
    peer, leg = arrive(client, meta)
    url = web.put("/tone.wav", tone(HZ, 20))
    client.ok("leg_play_start", id=leg, url=url)
    checks = peer.media.checks
    eventually(lambda: peer.media.checks > checks + 3, "four more checks, a second apart")
    received = peer.media.received
    eventually(lambda: peer.media.received > received + 25, "RTP goes on")
    peer.dtmf("5")
    assert client.event("dtmf.received", leg_id=leg)["digit"] == "5"


def test_a_handshake_that_is_begun_too_early_takes_a_second_longer(client, meta, monkeypatch):
    """FreeSWITCH passes over DTLS until a check of its own is answered; the gateway sends it again."""
    meta.setup = "active"
    answer, early = DtlsMedia._stun, []

    def begin_first(media, data, address):
        if media._dtls is not None and not early:
            early.append(media)
            media._address = address
            media._handshake(b"")
        answer(media, data, address)

    monkeypatch.setattr(DtlsMedia, "_stun", begin_first)
    peer, leg = call(client, meta)
    eventually(lambda: peer.media.secure, f"DTLS is through {peer.media.failed}")
    assert early == [peer.media] and peer.media.repeated
    client.ok("delete_leg", id=leg)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("way", ["a user calls", "a user is called"])
def test_another_offer_within_the_call(client, meta, web, switch, way, method):
    """The media goes on, and so does the switch: 100 characters of credentials would be its end."""
    peer, leg = call(client, meta) if way == "a user is called" else arrive(client, meta)
    both_ways(client, web, peer, leg)
    new = {"ufrag": "u" * 8, "password": "p" * 24}
    for given in ({}, new, {"ufrag": "u" * 255}, {"password": "p" * 255}):
        assert peer.offer_again(**given, method=method).status == 200
        received = peer.media.received
        eventually(lambda before=received: peer.media.received > before + 75, f"RTP goes on {given}")
    assert "RUNNING" in switch.api("sofia status")
    assert client.ok("get_leg", id=leg)["state"] == "connected"


@pytest.mark.parametrize("service", ["2s"], indirect=True)
def test_a_gateway_that_vanishes(client, meta):
    peer, leg = arrive(client, meta)
    eventually(lambda: peer.media.secure, "DTLS is through")
    peer.media.silent = True
    assert reason(client, leg) == "ice_disconnected"


def test_a_certificate_that_is_not_the_one_of_the_description(client, meta, monkeypatch):
    attributes = DtlsMedia.attributes
    other = ":".join(["0C"] * 32)
    monkeypatch.setattr(
        DtlsMedia,
        "attributes",
        lambda media, setup: [line.replace(media.fingerprint, other) for line in attributes(media, setup)],
    )
    peer, leg = call(client, meta)
    assert reason(client, leg) == "ice_failed"
    assert not peer.media.received


def test_a_gateway_of_another_authority_is_not_called(client, meta, service, switch, tmp_path):
    """It takes the service to give up: the switch tries for as long as an INVITE may take."""
    stranger = MetaPeer(certs.make(tmp_path / "other"), switch.whatsapp_port)
    service.end()
    service.start(VSI_ESL_WHATSAPP_TARGET=stranger.target, VSI_ESL_WHATSAPP_INVITE_TIMEOUT="2s")
    client = VsiClient(service.address)
    leg = client.ok("create_leg", type="whatsapp", to="1", from_=BUSINESS, auth={"password": PASSWORD})["id"]
    assert reason(client, leg) == "invite_failed"
    assert not stranger.calls
    client.close()
    stranger.stop()
