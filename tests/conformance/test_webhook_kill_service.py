"""kill -9 of the whole service at random points: what VSI clients saw is delivered, in order, without them.

TEST_KILLS says how many times; a start of the service takes about a second.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import gevent
import pytest

from tests.support.receiver import Receiver
from tests.support.vsi import VsiClient

from .test_inbound import answered, ring

KILLS = int(os.environ.get("TEST_KILLS", "6"))
START_TIMEOUT_S = 20


class Victim:
    """`vsi-esl serve` on the switch of the test, and a client of it."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vsi_esl", "serve"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environ},
        )
        address, said = "", []
        with gevent.Timeout(START_TIMEOUT_S, AssertionError("the service did not start")):
            for line in self._process.stdout:
                said.append(line)
                if '"listening"' in line:
                    address = line.partition('"address":"')[2].partition('"')[0]
                if '"switch ready"' in line:
                    break
        assert address, said
        self._rest = gevent.spawn(self._process.stdout.read)
        self.client = VsiClient(address)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self.client.closed.wait(10)
        self.client.close()
        self._rest.join(10)
        self._process.stdout.close()


@pytest.fixture
def environ(switch, tmp_path):
    return {
        "VSI_ESL_SWITCH_HOST": switch.host,
        "VSI_ESL_SWITCH_PORT": str(switch.port),
        "VSI_ESL_SWITCH_PASSWORD": switch.password,
        "VSI_ESL_STATE_PATH": str(tmp_path / "state.sqlite3"),
        "VSI_ESL_WEBHOOK_ALLOW_PRIVATE": "true",
        "VSI_ESL_WEBHOOK_BACKOFF_MIN": "0.05",
        "VSI_ESL_LOG_FORMAT": "json",
        "RECORDING_DIR": str(tmp_path / "recordings"),
        "HTTP_ADDR": "127.0.0.1:0",
    }


def work(client: VsiClient, leg: str, number: int) -> None:
    """Events of rooms and of a leg, without waiting for anything."""
    for each in range(20):
        client.send("create_room", id=f"r{number}-{each}")
        client.send("mute_leg" if each % 2 else "unmute_leg", id=leg)
        client.send("delete_room", id=f"r{number}-{each}")


def test_kill_9_of_the_service_loses_nothing(switch, environ):
    chance = random.Random(seed := random.randrange(1 << 30))
    print(f"seed {seed}")
    receiver = Receiver()
    receiver.behave[""] = lambda _: chance.choices(("ok", "500", "reset", "cut"), (91, 3, 3, 3))[0]
    environ["WEBHOOK_URL"] = receiver.url()
    told: dict[str, dict] = {}
    leg = ""
    for number in range(KILLS):
        victim = Victim(environ)
        if not leg:
            _, leg = answered(switch, victim.client)
        work(victim.client, leg, number)
        gevent.sleep(chance.random() / 20)  # where it is hit is the point
        victim.kill()
        told |= {event["event_id"]: event for event in victim.client.events}
    receiver.behave[""] = "ok"
    last = Victim(environ)
    ring(switch, last.client)
    told |= {event["event_id"]: event for event in last.client.events}
    missing = "events that a client had seen"
    receiver.wait(lambda: not told.keys() - {one.id for one in receiver.taken}, missing, 20)
    last.kill()
    receiver.stop()

    print(f"{len(told)} seen, {len(receiver.received)} requests")
    lanes: dict[str, dict[str, str]] = {}
    for request in receiver.received:
        event = request.event
        lanes.setdefault(event.get("leg_id") or event["room_id"], {}).setdefault(
            request.id, event["timestamp"]
        )
    for owner, times in lanes.items():
        assert list(times.values()) == sorted(times.values()), f"{owner} out of order"
