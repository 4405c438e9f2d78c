"""Who gets in, and what a token confined to an app_id sees and may do."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import websocket

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.http import HttpClient
from tests.support.service import address, http
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.config import ConfigError
from vsi_esl.protocol import registry
from vsi_esl.protocol.ids import Id, RoomToJoin

READ, CONTROL, ACME, OTHER = (new_token() for _ in range(4))
LINES = (
    line_of("reader", "read", READ),
    line_of("operator", "control", CONTROL),
    line_of("acme", "control", ACME, "acme"),
    line_of("other", "control", OTHER, "other"),
)


@pytest.fixture
def guarded(start):
    """A service with tokens."""
    return start(access={"tokens": LINES})


@pytest.fixture
def vsi(guarded):
    """Connect with a token."""
    clients: list[VsiClient] = []

    def connect(token: str, more: str = "") -> VsiClient:
        clients.append(VsiClient(address(guarded), f"?token={token}{more}"))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def refused(service, query: str = "", **headers: str) -> tuple[int, Any, Any]:
    """Status, body and headers of an upgrade that is refused."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(
            f"ws://{address(service)}/v1/vsi{query}",
            header={name: value for name, value in headers.items() if name != "Origin"},
            origin=headers.get("Origin"),
            suppress_origin="Origin" not in headers,
            timeout=20,
        )
    return caught.value.status_code, caught.value.resp_body, caught.value.resp_headers


# -- tokens --------------------------------------------------------------------------------------------------


def test_no_token(guarded):
    answer = http(guarded)("GET", "/v1/legs")
    assert answer.error == (401, "a bearer token is required")
    assert answer.body["instance_id"] == "test-1"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    code, body, headers = refused(guarded)
    assert (code, headers["www-authenticate"]) == (401, "Bearer")
    assert body == b'{"instance_id":"test-1","error":"a bearer token is required"}\n'


@pytest.mark.parametrize(
    "header",
    ["Bearer nobody", "Basic eDp5", "Bearer", f"Bearer {READ}x", READ],
    ids=["unknown", "basic", "none", "a letter more", "no scheme"],
)
def test_wrong_tokens(guarded, header):
    assert HttpClient(address(guarded), Authorization=header)("GET", "/v1/legs").status == 401
    assert refused(guarded, Authorization=header)[0] == 401
    assert refused(guarded, f"?token={READ}", Authorization=header)[0] == 401, "the header is what counts"


def test_a_token_in_the_query_is_for_upgrades_only(guarded, vsi):
    assert http(guarded)("GET", f"/v1/legs?token={READ}").status == 401
    assert vsi(READ).ok("list_legs") == []
    bearer = websocket.create_connection(
        f"ws://{address(guarded)}/v1/vsi", header={"Authorization": f"bearer {READ}"}, timeout=20
    )
    assert bearer.recv() == '{"type":"connected"}'
    bearer.close()


def test_public_pages_need_none(guarded):
    ask = http(guarded)
    assert ask("GET", "/healthz").status == 200
    assert set(ask("GET", "/readyz").body) == {"instance_id", "status", "storage", "switch"}
    assert ask("GET", "/metrics").status == 401
    assert http(guarded, READ)("GET", "/metrics").status == 200
    confined = http(guarded, ACME)("GET", "/metrics")
    assert confined.error == (403, "not for a token that is confined to an app_id")


def test_scopes(guarded, vsi):
    reader, message = vsi(READ), "the token's scope is read; this needs control"
    assert reader.error("create_room", id="r") == (403, message)
    assert reader.ok("list_rooms") == []
    assert http(guarded, READ)("POST", "/v1/rooms", {"id": "r"}).error == (403, message)
    assert http(guarded, CONTROL)("POST", "/v1/rooms", {"id": "r"}).status == 201
    reader.event("room.created", room_id="r")


# -- tenants -------------------------------------------------------------------------------------------------


def test_others_do_not_exist(switch, guarded, vsi):
    """Every command with any id of another tenant's in any of its members, as an id of whatever sort, answers
    as it does for ids that nothing has, and nothing happens."""
    operator, other = vsi(CONTROL), vsi(OTHER)
    _, leg = answered(switch, operator, headers={"X-App-ID": "acme"})
    operator.ok("create_room", id="r1", app_id="acme")
    operator.ok("create_room", id="r2", app_id="acme")
    operator.ok("create_room", id="r3", app_id="acme")
    operator.ok("add_leg_to_room", room_id="r1", leg_id=leg)
    operator.event("leg.joined_room", leg_id=leg)
    operator.ok("bridge_create", room_id="r1", bridge_id="b", peer_room_id="r2")
    operator.ok("leg_record_start", id=leg)
    operator.ok("room_record_start", id="r1")
    to_leg, to_room = (
        operator.ok(f"{kind}_play_start", id=id_, tone="dial")["playback_id"]
        for kind, id_ in (("leg", leg), ("room", "r1"))
    )
    for playback in (to_leg, to_room):
        operator.event("playback.started", playback_id=playback)
        operator.rewind()
    theirs = (leg, "r1", "r3", "b", to_leg, to_room)
    other.ok("create_room", id="own", app_id="other")
    tried, before = 0, operator.types(app_id="acme")
    for name, entry in registry.load_commands().items():
        if name == "create_leg":
            continue  # that needs the token's app_id, see below
        members = _ids(entry)
        for ids in itertools.product((*theirs, "own"), repeat=len(members)):
            if ids.count("own") == len(ids) or (set(ids[:1]) == {"own"} and name in ROOM_OF_OWN):
                continue
            unseen = [value if value == "own" else f"nobody-{theirs.index(value)}" for value in ids]
            expected = _outcome(other, name, _payload(entry, zip(members, unseen, strict=True)))
            found = _outcome(other, name, _payload(entry, zip(members, ids, strict=True)), theirs)
            if name in MAKING_A_ROOM and found[0] == 404:
                expected = 404, "room not found"  # a room of others is not joined, nobody's would be made
            assert found == expected and found[0] != 403, (name, ids)
            tried += 1
        operator.ok("list_rooms")
        assert operator.types(app_id="acme") == before, name
    assert tried > 200
    assert [view["id"] for view in other.ok("list_rooms")] == ["own"]
    assert other.ok("list_legs") == []
    assert {event["app_id"] for event in other.events} == {"other"}
    assert operator.ok("get_leg", id=leg)["room_id"] == "r1"
    for kind, id_, playback in (("leg", leg, to_leg), ("room", "r1", to_room)):
        assert operator.ok(f"{kind}_record_pause", id=id_) == {"status": "paused"}, "nobody did it before"
        assert operator.ok(f"{kind}_play_stop", id=id_, playback_id=playback) == {"status": "stopped"}
        assert operator.ok(f"{kind}_record_stop", id=id_)["status"] == "stopped"


ROOM_OF_OWN = ("bridge_list", "room_routing_set", "room_routing_update")
MAKING_A_ROOM = ("add_leg_to_room",)
EXAMPLES: dict[str, Any] = {
    "digits": "1",
    "text": "x",
    "tone": "dial",
    "direction": "send",
    "volume": 1,
    "matrix": {},
    "updates": [],
    "role": "x",
}


def _ids(entry: registry.Command) -> list[str]:
    """The members of a command that name something there is, by their type."""
    found = entry.schema.fields.items() if entry.schema else ()
    return [name for name, field in found if isinstance(field, (Id, RoomToJoin))]


def _outcome(
    client: VsiClient, name: str, payload: dict[str, Any], ids: Sequence[str] = ()
) -> tuple[int, Any]:
    """Code (0: done) and text of an answer, with names of nobody in place of these ids."""
    frame = client.reply(client.send(name, **payload))
    data = frame["data"]
    if frame["type"] != "error":
        return 0, data
    message = data["message"]
    for number, id_ in enumerate(ids):
        message = re.sub(rf"(?<![\w-]){re.escape(id_)}(?![\w-])", f"nobody-{number}", message)
    return data["code"], message


def _payload(entry: registry.Command, ids: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """A payload that is valid, whatever its ids are."""
    members = entry.schema.fields if entry.schema else {}
    return {name: EXAMPLES[name] for name in members if name in EXAMPLES} | dict(ids)


def test_a_room_named_like_a_leg_is_not_the_leg(switch, guarded, vsi):
    """Ids of rooms are the clients' to choose, the id of somebody's leg among them."""
    operator, other = vsi(CONTROL), vsi(OTHER)
    _, leg = answered(switch, operator, headers={"X-App-ID": "acme"})
    playback = operator.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    operator.event("playback.started", playback_id=playback)
    operator.ok("leg_record_start", id=leg)
    other.ok("create_room", id=leg, app_id="other")
    volume = {"id": leg, "playback_id": playback, "volume": 1}
    for client in (other, operator):
        assert client.error("room_play_stop", id=leg, playback_id=playback) == (
            404,
            "no playback in progress",
        )
        assert client.error("room_play_volume", **volume) == (404, "playback not found")
        assert client.error("room_record_pause", id=leg) == (404, "no recording in progress")
        assert client.error("room_record_stop", id=leg) == (404, "no recording in progress")
        assert client.error("room_record_start", id=leg) == (409, "room has no participants")
    assert other.ok("delete_room", id=leg) == {"status": "deleted"}
    assert operator.ok("leg_play_stop", id=leg, playback_id=playback) == {"status": "stopped"}
    assert operator.ok("leg_record_stop", id=leg)["status"] == "stopped"


def test_a_tenant_works_with_its_own(switch, guarded, vsi):
    acme = vsi(ACME)
    _, leg = answered(switch, acme, headers={"X-App-ID": "acme"})
    assert acme.error("create_room", id="r") == (403, "the token is confined to the app_id acme")
    assert acme.error("create_leg", type="sip", to="sip:a@127.0.0.1", app_id="other")[0] == 403
    acme.ok("create_room", id="r", app_id="acme")
    acme.ok("add_leg_to_room", room_id="r", leg_id=leg)
    acme.event("leg.joined_room", leg_id=leg)
    assert [room["id"] for room in acme.ok("list_rooms")] == ["r"]
    assert [one["id"] for one in acme.ok("list_legs")] == [leg]
    vsi(CONTROL).ok("create_room", id="foreign", app_id="other")
    assert acme.error("add_leg_to_room", room_id="foreign", leg_id=leg) == (404, "room not found")
    create = {"type": "sip", "to": "sip:a@127.0.0.1", "app_id": "acme", "room_id": "foreign"}
    assert acme.error("create_leg", **create) == (404, "room not found")
    assert acme.error("create_room", id="foreign", app_id="acme")[0] == 409
    rest = http(guarded, ACME)
    assert [room["id"] for room in rest("GET", "/v1/rooms").body] == ["r"]
    assert rest("GET", "/v1/rooms/foreign").error == (404, "room not found")
    assert rest("DELETE", "/v1/rooms/foreign").error == (404, "room foreign not found")


def test_a_leg_on_its_way_into_a_room_does_not_come_into_anothers_of_that_name(switch, guarded, vsi):
    """It was let into its own, which is gone when it answers; whenever that is, is its peer's to say."""
    acme, other = vsi(ACME), vsi(OTHER)
    call = {"type": "sip", "to": switch.uri("ring"), "app_id": "other", "room_id": "standup"}
    leg = other.ok("create_leg", **call)["id"]
    peer = switch.callee()
    other.ok("delete_room", id="standup")
    acme.ok("create_room", id="standup", app_id="acme")
    peer.answer()
    other.event("leg.connected", leg_id=leg)
    eventually(lambda: guarded.ctx.legs.get(leg).channel.parked, "it is in no room")
    assert acme.ok("get_room", id="standup")["participants"] == []
    assert other.types(leg_id=leg, room_id="standup") == []


def test_replayed_events_are_the_tenants_own(guarded, vsi):
    operator = vsi(CONTROL)
    operator.ok("create_room", id="x", app_id="acme")
    first = operator.event("room.created")["event_id"]
    for app in ("other", "acme", "other"):
        operator.ok("create_room", app_id=app)
    again = vsi(ACME, f"&since={first}")
    operator.ok("create_room", id="last", app_id="acme")
    again.event("room.created", room_id="last")
    assert {event["app_id"] for event in again.events} == {"acme"}
    assert len(again.events) == 2


# -- addresses, origins, limits ------------------------------------------------------------------------------


def networks(*words: str) -> Any:
    from vsi_esl.config.values import networks as parse

    return parse(list(words))


def test_addresses(start, connect):
    service = start(access={"allowed_ips": networks("192.0.2.0/24", "2001:db8::1")})
    for path in ("/v1/legs", "/healthz", "/metrics", "/nothing"):
        assert http(service)("GET", path).error == (403, "forbidden")
    assert http(service)("OPTIONS", "/v1/legs").status == 204, "a preflight is answered before"
    assert refused(service)[0] == 403
    inside = start(access={"allowed_ips": networks("127.0.0.1")})
    assert http(inside)("GET", "/v1/legs").status == 200
    assert connect(inside).ok("list_legs") == []


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("192.0.2.7", 200),
        ("192.0.2.7, 203.0.113.1", 200),
        ("203.0.113.1, 192.0.2.7", 403),
        ("::ffff:192.0.2.7", 200),
        ("nonsense", 403),
        ("", 403),
    ],
)
def test_addresses_behind_a_proxy(start, forwarded, status):
    networks_ = networks("192.0.2.0/24")
    service = start(access={"allowed_ips": networks_, "trust_proxy_headers": True})
    assert http(service, X_Forwarded_For=forwarded)("GET", "/v1/legs").status == status
    assert http(service)("GET", "/v1/legs").status == 403
    direct = start(access={"allowed_ips": networks("127.0.0.0/8")})
    assert http(direct, X_Forwarded_For=forwarded)("GET", "/v1/legs").status == 200, "not trusted, not read"


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("192.0.2.7", 200),
        ("203.0.113.1, 192.0.2.7", 200),  # the client has written the first
        ("192.0.2.7, 203.0.113.1", 403),
        ("192.0.2.7, 203.0.113.1, 127.0.0.5", 403),
        ("192.0.2.7, 127.0.0.5", 200),
        ("192.0.2.7, nonsense", 403),
        ("", 403),
    ],
)
def test_addresses_behind_a_trusted_proxy(start, forwarded, status):
    access = {"allowed_ips": networks("192.0.2.0/24"), "trusted_proxies": networks("127.0.0.0/8")}
    service = start(access=access)
    assert http(service, X_Forwarded_For=forwarded)("GET", "/v1/legs").status == status
    if status == 403:
        assert refused(service, **{"X-Forwarded-For": forwarded})[0] == 403


def test_only_trusted_proxies_may_say_who_asks(start):
    access = {"allowed_ips": networks("127.0.0.1"), "trust_proxy_headers": True}
    service = start(access={**access, "trusted_proxies": networks("192.0.2.1")})
    assert http(service, X_Forwarded_For="203.0.113.1")("GET", "/v1/legs").status == 200, "not read"


def test_a_trusted_proxy_may_hold_more_connections_than_one_client(start):
    access = {"connections_per_address": 2, "trusted_proxies": networks("127.0.0.1")}
    port = int(address(start(access=access)).rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)) for _ in range(5)]
        for one in reversed(held):
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:9", 200),
        ("http://attacker.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_without_tokens(service, origin, status):
    answer = http(service, Origin=origin)("GET", "/v1/legs")
    assert answer.status == status
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if status == 200 else None)
    if status == 403:
        assert answer.error == (403, "origin not allowed")
        assert refused(service, Origin=origin)[0] == 403


def test_a_name_that_leads_here_is_not_us(service):
    """DNS rebinding: the page's own host resolves to this machine."""
    port = address(service).rpartition(":")[2]
    host = f"attacker.example:{port}"
    assert http(service, Origin=f"http://{host}", Host=host)("GET", "/v1/legs").status == 403


def test_listed_origins(start):
    service = start(access={"allowed_origins": ("https://console.example",), "tokens": LINES})
    page = http(service, READ, Origin="https://console.example")
    answer = page("GET", "/v1/legs")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://console.example"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    preflight = http(service, Origin="https://console.example")("OPTIONS", "/v1/legs")
    assert (preflight.status, preflight.raw) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Headers"].startswith("Content-Type, Authorization")
    assert http(service, READ, Origin="https://evil.example")("GET", "/v1/legs").status == 403
    everybody = start(access={"allowed_origins": ("*",)})
    assert http(everybody, Origin="null")("GET", "/v1/legs").headers["Access-Control-Allow-Origin"] == "*"


def test_the_rate_limit(start):
    service = start(access={"tokens": LINES, "rate_limit": 5})
    ask = http(service, READ)
    # what comes back meanwhile is used up as well, however slow the machine is
    answers = [ask("GET", "/v1/legs")]
    while answers[-1].status == 200 and len(answers) < 1000:
        answers.append(ask("GET", "/v1/legs"))
    assert len(answers) > 10
    assert answers[-1].error == (429, "rate limit exceeded")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    client = VsiClient(address(service), f"?token={ACME}")
    replies = [client.reply(number) for number in [client.send("list_legs") for _ in range(100)]]
    client.close()
    errors = [reply["data"] for reply in replies if reply["type"] == "error"]
    assert errors and errors[0] == {"code": 429, "message": "rate limit exceeded"}
    assert http(service, OTHER)("GET", "/v1/legs").status == 200, "each token has its own"


def test_a_service_without_tokens_stays_on_this_machine(start):
    with pytest.raises(ConfigError, match="everybody who reaches it could control all calls"):
        start(http={"addr": "0.0.0.0:0"})
    assert start(http={"addr": ":0"}).http.server.server_host == "127.0.0.1"
