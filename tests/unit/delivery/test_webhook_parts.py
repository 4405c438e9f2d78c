"""Where an event goes, when it is tried again, and what a signature is."""

from __future__ import annotations

import ipaddress
import time

import pytest

from vsi_esl.config.web import WebhookSettings
from vsi_esl.delivery.webhooks.breaker import LANES_TO_OPEN, Backoff, Breaker
from vsi_esl.delivery.webhooks.failure import ANSWERED, SILENT, UNREACHED, Undelivered
from vsi_esl.delivery.webhooks.post import signature
from vsi_esl.delivery.webhooks.targets import GLOBAL, Router, endpoint_of, host_of, of_call, requested
from vsi_esl.errors import Invalid
from vsi_esl.events.legs import LegDisconnected, LegMuted
from vsi_esl.events.rooms import LegJoinedRoom, RoomCreated, RoomRoutingChanged
from vsi_esl.model.leg import Leg, Webhook
from vsi_esl.model.legtypes import SIP_INBOUND
from vsi_esl.model.room import Room
from vsi_esl.model.stores import Legs, Rooms
from vsi_esl.net.guard import AddressGuard
from vsi_esl.sound.bridges.events import RoomBridged
from vsi_esl.sound.playback.events import PlaybackStarted


@pytest.fixture
def stores():
    legs, rooms = Legs(), Rooms()
    legs.add(Leg("hooked", SIP_INBOUND, 0.0, webhook=Webhook("https://leg.example/x", "l")))
    legs.add(Leg("plain", SIP_INBOUND, 0.0))
    rooms.add(Room("hooked", 8000, webhook=Webhook("http://room.example:81/")))
    rooms.add(Room("plain", 8000))
    return legs, rooms


def where(event, stores, has_global=True):
    target = Router(*stores, has_global).target(event)
    return target and (target.endpoint, target.key, target.secret)


LEG, ROOM, ALL = endpoint_of("https://leg.example/x"), "http://room.example:81/", GLOBAL


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (LegMuted(leg_id="hooked"), (LEG, "hooked", "l")),
        (LegMuted(leg_id="plain"), (ALL, "plain", "")),
        (LegMuted(leg_id=""), (ALL, "", "")),
        (LegJoinedRoom(leg_id="hooked", room_id="hooked"), (LEG, "hooked", "l")),
        (LegJoinedRoom(leg_id="plain", room_id="hooked"), (ROOM, "plain", "")),
        (LegJoinedRoom(leg_id="plain", room_id="gone"), (ALL, "plain", "")),
        (RoomRoutingChanged(room_id="hooked", matrix={}, reason="x"), (ROOM, "hooked", "")),
        (RoomCreated(room_id="hooked"), (ALL, "hooked", "")),
        (
            RoomBridged(bridge_id="b", room_a_id="hooked", room_b_id="plain", direction="both"),
            (ROOM, "hooked", ""),
        ),
        (
            RoomBridged(bridge_id="b", room_a_id="plain", room_b_id="hooked", direction="both"),
            (ALL, "plain", ""),
        ),
        (PlaybackStarted(room_id="hooked", playback_id="p"), (ROOM, "hooked", "")),
        (PlaybackStarted(leg_id="hooked", playback_id="p"), (LEG, "hooked", "l")),
    ],
)
def test_routing(stores, event, expected):
    assert where(event, stores) == expected
    if expected[0] == ALL:
        assert where(event, stores, has_global=False) is None


def test_a_legs_webhook_outlives_the_leg_until_its_last_event(stores):
    legs = stores[0]
    legs.remove(legs.get("hooked"))
    assert where(LegMuted(leg_id="hooked"), stores)[0] == LEG
    assert where(LegDisconnected(leg_id="hooked", cdr={}), stores)[0] == LEG
    assert where(LegMuted(leg_id="hooked"), stores)[0] == ALL


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("HTTPS://A.Example", "https://a.example:443/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://user:pass@a.example/?x#y", "http://a.example:80/"),
        ("rubbish", "invalid"),
    ],
)
def test_endpoints(url, endpoint):
    assert endpoint_of(url) == endpoint
    assert endpoint_of(url).startswith(host_of(endpoint))


def test_a_path_is_an_endpoint_of_its_own_and_not_shown():
    one = endpoint_of("http://a.example/secret/path?x=1")
    assert one == endpoint_of("http://user@a.example:80/secret/path?x=2#y")
    assert one != endpoint_of("http://a.example/secret/other")
    assert host_of(one) == host_of(endpoint_of("http://a.example/")) == "http://a.example:80"
    assert "secret" not in one
    assert host_of(GLOBAL) == GLOBAL


GUARD = AddressGuard(False)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
        "https://localhost/",
        "https://x.localhost/",
        "https://LocalHost./",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://a b.example/",
        "http://a.example/\r\nX: y",
        "http://a.example/#\ud800",
        "file:///etc/passwd",
        "http://example.com:99999/",
        "x" * 5000,
    ],
)
def test_urls_that_are_refused(url):
    with pytest.raises(Invalid, match=r"^webhook_url: "):
        requested(url, "", GUARD)


def test_secrets_that_are_refused():
    for secret in ("x" * 1025, "\ud800"):
        with pytest.raises(Invalid, match=r"^webhook_secret: "):
            requested("http://a.example/", secret, GUARD)


def test_what_is_allowed():
    assert requested("", "s", GUARD) is None
    assert requested("https://bücher.example/é x", "", GUARD) == Webhook("https://bücher.example/é x")
    assert requested("https://8.8.8.8/x", "s", GUARD) == Webhook("https://8.8.8.8/x", "s")
    assert requested("http://127.0.0.1:1/", "", AddressGuard(True)) == Webhook("http://127.0.0.1:1/")


def call(source="10.1.2.3", trusted="10.0.0.0/8", **headers):
    networks = (ipaddress.ip_network(trusted),) if trusted else ()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return of_call(named, source, WebhookSettings(from_sip_networks=networks), GUARD)


def test_a_callers_webhook():
    good = {"X_WEBHOOK_url": " https://a.example/ ", "x_webhook_secret": "s"}
    assert call(**good) == Webhook("https://a.example/", "s")
    assert call(trusted="", **good) is None
    assert call(source="11.0.0.1", **good) is None
    assert call(source="", **good) is None
    assert call(source="rubbish", **good) is None
    assert call(x_webhook_secret="s") is None
    assert call(X_Webhook_URL="http://127.0.0.1/") is None


def test_backoff():
    backoff = Backoff(1.0, 300.0)
    for attempts, low, high in (
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 4),
        (9, 128, 256),
        (10, 150, 300),
        (999, 150, 300),
    ):
        waits = [backoff.wait(attempts) for _ in range(50)]
        assert low <= min(waits) <= max(waits) <= high
    assert Backoff(5.0, 1.0).wait(1) == 5.0


def failures(stage: str, *keys: str) -> Breaker:
    breaker = Breaker(Backoff(1.0, 300.0))
    for key in keys:
        breaker.failed(key, Undelivered("x", stage))
    return breaker


def test_the_breaker_opens_for_what_is_the_receivers_fault():
    many = [f"leg{number}" for number in range(LANES_TO_OPEN)]
    assert failures(UNREACHED, "a").open
    assert failures(SILENT, *many).open
    assert not failures(SILENT, *["a"] * 50).open  # its event may be to blame
    assert not failures(ANSWERED, *many * 20).open


def test_one_success_closes_the_breaker_and_resets_it():
    breaker = failures(SILENT, "a", "b")
    breaker.succeeded()
    breaker.failed("c", Undelivered("x", SILENT))
    assert not breaker.open


def test_probes_wait_longer_and_longer_and_change_lanes():
    breaker = failures(UNREACHED, "a")
    for number in range(20):
        breaker.failed(f"leg{number}", Undelivered("x", ANSWERED))
    assert breaker.open
    assert breaker.due - time.monotonic() > 100
    assert breaker.avoided == [f"leg{number}" for number in range(12, 20)]


def test_signature():
    # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature("Jefe", b"what do ya want for nothing?") == f"sha256={expected}"
