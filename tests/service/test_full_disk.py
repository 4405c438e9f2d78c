"""The disk with the service's own files is full: what is answered has happened and is durable, or it has not
happened."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.service import crash
from tests.support.vsi import VsiClient
from vsi_esl.app import Service

NO_SPACE = (503, "storage: No space left on device")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


class Filler:
    """Takes all that is left of a disk, until `free`."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "filler"
        with self._path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self) -> None:
        self._path.unlink()


def readiness(service: Service) -> tuple[int, dict]:
    url = f"http://127.0.0.1:{service.http.server.server_port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def use_up(client: VsiClient) -> set[str]:
    """Create rooms until no other fits into what is left of the last page of a file; those there are."""
    there = set()
    for size in (200, 100, 50, 20, 0):
        for number in range(200):
            name = f"{number}-{'r' * size}"
            frame = client.reply(client.send("create_room", id=name))
            if frame["type"] == "error":
                assert (frame["data"]["code"], frame["data"]["message"]) == NO_SPACE
                break
            there.add(name)
        else:
            pytest.fail("the disk was not full")
    return there


def test_what_is_answered_has_happened_and_nothing_else(switch, start, connect, small_disk):
    service = start(state={"path": str(small_disk / "state.sqlite3")})
    client = connect(service)
    peer, leg = answered(switch, client)
    for room in ("one", "two"):
        client.ok("create_room", id=room)
    client.ok("add_leg_to_room", room_id="one", leg_id=leg)
    client.event("leg.joined_room", room_id="one")
    filler = Filler(small_disk)
    there = {"one", "two"} | use_up(client)
    told = client.types()
    new = "n" * 100
    for command, payload in {
        "room_routing_set": {"room_id": "one", "matrix": {"a" * 50: ["b" * 50]}},
        "create_leg": {"type": "sip", "to": switch.uri("ring"), "room_id": new},
        "add_leg_to_room": {"room_id": new, "leg_id": leg, "mute": True},
        "room_play_start": {"id": "one", "tone": "us_dial"},
        "leg_record_start": {"id": leg},
        "leg_transfer": {"id": leg, "target": "sip:" + new},
        "bridge_create": {"room_id": "one", "bridge_id": "b", "peer_room_id": "two"},
    }.items():
        assert client.error(command, **payload) == NO_SPACE, command
    assert {room["id"] for room in client.ok("list_rooms")} == there
    assert [one["id"] for one in client.ok("list_legs")] == [leg]
    assert client.ok("get_leg", id=leg)["muted"] is False
    assert client.ok("room_routing_get", id="one") == {"matrix": {}}
    assert client.ok("bridge_list", room_id="one") == []
    for kind in ("room.created", "leg.ringing", "leg.joined_room", "room.routing_changed", "room.bridged"):
        assert client.types().count(kind) == told.count(kind), kind
    code, body = readiness(service)
    assert (code, body["status"], body["storage"]["ready"]) == (503, "not ready", False)
    assert body["switch"]["ready"]

    # what happens to calls is not held up
    client.ok("add_leg_to_room", room_id="two", leg_id=leg)
    client.event("leg.joined_room", room_id="two")
    peer.hang_up()
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"
    if client.reply(client.send("delete_room", id="two"))["type"] != "error":
        there.remove("two")

    filler.free()
    eventually(lambda: readiness(service)[0] == 200, "ready again")
    client.ok("create_room", id="three")
    told = client.event("room.created", room_id="three")["event_id"]
    crash(service)
    again = connect(start(state={"path": str(small_disk / "state.sqlite3")}), f"?since={told}")
    assert {room["id"] for room in again.ok("list_rooms")} == there | {"three"}
    assert again.ok("list_legs") == []
    assert again.types() == []
    assert os.path.exists(small_disk / "state.sqlite3")
