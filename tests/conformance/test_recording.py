"""Recording legs and rooms: commands, events, files."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, in_room, ring


@pytest.mark.beyond("the reference knows gcs")
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_refusals(switch, client, kind):
    start, stop, pause, resume = (f"{kind}_record_{verb}" for verb in ("start", "stop", "pause", "resume"))
    assert client.error(start, id="x") == (404, f"{kind} not found")
    for command in (stop, pause, resume):
        assert client.error(command, id="x") == (404, "no recording in progress")
    client.ok("create_room", id="r")
    if kind == "room":
        assert client.error(start, id="r") == (409, "room has no participants")
    _, leg = in_room(switch, client)
    owner = leg if kind == "leg" else "r"
    assert client.error(start, id=owner, storage="tape") == (400, "unknown storage type: tape")
    assert client.error(start, id=owner, storage="s3") == (
        400,
        "S3 storage not configured: set S3_BUCKET env var or provide s3_bucket in request",
    )
    assert client.error(start, id=owner, storage="gcs")[0] == 501
    assert client.error(start, id=owner, filename="../x") == (400, "invalid recording filename")
    file = client.ok(start, id=owner, storage="file")["file"]
    assert client.error(start, id=owner) == (409, "recording already in progress")
    assert client.ok(stop, id=owner)["file"] == file


@pytest.mark.parametrize(
    "name",
    ["a/b", "a\\b", "..", ".x", "x.", "a..b", ".wav", "  ", "x" * 125, "ü" * 63, "a\nb", "a b", "a,b", "²"],
)
def test_a_name_that_is_none(switch, client, name):
    _, leg = answered(switch, client)
    assert client.error("leg_record_start", id=leg, filename=name) == (400, "invalid recording filename")


@pytest.mark.beyond("a recording stays behind in the reference")
def test_a_recording_goes_with_the_leg(switch, client):
    _, leg = answered(switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("add_leg_to_room", room_id="s", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="s", leg_id=leg)
    assert not client.seen("recording.finished")
    assert client.ok("leg_record_stop", id=leg)["file"] == file
    assert len(client.seen("recording.finished")) == 1


def test_a_leg_that_is_armed_and_never_answered(switch, client):
    peer, leg = ring(switch, client)
    client.ok("leg_record_start", id=leg)
    peer.cancel()
    assert client.event("recording.finished")["file"] == ""
    client.event("leg.disconnected", leg_id=leg)
