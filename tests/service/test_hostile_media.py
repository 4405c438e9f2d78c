"""Media over WebSockets: peers that come and go at the wrong moment, or mean harm."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from tests.support.drivers import eventually
from tests.support.mediasocket import MediaServer, Refused, close_all, leg_socket, opened
from tests.support.service import address, http
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.live.sessions import Sessions
from vsi_esl.streams import legs
from vsi_esl.streams.legs import Peers


class At:
    """A service, as `mediasocket` wants it."""

    def __init__(self, service) -> None:
        self.address = address(service)


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def warm(service):
    """A service whose media worker runs already: nothing waits for its start."""
    leg_socket(At(service)).message("connected")
    return service


def test_a_leg_that_nobody_takes_ends_at_once(client, warm):
    """Its session can be over before anything of it is on the switch, which then has nothing to report."""
    for _ in range(5):
        leg = client.ok("create_leg", type="websocket", url="ws://127.0.0.1:1/")["id"]
        end = client.event("leg.disconnected", leg_id=leg, timeout=8)
        assert end["cdr"]["reason"] == "service_unavailable"
    eventually(lambda: len(warm.ctx.get(Peers)) == 1, "none but the first is left")


def test_a_peer_that_leaves_at_once_ends_its_leg_at_once(client, warm):
    client.event("leg.ringing")
    for _ in range(8):
        leg_socket(At(warm)).reset()
        leg = client.event("leg.ringing")["leg_id"]
        end = client.event("leg.disconnected", leg_id=leg, timeout=8)
        assert end["cdr"]["reason"] == "connection_reset"
    eventually(lambda: len(warm.ctx.get(Peers)) == 1, "none but the first is left")


def test_what_a_client_says_to_the_other_end_only(client, service, log):
    there = MediaServer()
    try:
        secrets = {
            "Authorization": "Bearer s3cret-a",
            "cookie": "s3cret-b",
            "Proxy-Authorization": "s3cret-c",
        }
        headers = {**secrets, "X-Call": "7"}
        client.ok("create_leg", type="websocket", url=there.url, headers=headers)
        ringing = client.event("leg.ringing")
        assert ringing["sip_headers"] == {"X-Call": "7"}
        there.peer()
        assert there.requests[0].items() >= headers.items()
        assert "s3cret" not in f"{client.events} {log.above_debug}"
    finally:
        there.stop()


@pytest.mark.parametrize("path", ["a b", "a HTTP/1.1", "\0", "\r\nX: y", "\n", "\x7f"])
def test_what_would_end_the_line_of_a_request_is_in_no_url(client, service, path):
    url = f"ws://127.0.0.1:1/{path}x"
    assert client.error("create_leg", type="websocket", url=url) == (400, "url: invalid URL")
    assert not service.ctx.legs.everyone()


# -- who may -----------------------------------------------------------------------------------------------

READ, CONTROL, ACME, OTHER = (new_token() for _ in range(4))
LINES = (
    line_of("reader", "read", READ),
    line_of("operator", "control", CONTROL),
    line_of("acme", "control", ACME, "acme"),
    line_of("other", "control", OTHER, "other"),
)


@pytest.fixture
def guarded(start):
    return start(access={"tokens": LINES})


def turned_away(service, path: str, token: str = "", **query: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(Refused) as refused:
        opened(address(service), path, headers=headers, **query)
    return refused.value.status, refused.value.error


def test_who_may_open_media_sockets(guarded):
    operator = http(guarded, CONTROL)
    assert operator("POST", "/v1/rooms", {"id": "theirs", "app_id": "acme"}).status == 201
    leg, room, nobody = "/v1/legs/websocket", "/v1/rooms/theirs/ws", "/v1/rooms/nobody/ws"
    for path in (leg, room, nobody):
        assert turned_away(guarded, path)[0] == 401
        assert turned_away(guarded, path, READ)[0] == 403
    assert turned_away(guarded, room, OTHER) == turned_away(guarded, nobody, OTHER) == (404, "room not found")
    assert turned_away(guarded, "/v1/rooms/%74heirs/ws", OTHER) == (404, "room not found")
    assert turned_away(guarded, leg, OTHER)[0] == 403
    assert turned_away(guarded, leg, OTHER, app_id="acme")[0] == 403
    assert turned_away(guarded, leg, OTHER, app_id="other", APP_ID="acme")[0] == 403
    assert turned_away(guarded, leg, OTHER, app_id="other", room_id="theirs") == (404, "room not found")
    assert turned_away(guarded, leg, ACME, app_id="acme", webhook_url="ftp://x")[0] == 400
    assert not guarded.ctx.legs.everyone()
    assert len(guarded.ctx.rooms) == 1


def test_a_token_that_only_reads_takes_no_candidates(guarded):
    """They are told once: the browser that they are for would never connect."""
    reader = http(guarded, READ)
    assert reader("GET", "/v1/legs/nobody/ice-candidates").status == 403
    assert http(guarded, CONTROL)("GET", "/v1/legs/nobody/ice-candidates").status == 404


def test_a_token_that_is_withdrawn_while_its_leg_begins(guarded, monkeypatch):
    """Who ignores the close frame has no leg all the same."""
    begin, here = legs.begin, Event()

    def withdrawn(ctx, leg, *args, **more):
        session = begin(ctx, leg, *args, **more)
        here.wait(20)
        gevent.joinall(guarded.http._streams.close(1008, "token withdrawn"))
        return session

    monkeypatch.setattr(legs, "begin", withdrawn)
    headers = {"Authorization": f"Bearer {CONTROL}"}
    peer = opened(address(guarded), "/v1/legs/websocket", headers=headers)
    peer.protocol.receive_data = lambda data: None
    here.set()
    eventually(lambda: not guarded.ctx.legs.everyone(), "there is no leg")
    eventually(lambda: not len(guarded.http._streams), "it is closed")
    assert peer.ended() in ("eof", "reset")
    eventually(lambda: not guarded.ctx.get(Sessions)._live, "nothing is left")
