"""Two services are stopped and started anew, one after the other, under calls on two real switches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.drivers import SipPeer
from tests.support.freeswitch import PrivateSwitch
from tests.support.receiver import Receiver
from tests.support.redisserver import RedisServer
from tests.support.rolling import Dial, Upgrade, replaced_under_calls
from tests.support.sipua import UserAgent

CALLS = int(os.environ.get("VSI_TEST_CALLS", "30"))
"""Their media comes from this process, which has not the CPU for a hundred beside two switches."""
PARK_LIMIT_S = 60


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.stop()


@pytest.fixture
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PrivateSwitch]]:
    """On a machine that cannot keep up an answer takes the switch a second, and 14 others wait behind it: so
    does that a call is taken, and a switch ends the calls that nobody takes."""
    both = {
        name: PrivateSwitch(tmp_path_factory.mktemp(name), park_limit=PARK_LIMIT_S)
        for name in ("east", "west")
    }
    with ExitStack() as running:
        for one in both.values():
            one.start()
            running.callback(one.stop)
        yield both


def test_services_are_replaced_one_after_the_other_under_calls(
    redis_server: RedisServer, switches: dict[str, PrivateSwitch], receiver: Receiver, tmp_path: Path
):
    agents = {name: UserAgent(("127.0.0.1", one.sip_port)) for name, one in switches.items()}

    def dial(name: str) -> Dial:
        return lambda number: SipPeer(agents[name].call(from_=number, codecs=["PCMU"]))

    at = {
        name: SimpleNamespace(host="127.0.0.1", port=one.esl_port, password=one.password)
        for name, one in switches.items()
    }
    try:
        with Upgrade(tmp_path, redis_server, at, receiver) as there:
            print(replaced_under_calls(there, {name: dial(name) for name in switches}, receiver, CALLS))
    finally:
        for agent in agents.values():
            agent.stop()
