"""A switch, those who call there and are called, and an observer: `python -m tests.chaos.switchside NAME KIND
ADDRESS DIRECTORY SEED TETHERS`; the last one is empty for none.

The observer is a connection to the event socket of its own, from the same place: no fault of the network
comes between them.
"""

from __future__ import annotations

from .party import note, orders

# isort: split
import json
import random
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from tests.support.freeswitch import PrivateSwitch
from tests.support.sipua import UserAgent
from tests.support.sipwire import Wire
from vsi_esl.switch.esl.client import AuthenticationFailed, CommandTimeout, EslClient

from .tap import Tap

OBSERVED = "CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE"
ESL_PORT = 8021
"""Where services find it; behind that is the tap, and the switch on the loopback of its place."""
BEHIND_PORT = 8022
LOOPBACK = "127.0.0.1"
CALLEES_PORT = 5099
BOND = "vsi-bond"
"""The one channel that the service always has."""
START_S = 30.0
END_S = 10.0
POLL_S = 0.05
AWAY = NotConnectedError, CommandTimeout, AuthenticationFailed, OSError


class Switch(Protocol):
    """A switch as a process, and the people at its far ends."""

    password: str
    port: int

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stand_still(self, still: bool) -> None: ...
    def call(self, observer: EslClient, shop: bool) -> Any: ...
    def hang_up(self, observer: EslClient, call: Any) -> None: ...


class Sandbox:
    """The sandbox; its far ends are part of it."""

    password = "ClueCon"
    port = BEHIND_PORT

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[str] | None = None
        self._noting: Any = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.sandboxed", LOOPBACK, str(self.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline())["what"] == "listening"
        self._noting = gevent.spawn(self._pass_on, self._process.stdout)

    def _pass_on(self, lines: Any) -> None:
        for line in lines:
            with suppress(ValueError):  # cut off when it was killed
                told = json.loads(line)
                sys.stdout.write(json.dumps({**told, "who": self._name}) + "\n")

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._noting.join(END_S)

    def stand_still(self, still: bool) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def call(self, observer: EslClient, shop: bool) -> str:
        headers = {"X-App-ID": "shop"} if shop else {}
        request = {"do": "call", "from": "+15550100", "to": "+15550199", "headers": headers}
        return observer.send(f"api sandbox {json.dumps(request)}").removeprefix("+OK ").strip()

    def hang_up(self, observer: EslClient, call: str) -> None:
        observer.send(f"api sandbox {json.dumps({'do': 'hangup', 'uuid': call})}")


class Real:
    """FreeSWITCH, and a SIP user agent."""

    def __init__(self, directory: Path, tether: str) -> None:
        self._switch = PrivateSwitch(directory, tether=tether or False)
        self.password, self.port = self._switch.password, self._switch.esl_port
        agent_wire = Wire(port=CALLEES_PORT)
        self._agent = UserAgent(("127.0.0.1", self._switch.sip_port), agent_wire)

    def start(self) -> None:
        self._switch.start()

    def kill(self) -> None:
        self._switch.kill9()
        for call in list(self._agent.calls.values()):
            call.rtp.close()
        self._agent.calls.clear()

    def stand_still(self, still: bool) -> None:
        if still:
            self._switch.freeze()
        else:
            self._switch.thaw()

    def call(self, observer: EslClient, shop: bool) -> Any:
        return self._agent.call(headers={"X-App-ID": "shop"} if shop else {})

    def hang_up(self, observer: EslClient, call: Any) -> None:
        if "200" in call.seen and not call.ended:
            call.bye()
        elif not call.ended:
            call.cancel()


class Side:
    """Everything of one switch."""

    def __init__(self, name: str, switch: Switch, address: str, seed: int) -> None:
        self._name, self._switch = name, switch
        self._tap = Tap((address, ESL_PORT), (LOOPBACK, switch.port), partial(note, name))
        self._random = random.Random(seed)
        self._observer: EslClient | None = None
        self._closed = Signal()
        self._calls = 0
        self._calling = Signal()
        self._running = False

    def start(self) -> None:
        """Start the switch, and look at it before anybody else can."""
        self._switch.start()
        self._observe()
        self._tap.start()
        self._running = True
        note(self._name, "up")

    def _observe(self) -> None:
        self._closed.clear()
        with gevent.Timeout(START_S):
            while True:
                client = EslClient(
                    LOOPBACK,
                    self._switch.port,
                    self._switch.password,
                    on_event=self._seen,
                    on_close=lambda _: self._closed.set(),
                )
                try:
                    client.connect()
                    client.send(f"event json {' '.join(OBSERVED)}")
                except AWAY:
                    gevent.sleep(POLL_S)
                    continue
                self._observer = client
                return

    def _seen(self, event: dict[str, Any]) -> None:
        note(
            self._name,
            "channel",
            name=event["Event-Name"],
            uuid=event["Unique-ID"],
            channel=event.get("Channel-Name", ""),
            direction=event.get("Call-Direction", ""),
            cause=event.get("Hangup-Cause", ""),
        )

    def kill(self) -> None:
        """kill -9. What the observer has been sent is read before it is noted that the switch is gone."""
        self._running = False
        self._switch.kill()
        self._tap.stop()
        self._closed.wait(END_S)
        note(self._name, "gone")

    def stand_still(self, still: bool) -> None:
        self._switch.stand_still(still)

    def keep_calling(self, most: int) -> None:
        """Have so many people call at a time, until told otherwise."""
        self._calling.set()
        while self._calling.is_set():
            gevent.sleep(self._random.uniform(0.5, 4.0) / most)
            if self._running and self._calls < most and self._calling.is_set():
                gevent.spawn(self._one_call)

    def calm_down(self) -> None:
        """Nobody calls any more."""
        self._calling.clear()

    def _one_call(self) -> None:
        self._calls += 1
        observer = self._observer
        try:
            with suppress(*AWAY):
                call = self._switch.call(observer, self._random.random() < 0.3)
                gevent.sleep(self._random.uniform(0.2, 10.0))
                if observer is self._observer:
                    self._switch.hang_up(observer, call)
        finally:
            self._calls -= 1

    def look(self) -> None:
        """Note what is there."""
        channels: list[str] = []
        observer = self._observer
        if self._running and observer is not None:
            rows = json.loads(observer.send("api show channels as json")).get("rows", [])
            ids = [row["uuid"] for row in rows]
            channels = [one for one in ids if observer.send(f"api uuid_exists {one}").strip() == "true"]
        note(self._name, "there", channels=[one for one in channels if one != BOND])


def main(name: str, kind: str, address: str, directory: str, seed: int, tethers: str) -> None:
    there = Path(directory)
    there.mkdir(parents=True, exist_ok=True)
    switch: Switch = Sandbox(name) if kind == "sandbox" else Real(there, address if tethers else "")
    side = Side(name, switch, address, seed)
    side.start()
    for order in orders():
        do = order["do"]
        if do == "call":
            gevent.spawn(side.keep_calling, order["most"])
        elif do == "still":
            side.stand_still(order["still"])
        else:
            {"kill": side.kill, "start": side.start, "calm": side.calm_down, "look": side.look}[do]()
        note(name, "done", of=do)
    side.kill()


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]), sys.argv[6])
