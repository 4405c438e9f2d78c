"""Two services with one switch after the other, which is on another machine: its companion does what the one
says that has the switch, and what it was told before is that one's to hear of."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import answered, in_room
from tests.support.certs import Authority
from tests.support.companion import CompanionProcess
from tests.support.drivers import SandboxDriver, eventually
from tests.support.http import HttpClient
from tests.support.redisserver import RedisServer
from tests.support.s3server import ACCESS_KEY, SECRET_KEY, clean_environment, scripted
from tests.support.services import OneOfSeveral
from tests.support.vsi import VsiClient
from vsi_esl.switch.lines import fence

LONGEST_S = 40.0
NEXT_ATTEMPT_S = 90.0
"""Between two attempts of an upload is a minute at most, by chance."""


@pytest.fixture
def companion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompanionProcess]:
    clean_environment(monkeypatch)
    one = CompanionProcess(tmp_path / "there", Authority(tmp_path / "ca"))
    one.start()
    yield one
    one.end()


class Site:
    """The switch east, and services a and b."""

    def __init__(self, directory: Path, redis: RedisServer, companion: CompanionProcess, **more: Any) -> None:
        self.redis, self.companion, self.directory = redis, companion, directory
        self.switch = SandboxDriver()
        self._clients: list[VsiClient] = []
        link = {"companion": asdict(companion.link())}
        self.services = [
            OneOfSeveral(
                name, directory, redis, {"east": self.switch}, entries={"east": link}, hurried=False, **more
            )
            for name in ("a", "b")
        ]
        for one in self.services:
            one.listening()
        self.settled()

    def settled(self) -> None:
        """The first by name has the switch and its companion, as one has if all are there; the other has
        neither."""
        eventually(lambda: self.has(self.owner) and not self.has(self.other), "the first has it", LONGEST_S)

    @property
    def owner(self) -> OneOfSeveral:
        return self.services[0]

    @property
    def other(self) -> OneOfSeveral:
        return self.services[1]

    def has(self, service: OneOfSeveral) -> bool:
        """Whether it has the switch, and is connected to the companion."""
        return bool(service.owned()) and said_of_companion(service) == {"connected": True, "error": ""}

    def client(self, service: OneOfSeveral) -> VsiClient:
        self._clients.append(service.connect())
        return self._clients[-1]

    def shipped(self) -> None:
        eventually(lambda: not self.owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)

    def taken_over(self) -> None:
        eventually(lambda: self.has(self.other), "the other one has it", LONGEST_S)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for one in self.services:
            one.close()
        self.switch.stop()
        assert not (self.directory / "recordings").exists(), "services have no business with files"


def said_of_companion(service: OneOfSeveral) -> Any:
    (one,) = HttpClient(service.address)("GET", "/switches").body
    return one.get("companion")


@pytest.fixture
def site(
    tmp_path: Path, redis_server: RedisServer, companion: CompanionProcess
) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**more: Any) -> Site:
        made.append(Site(tmp_path, redis_server, companion, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def finished(clients: list[VsiClient]) -> set[tuple[str, str]]:
    """Recordings that were told to be finished, each with the event's id."""
    return {
        (one["file"], one["event_id"])
        for client in clients
        for one in client.events
        if one["type"] == "recording.finished"
    }


def test_only_who_has_the_switch_is_connected_to_its_companion(site):
    one = site()
    assert said_of_companion(one.other) is None

    def connected() -> int:
        log = one.companion.log()
        return log.count('"service connected"') - log.count('"service disconnected"')

    # a line that was lost on a busy machine is made anew
    eventually(lambda: connected() == 1, "the owner alone is connected")
    text = HttpClient(one.other.address)("GET", "/metrics").raw.decode()
    assert "vsi_esl_companion_connected{" not in text  # of nobody's business there, and no alert
    shown = 'vsi_esl_companion_connected{switch="east"} 1.0'
    ask = HttpClient(one.owner.address)
    eventually(lambda: shown in ask("GET", "/metrics").raw.decode(), "and shows it")


def test_what_a_service_that_is_killed_had_under_way_there_the_next_one_brings_to_its_end(site):
    with scripted(*[503] * 400) as store:
        bucket = {"bucket": "recordings", "endpoint": store.url}
        keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "request_preflight_timeout": "0"}
        more = {"upload_timeout": "120s"}
        one = site(s3={**bucket, **keys, **more})
        client, later = one.client(one.owner), one.client(one.other)
        _, legs = in_room(one.switch, client, "r")
        peer, second = answered(one.switch, client)
        client.ok("leg_record_start", id=second, storage="s3", filename="uploaded")
        one.client(one.owner).send("leg_record_stop", id=second)
        eventually(lambda: len(store.requests) > 1, "it is being uploaded", LONGEST_S)
        file = client.ok("leg_record_start", id=second)["file"]
        client.ok("room_play_start", id="r", tone="us_dial")
        client.event("playback.started", room_id="r")
        one.shipped()
        one.owner.kill()
        one.taken_over()
        assert finished([client, later]) == set()
        store._statuses.clear()
        told = later.event("recording.finished", NEXT_ATTEMPT_S, leg_id=second)
        assert (told["file"], told.get("error")) == ("s3://recordings/uploaded.wav", None)
        eventually(lambda: not list(one.companion.uploads.iterdir()), "nothing of it is left", LONGEST_S)
        assert later.ok("leg_record_stop", id=second)["file"] == file
        assert os.path.dirname(file) == str(one.companion.recordings) and os.path.exists(file)
        later.event("recording.finished", file=file)
        assert len(finished([client, later])) == 2
        later.ok("leg_play_start", id=legs, tone="busy")
        later.event("playback.started", leg_id=legs)
        peer.hang_up()
        later.event("leg.disconnected", leg_id=second)


def test_a_service_that_stood_still_is_refused_by_the_companion_and_lets_go(site):
    one = site()
    client, later = one.client(one.owner), one.client(one.other)
    _, leg = answered(one.switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    one.shipped()
    one.owner.signal(signal.SIGSTOP)
    try:
        one.taken_over()
        eventually(lambda: '"service superseded"' in one.companion.log(), "it is known there", LONGEST_S)
        assert later.ok("leg_record_stop", id=leg)["file"] == file
    finally:
        one.owner.signal(signal.SIGCONT)
    eventually(lambda: bool(one.owner.heard("switch is another service's now")), "it has let go", LONGEST_S)
    # it is there again, and has its share, which is the switch
    one.settled()
    file = client.ok("leg_record_start", id=leg)["file"]
    assert client.ok("leg_record_stop", id=leg)["file"] == file
    later.event("recording.finished", file=file)
    eventually(lambda: len(finished([client])) == 2, "each was told once", LONGEST_S)


def test_a_service_that_stops_leaves_it_to_the_next_one_at_once(site):
    one = site()
    client, later = one.client(one.owner), one.client(one.other)
    _, leg = answered(one.switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    client.ok("leg_play_start", id=leg, tone="us_dial")
    client.event("playback.started", leg_id=leg)
    one.owner.stop()
    one.taken_over()
    assert later.ok("leg_record_stop", id=leg)["file"] == file
    assert "error" not in later.event("recording.finished", file=file)
    assert not later.seen("playback.finished")
    assert '"service superseded"' not in one.companion.log()


@pytest.mark.timeout(400)  # services are begun eight times
def test_a_companion_that_knows_later_turns_than_redis_and_the_switch_is_caught_up_with(site):
    """Both were begun anew, as on a night of maintenance."""
    one = site()
    for again in (one.owner, one.other):  # its turns count up
        again.stop()
        eventually(
            lambda: any(one.has(service) for service in one.services if service.running), "had", LONGEST_S
        )
        again.start()
        again.listening()
    known = fence.read(one.switch.switch.globals[fence.VARIABLE])
    for service in one.services:
        service.stop()
    one.redis.empty()
    one.switch.switch.globals.pop(fence.VARIABLE)
    for service in one.services:
        service.start()
    for service in one.services:
        service.listening()
    one.settled()
    shown = fence.read(one.switch.switch.globals[fence.VARIABLE])
    assert known is not None and shown is not None and shown.number > known.number > 1
    assert shown.service == one.owner.name
