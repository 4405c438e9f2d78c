"""A switch goes from a running service and comes back to it: the model forgets all of it without a word, and
has it again as it was."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.support.clustered import Site
from tests.support.drivers import eventually
from vsi_esl.cdr import files
from vsi_esl.cdr.feature import CallRecords
from vsi_esl.cluster.connection import RedisUnavailable
from vsi_esl.model.sound_stores import Bridges, Playbacks, Recordings
from vsi_esl.ownership import owning
from vsi_esl.storage.state import NODE


@pytest.fixture
def one(site: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    monkeypatch.setattr(owning, "STEADY_S", 0.5)
    monkeypatch.setattr(owning, "TICK_S", 0.1)
    made: Site = site("east", cdr={"path": str(tmp_path / "calls")})
    return made


def hand_over(site: Site) -> None:
    """As for another service that wants it."""
    ownership = site.service.ctx.cluster
    ownership._hand_over((site.name,))
    assert not ownership.owned(site.name) and ownership.handed_over == 1


def views(client: Any) -> tuple[list[Any], list[Any]]:
    """Legs and rooms, in an order of their own."""

    def by_id(found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda one: one["id"])

    rooms = [{**room, "participants": by_id(room["participants"])} for room in client.ok("list_rooms")]
    return by_id(client.ok("list_legs")), by_id(rooms)


def test_all_that_is_on_it_goes_and_comes_back(one, monkeypatch):
    monkeypatch.setattr(owning, "STEADY_S", 3.0)  # it is to be away while it is looked at
    ctx, client = one.service.ctx, one.client()
    legs = []
    for _ in range(3):
        _, leg = one.call(client)
        client.ok("answer_leg", id=leg)
        client.event("leg.connected", leg_id=leg)
        legs.append(leg)
    client.ok("create_room", id="empty", sample_rate=8000)
    for leg, room in zip(legs, ("a", "a", "b"), strict=True):
        client.ok("add_leg_to_room", room_id=room, leg_id=leg)
        client.event("leg.joined_room", leg_id=leg)
    client.ok("mute_leg", id=legs[0])
    client.ok("bridge_create", room_id="a", peer_room_id="b", bridge_id="x")
    client.ok("leg_record_start", id=legs[0])
    client.ok("room_record_start", id="b")
    client.ok("room_play_start", id="a", tone="us_dial")
    client.event("playback.started", room_id="a")
    before = views(client)
    channels = set(one.switch.channels())
    stores = [ctx.get(kind) for kind in (Playbacks, Recordings, Bridges)]
    assert [len(store) for store in stores] == [1, 2, 1] and len(ctx.get(CallRecords).accounts) == 3
    told = len(client.events)
    hand_over(one)
    assert [len(store) for store in (*stores, ctx.get(CallRecords).accounts, ctx.legs, ctx.rooms)] == [0] * 6
    assert not ctx.state.legs() and not ctx.state.rooms() and not ctx.state.items("recording")
    assert client.error("mute_leg", id=legs[1])[0] == 503
    eventually(lambda: ctx.nodes.default.ready, "it has come back", 20)
    assert views(client) == before
    assert [len(store) for store in stores] == [1, 2, 1] and len(ctx.get(CallRecords).accounts) == 3
    assert len(client.events) == told and channels <= set(one.switch.channels())
    client.ok("leg_record_stop", id=legs[0])
    client.event("recording.finished", leg_id=legs[0])
    client.ok("delete_room", id="b")
    client.event("leg.disconnected", leg_id=legs[2])
    client.ok("unmute_leg", id=legs[0])


def test_what_was_known_of_a_switch_that_is_not_ours_is_no_reason_to_leave_a_room_out(one, monkeypatch):
    """A service that was killed knows where a room was then. It has moved to the switch that comes first."""
    monkeypatch.setattr(owning, "STEADY_S", 3.0)
    ctx, client = one.service.ctx, one.client()
    shipping = ctx.cluster._hands.shipping
    _, leg = one.call(client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("create_room", id="blue", sample_rate=8000)
    client.ok("add_leg_to_room", room_id="blue", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="blue", leg_id=leg)
    client.event("leg.left_room", leg_id=leg)
    hand_over(one)
    key = ("rooms", ("blue",))
    row = list(shipping.read("east")[1][key])
    row[NODE["rooms"]] = "west"
    ctx.state.replace((), [("rooms", tuple(row))])
    shipping.adopted("west", [key])
    eventually(lambda: ctx.nodes.default.ready, "it has come back", 20)
    assert client.ok("get_room", id="blue")["sample_rate"] == 8000
    client.ok("add_leg_to_room", room_id="blue", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)


def test_a_recording_that_goes_with_it_is_finished_by_whoever_has_it_then(one):
    """Here that is the same service."""
    ctx, client = one.service.ctx, one.client()
    _, leg = one.call(client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("leg_record_start", id=leg)
    client.event("recording.started", leg_id=leg)
    hand_over(one)
    one.switch.esl(f"uuid_kill {leg}")
    assert len(ctx.get(Recordings)) == 0
    eventually(lambda: ctx.nodes.default.ready, "it has come back", 20)
    assert client.event("recording.finished", leg_id=leg)["file"]
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(leg_id=leg).count("leg.disconnected") == 1


def test_a_recording_that_had_not_begun_when_it_went_is_not_reported_as_one_that_ended(one):
    ctx, client = one.service.ctx, one.client()
    _, leg = one.call(client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    one.switch.freeze()
    asked = client.send("leg_record_start", id=leg)
    eventually(lambda: len(ctx.get(Recordings)) == 1, "it is on its way")
    hand_over(one)
    one.switch.thaw()
    assert client.reply(asked)["data"]["code"] == 503
    eventually(lambda: ctx.nodes.default.ready, "it has come back", 20)
    eventually(lambda: len(ctx.get(Recordings)) == 0, "it is undone")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    assert not [kind for kind in client.types(leg_id=leg) if kind.startswith("recording.")]


@pytest.mark.parametrize("disk", ["good", "full"])
def test_the_record_of_a_call_that_ended_just_before_is_written_by_one_of_the_two(
    one, tmp_path, disk, monkeypatch
):
    ctx, client = one.service.ctx, one.client()
    redis, rows = one.deployment.redis, one.deployment.redis.key("state", "east")
    if disk == "full":

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files, "append", full)
    _, leg = one.call(client)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    hand_over(one)
    written = tmp_path.joinpath("calls").read_text().count(leg) if disk == "good" else 0
    waits = f"items|cdr|{leg}".encode() in redis.command("HKEYS", rows)
    assert (bool(written), waits) == ((True, False) if disk == "good" else (False, True))
    assert len(ctx.get(CallRecords).writer) == 0


def test_one_that_redis_does_not_take_over_stays_with_all_that_is_known(one, redis_server, monkeypatch):
    ctx, client = one.service.ctx, one.client()
    _, leg = one.call(client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id="a", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    redis_server.stop()
    eventually(lambda: not one.deployment.redis.available, "it is gone")
    client.ok("create_room", id="b", sample_rate=8000)
    client.ok("mute_leg", id=leg)
    before = views(client)
    ownership, fence = ctx.cluster, ctx.cluster.fence(one.name)
    ownership._hand_over((one.name,))  # Redis has not all of it: nothing is begun
    assert ownership.owned(one.name) and len(ctx.legs) == 1
    monkeypatch.setattr(ownership._hands, "shipped", lambda switch: True)  # it goes away behind that
    with pytest.raises(RedisUnavailable):
        ownership._hand_over((one.name,))
    assert len(ctx.legs) == 0
    eventually(lambda: ownership.owned(one.name) and ctx.nodes.default.ready, "it has it again", 20)
    assert views(client) == before and ownership.fence(one.name) == fence and not ownership.handed_over
    redis_server.start()
    client.ok("unmute_leg", id=leg)
    key = one.deployment.redis.key("state", one.name)
    eventually(lambda: b"rooms|b" in fields(one, key), "Redis has all of it", 20)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(leg_id=leg).count("leg.disconnected") == 1


def fields(one: Site, key: str) -> list[bytes]:
    """The fields of a hash; none while Redis is away."""
    redis = one.deployment.redis
    return list(redis.command("HKEYS", key)) if redis.available else []
