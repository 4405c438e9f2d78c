"""Commands that cross a hangup, or each other, and signalling that crosses on the wire."""

from __future__ import annotations

import pytest

from tests.support.calls import TIMES, answered, reasons

IN_A_ROOM = {
    "add_leg_to_room": {"room_id": "new"},
    "remove_leg_from_room": {"room_id": "r"},
}
ON_A_LEG = {
    "leg_record_start": {},
    "leg_play_start": {"tone": "us_dial"},
    "send_leg_dtmf": {"digits": "1"},
    "hold_leg": {},
    "mute_leg": {},
    "set_leg_role": {"role": "agent"},
    "delete_leg": {},
}


def refused(frame):
    """The code of an error; 0 for a success."""
    return frame["data"]["code"] if frame["type"] == "error" else 0


@pytest.mark.beyond("the reference may tell of a hold behind the end of the leg")
@pytest.mark.parametrize("command", [*IN_A_ROOM, *ON_A_LEG])
@pytest.mark.parametrize("first", ["hangup", "command"])
def test_a_command_that_crosses_a_hangup(switch, client, command, first):
    for _ in range(5):
        peer, leg = answered(switch, client)
        if command == "remove_leg_from_room":
            client.ok("add_leg_to_room", room_id="r", leg_id=leg)
        member = "leg_id" if command in IN_A_ROOM else "id"
        payload = (IN_A_ROOM | ON_A_LEG)[command] | {member: leg}
        number = client.send(command, **payload) if first == "command" else ""
        peer.hang_up()
        frame = client.reply(number or client.send(command, **payload), timeout=30)
        # add_leg_to_room answers for a leg that is not there with 400, as the reference does
        assert refused(frame) in (0, 404, 409) or frame["data"]["message"] == f"leg {leg} not found", frame
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) in (["remote_bye"], ["api_hangup"])
        rooms = [room["id"] for room in client.ok("list_rooms")]
        if command == "add_leg_to_room" and refused(frame):
            assert "new" not in rooms
        elif "new" in rooms:
            client.ok("delete_room", id="new")
        assert client.ok("list_legs") == []
        assert client.types(leg_id=leg)[-1] in ("leg.disconnected", "leg.left_room")


@pytest.mark.beyond("the reference may tell that the hold has failed")
def test_a_bye_while_our_re_invite_is_under_way(switch, client):
    peer, leg = answered(switch, client)
    client.ok("hold_leg", id=leg)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == ["remote_bye"]
    assert "leg.command_failed" not in client.types()


def test_a_bye_behind_a_refer(switch, client):
    for _ in range(5):
        peer, leg = answered(switch, client)
        peer.refer("sip:carol@example.org")
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["remote_bye"]


def test_our_hangup_and_the_peers_are_one_end(switch, client):
    for _ in range(TIMES):
        peer, leg = answered(switch, client)
        number = client.send("delete_leg", id=leg)
        peer.hang_up()
        client.reply(number)
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) in (["api_hangup"], ["remote_bye"])
