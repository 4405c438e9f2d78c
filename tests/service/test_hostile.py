"""Strings that mean something to a switch's parsers: they change the field they are in, and nothing else."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.calls import answered, dial
from tests.support.drivers import eventually
from tests.support.vsi import VsiClient
from vsi_esl.protocol import registry, schemas
from vsi_esl.switch.lines.builder import decode_text

HOSTILE = [
    "a,b",
    "x;y=1",
    "${hostname}",
    "$${hostname}",
    "a' b",
    "it''s",
    "{z=1}",
    "}sofia/vsi/sip:evil@127.0.0.1",
    "[a=b]",
    "\\r\\nX-Evil: 1",
    "\r\nX-Evil: 1",
    "%0d%0aX-Evil: 1",
    "x\n\napi hupall",
    "+flags{deaf}",
    "a|b",
    ":_:sofia/vsi/sip:evil@127.0.0.1",
    "ARRAY::a|:b",
    "^^:a:b",
    '"q" <sip:x@y>',
    "&system(true)",
    "room,system:true",
    "\\s\\t\\'",
    " outer ",
    "\u202eabc\u0000",
    "😀",
    "all",
    "x" * 250,
]


@pytest.mark.parametrize("value", HOSTILE)
def test_labels_come_back_as_sent(switch, client, value):
    reply = client.reply(
        client.send(
            "create_leg",
            type="sip",
            to=switch.uri("instant"),
            app_id=value,
            room_id=value,
            from_="+1",
            privacy="id",
        )
    )
    assert reply["type"] == "create_leg.result", reply
    leg = reply["data"]["id"]
    client.event("leg.connected", leg_id=leg)
    client.rewind()
    client.event("leg.joined_room", leg_id=leg, room_id=value)
    assert client.ok("set_leg_role", leg_id=leg, role=value)["role"] == value
    view = client.ok("get_leg", id=leg)
    assert (view["app_id"], view["role"], view["room_id"]) == (value, value, value)
    assert client.ok("get_room", id=value)["app_id"] == value

    def remembered() -> bool:
        dump = json.loads(switch.esl(f"uuid_dump {leg} json"))
        names = ("vsi_app_id", "vsi_role", "vsi_room")
        return all(decode_text(dump.get(f"variable_{name}", "")) == value for name in names)

    eventually(remembered, "the channel remembers the values as sent")
    dump = json.loads(switch.esl(f"uuid_dump {leg} json"))
    assert not [name for name in dump if "evil" in name.lower()]
    client.ok("delete_room", id=value)
    client.event("leg.disconnected", leg_id=leg)


def test_the_bond_channel_is_there_and_comes_back(switch, service):
    bond = service.ctx.nodes.default.bond
    eventually(lambda: switch.esl(f"uuid_exists {bond}").strip() == "true", "the bond is up")
    switch.esl(f"uuid_kill {bond}")
    eventually(lambda: switch.esl(f"uuid_exists {bond}").strip() == "true", "the bond is back")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["header", "from_", "privacy", "password"])
def test_what_goes_on_the_wire_is_exact_or_refused(switch, client, field, value):
    request = {"type": "sip", "to": switch.uri("instant")}
    if field == "header":
        request["headers"] = {"X-Test": value}
    elif field == "password":
        request["auth"] = {"username": value, "password": value}
    else:
        request[field] = value
    reply = client.reply(client.send("create_leg", **request))
    if reply["type"] == "error":
        assert reply["data"]["code"] == 400
        assert client.ok("list_legs") == []
        return
    leg = reply["data"]["id"]
    client.event("leg.connected", leg_id=leg)
    peer = switch.callee()
    if field == "header":
        assert peer.header("X-Test").strip() == value.strip()
    assert peer.header("X-Evil") == ""
    assert [view["id"] for view in client.ok("list_legs")] == [leg]
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)


@pytest.mark.parametrize(
    "value", [value for value in HOSTILE if not re.fullmatch("[a-z0-9;=]{1,100}", value)]
)
def test_destinations_are_dialled_as_given_or_refused(switch, client, value):
    code, message = client.error("create_leg", type="sip", to=f"sip:{value}@127.0.0.1:1;x={value}")
    assert code == 400
    assert message.startswith("invalid SIP URI: ")
    assert client.error("create_leg", type="sip", to=value)[0] == 400
    assert client.error("create_leg", type="sip", to=switch.uri("instant"), headers={value: "x"})[0] == 400
    assert client.ok("list_legs") == []


def test_every_string_of_every_command(switch, start, connect):
    """Whatever is put into any string field, the call in the room stays as it is."""
    # without a key nothing else would be looked at
    keys = {f"{name}_key": "k" for name in ("elevenlabs", "deepgram", "azure", "openai", "vapi")}
    service = start(providers=keys)
    client = connect(service)
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="home", leg_id=leg)
    before = client.ok("get_leg", id=leg)
    for name, entry in registry.load_commands().items():
        for field, kind in (entry.schema.fields if entry.schema else {}).items():
            if not isinstance(kind, schemas.Text):
                continue
            for value in HOSTILE:
                payload = {kind.data_key or field: value}
                reply = client.reply(client.send(name, **payload))
                assert reply["data"] is not None
                if reply["type"] == "error":
                    assert reply["data"]["code"] in (400, 404, 409), (name, payload, reply)
    assert client.ok("get_leg", id=leg) == before
    assert [view["id"] for view in client.ok("list_legs")] == [leg]

    bond = service.ctx.nodes.default.bond
    eventually(lambda: set(switch.channels()) - {bond} == {leg}, "the call is the only one")
    assert "BYE" not in peer.seen


@pytest.mark.parametrize("value", HOSTILE)
def test_callers_cannot_say_anything_harmful_either(switch, client, value):
    """Display names and headers of an inbound call are somebody else's strings."""
    if any(char in value for char in "\r\n\0"):
        value = value.replace("\r", " ").replace("\n", " ").replace("\0", " ")
    shown = value.replace('"', "").replace("\\", "")
    switch.call(headers={"X-Test": value}, display=shown)
    event = client.event("leg.ringing")
    got = event.get("sip_headers", {}).get("X-Test", "")
    assert got.strip() == value.strip() or "${" in value
    client.ok("answer_leg", id=event["leg_id"])
    client.event("leg.connected")
    client.ok("delete_leg", id=event["leg_id"])
    client.event("leg.disconnected", leg_id=event["leg_id"])


def test_an_id_of_900_kilobytes_is_not_told_to_everybody(service):
    """In a frame; over REST it would be part of the path."""
    address = f"127.0.0.1:{service.http.server.server_port}"
    client, other = VsiClient(address), VsiClient(address)
    client.ok("create_room", id="r")
    code, message = client.error("remove_leg_from_room", room_id="r", leg_id="x" * 900_000)
    assert (code, message) == (400, "invalid payload: leg_id: longer than 256 characters")
    client.ok("delete_room", id="r")
    other.event("room.deleted", room_id="r")
    assert other.types() == ["room.created", "room.deleted"]
    client.close()
    other.close()


def test_a_plain_call_has_neither_ice_nor_dtls(switch, client):
    """The switch is not to look at what a peer says of them, in any of its descriptions."""
    _, leg = answered(switch, client)
    other = dial(switch, client)
    client.event("leg.connected", leg_id=other)
    for one in (leg, other):
        assert switch.esl(f"uuid_getvar {one} ignore_sdp_ice").strip() == "true"
