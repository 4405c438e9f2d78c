"""The primary of two services' Redis dies under calls, and its replica takes its place by the word of the
Sentinels, without what the primary was told last: nothing is lost, and each switch stays where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.support import certs
from tests.support.drivers import SandboxDriver, eventually
from tests.support.receiver import Receiver
from tests.support.rolling import Dial, Follower, Load, Upgrade, checked
from tests.support.sentinels import Watched
from vsi_esl.switch.lines import fence

CALLS = 40
PAUSE_S = 1.5
BEHIND_S = 1.5
"""How much the replica lacks."""
AFTER_S = 3.0
LONGEST_S = 60.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.stop()


@pytest.fixture(params=["plain", "tls"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    tls = certs.make(tmp_path / "tls") if request.param == "tls" else None
    one = Watched(tmp_path, tls)
    yield one
    one.close()


@pytest.fixture
def switches() -> Iterator[dict[str, SandboxDriver]]:
    made = {name: SandboxDriver() for name in ("east", "west")}
    yield made
    for one in made.values():
        one.stop()


def test_the_primary_dies_under_calls(
    watched: Watched, switches: dict[str, SandboxDriver], receiver: Receiver, tmp_path: Path
):
    def dial(name: str) -> Dial:
        return lambda number: switches[name].call(from_=number)

    def shown() -> dict[str, Any]:
        return {name: one.switch.globals.get(fence.VARIABLE) for name, one in switches.items()}

    with Upgrade(tmp_path, watched.primary, switches, receiver, redis=watched.settings()) as there:
        followers = [Follower(there.services[:1]), Follower(there.services[1:])]
        load = Load({name: dial(name) for name in switches}, followers, PAUSE_S)
        try:
            load.begin(CALLS)
            owners = shown()
            told = [len(one.events) for one in followers]
            watched.fail_over(BEHIND_S)
            eventually(lambda: all(map(ready, there.services)), "the new primary is found", LONGEST_S)
            gevent.sleep(AFTER_S)
            watched.primary.start()  # which comes back, and is its replica
            eventually(lambda: watched.primary.command("ROLE")[0] == "slave", "it follows", LONGEST_S)
            load.end()
            print(checked(load, receiver, one_order=False))
            there.all_recorded(load)
            assert all(len(one.events) > count for one, count in zip(followers, told, strict=True))
            assert shown() == owners and not there.unasked()
            # each was connected to its service all the time, and was told nothing twice
            assert [one.servers for one in followers] == [["a"], ["b"]]
            eventually(lambda: not any(map(waiting, there.services)), "the new primary has all", LONGEST_S)
            kept = watched.replica.command("XLEN", "vsi:events")
            print(f"{kept} events in the stream of {len(followers[0].events)}")
        finally:
            load.kill()


def ready(service: Any) -> bool:
    return bool(service.readyz()["cluster"]["redis"]["ready"]) and not service.figure("vsi_esl_stream_apart")


def waiting(service: Any) -> float:
    """What Redis does not have yet."""
    return float(service.figure("vsi_esl_state_unshipped") + service.figure("vsi_esl_stream_waiting"))
