"""The console without a browser: its files, who gets them, and what it is told."""

from __future__ import annotations

import re

import pytest
import websocket

from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.service import address, http
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.console.files import files

READ, CONTROL, ADMIN, ACME = (new_token() for _ in range(4))
LINES = (
    line_of("reader", "read", READ),
    line_of("operator", "control", CONTROL),
    line_of("chief", "admin", ADMIN),
    line_of("acme", "read", ACME, "acme"),
)


@pytest.fixture
def guarded(start):
    return start(access={"tokens": LINES})


def test_the_page_and_all_of_its_files_need_no_token(guarded):
    get = http(guarded)
    page = get("GET", "/console")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    named = set(re.findall(r'(?:href|src)="console/([^"]+)"', page.raw.decode()))
    assert {"main.js", "theme.js", "base.css"} <= named <= set(files())
    for name in files():
        answer = get("GET", f"/console/{name}")
        assert (name, answer.status) == (name, 200)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")


def test_its_policy_lets_nothing_else_in(service):
    headers = http(service)("GET", "/console").headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == policy["default-src"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == policy["style-src"] == policy["script-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    page = files()["index.html"].body.decode()
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=", page)


def test_it_is_not_sent_again_while_it_is_the_same(service):
    get = http(service)
    tag = get("GET", "/console/main.js").headers["ETag"]
    again = get("GET", "/console/main.js", If_None_Match=tag)
    assert (again.status, again.raw) == (304, b"")
    assert get("GET", "/console/main.js", If_None_Match='"other"').status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/console/nothing.js",
        "/console/../console/main.js",
        "/console/%2e%2e/files.py",
        "/console/views/../../files.py",
        "/console/views%2flegs.js%00",
        "/console/views/nothing.js",
    ],
)
def test_there_is_nothing_else(service, path):
    assert http(service)("GET", path).error == (404, "not found")


def test_a_slash_behind_it_leads_to_it(guarded):
    answer = http(guarded)("GET", "/console/")
    assert (answer.status, answer.headers["Location"]) == (308, "../console")


def test_it_can_be_switched_off(start):
    get = http(start(console={"enabled": False}))
    for path in ("/console", "/console/", "/console/main.js", "/console/state", "/console/webhooks"):
        assert get("GET", path).error == (404, "not found")


# -- state ---------------------------------------------------------------------------------------------------


def test_the_state_needs_a_token(guarded):
    assert http(guarded)("GET", "/console/state").error == (401, "a bearer token is required")
    assert http(guarded, "wrong")("GET", "/console/state").error == (401, "the bearer token is not valid")
    state = http(guarded, READ)("GET", "/console/state").body
    assert state["you"] == {"name": "reader", "scope": "read", "app_id": ""}
    assert state["instance_id"] == "test-1"


def test_the_state_says_what_commands_do_not(switch, service, client, prompt):
    _, leg = answered(switch, client, from_="+15550123", to="+15550199")
    _, ringing = ring(switch, client, from_="+15550124")
    client.ok("add_leg_to_room", room_id="r", leg_id=leg, role="agent", mute=True)
    client.ok("create_room", id="other")
    client.ok("room_routing_set", room_id="r", matrix={"agent": ["caller"]})
    client.ok("bridge_create", room_id="r", peer_room_id="other", direction="send")
    client.ok("leg_record_start", id=leg)
    playing = client.ok("room_play_start", id="r", tone="dial", repeat=-1)["playback_id"]
    client.event("playback.started", playback_id=playing)
    state = http(service)("GET", "/console/state").body
    legs = {one["id"]: one for one in state["legs"]}
    found = legs[leg]
    assert (found["from"], found["to"], found["role"], found["muted"]) == (
        "+15550123",
        "+15550199",
        "agent",
        True,
    )
    assert found["created_at"] <= found["answered_at"] <= state["now"] <= found["created_at"] + 60
    assert legs[ringing]["answered_at"] == 0
    assert {one["id"]: one["matrix"] for one in state["rooms"]} == {"r": {"agent": ["caller"]}, "other": {}}
    (bridge,) = state["bridges"]
    assert (bridge["room_a_id"], bridge["room_b_id"], bridge["direction"]) == ("r", "other", "a_to_b")
    (recording,) = state["recordings"]
    assert (recording["leg_id"], recording["state"], recording["paused"]) == (leg, "running", False)
    assert [(one["room_id"], one["id"], one["kind"]) for one in state["playbacks"]] == [
        ("r", playing, "playback")
    ]
    client.ok("leg_record_stop", id=leg)
    assert http(service)("GET", "/console/state").body["recordings"] == []


def test_a_confined_token_is_told_of_its_own_only(switch, guarded):
    client = VsiClient(address(guarded), f"?token={CONTROL}")
    try:
        _, own = answered(switch, client, headers={"X-App-ID": "acme"})
        _, other = answered(switch, client, headers={"X-App-ID": "other"})
        for leg, room, app in ((own, "of acme", "acme"), (other, "of others", "other")):
            client.ok("leg_record_start", id=leg)
            client.ok("create_room", id=room, app_id=app)
            client.ok("add_leg_to_room", room_id=room, leg_id=leg)
            playing = client.ok("room_play_start", id=room, tone="dial", repeat=-1)
            client.event("playback.started", playback_id=playing["playback_id"])
        state = http(guarded, ACME)("GET", "/console/state").body
    finally:
        client.close()
    assert state["you"]["app_id"] == "acme"
    assert [one["id"] for one in state["legs"]] == [one["leg_id"] for one in state["recordings"]] == [own]
    assert (
        [one["id"] for one in state["rooms"]] == [one["room_id"] for one in state["playbacks"]] == ["of acme"]
    )
    assert "other" not in str(state)


# -- webhooks ------------------------------------------------------------------------------------------------


def test_webhooks_are_listed_for_admins(start, connect, switch):
    service = start(
        access={"tokens": LINES},
        webhooks={"url": "http://127.0.0.1:1/here?secret=s", "allow_private_urls": True, "secret": "hidden"},
    )
    client = connect(service, f"?token={CONTROL}")
    _, leg = ring(switch, client)
    denied = http(service, CONTROL)("GET", "/console/webhooks").error
    assert denied == (403, "the token's scope is control; this needs admin")
    asked = http(service, ADMIN)
    eventually(lambda: asked("GET", "/console/webhooks").body["pending"] != [], "it waits")
    answer = asked("GET", "/console/webhooks")
    assert answer.body["in_file"] and answer.body["pending_total"] == 1 and answer.body["dead"] == []
    (row,) = answer.body["pending"]
    assert (row["type"], row["key"]) == ("leg.ringing", leg)
    assert b"secret=s" not in answer.raw and b"hidden" not in answer.raw


def test_webhooks_in_memory_are_counted_only(start):
    service = start(webhooks={"mode": "best_effort"})
    body = http(service)("GET", "/console/webhooks").body
    assert body == {"instance_id": "test-1", "in_file": False, "pending_total": 0, "dead_total": 0}


# -- the token of a browser ----------------------------------------------------------------------------------


def connected(service, *protocols: str):
    ws = websocket.create_connection(
        f"ws://{address(service)}/v1/vsi", timeout=20, subprotocols=list(protocols) or None
    )
    try:
        return ws.subprotocol
    finally:
        ws.close()


def test_a_token_may_stand_among_the_subprotocols(guarded):
    assert connected(guarded, "vsi", f"bearer.{READ}") == "vsi"


@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        ((f"bearer.{READ}",), "a bearer token is required"),
        (("vsi", "bearer.wrong"), "the bearer token is not valid"),
        (("vsi", "bearer."), "a bearer token is required"),
        (("vsi",), "a bearer token is required"),
    ],
)
def test_no_other_subprotocol_lets_in(guarded, protocols, words):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connected(guarded, *protocols)
    assert caught.value.status_code == 401
    assert words.encode() in caught.value.resp_body


def test_a_subprotocol_that_is_not_spoken_is_not_named(service):
    """Which ends it for a client that wants one, as browsers do."""
    with pytest.raises(websocket.WebSocketException, match="Invalid WebSocket Header"):
        connected(service, "chat")
