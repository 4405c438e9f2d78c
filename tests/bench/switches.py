"""Many sandbox switches in one process: `python -m tests.bench.switches COUNT`. Prints their ports, and does
what lines of JSON tell it: {"do": "call", "switch": 0, "apps": [...]} has one caller for each of these
app_ids, and prints the ids of the calls; {"do": "digits", "rate": 500, "seconds": 5} has all callers
press digits by turns, so many a second, and prints how many were pressed, in what time."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from itertools import cycle  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

from vsi_esl.ops import logs  # noqa: E402
from vsi_esl.sandbox import SandboxSwitch  # noqa: E402
from vsi_esl.sandbox.control import control  # noqa: E402

STEP_S = 0.02
AT_ONCE = 50
"""Calls, before others have a turn."""


class Switches:
    """All of this process."""

    def __init__(self, count: int) -> None:
        self._all = [SandboxSwitch() for _ in range(count)]
        for switch in self._all:
            switch.start()
        self._calls: list[tuple[SandboxSwitch, str]] = []

    @property
    def ports(self) -> list[int]:
        return [switch.address[1] for switch in self._all]

    def call(self, switch: int, apps: list[str]) -> list[str]:
        there, legs = self._all[switch], []
        for number, app in enumerate(apps):
            answer = control(there, json.dumps({"do": "call", "headers": {"X-App-ID": app}}))
            legs.append(answer.removeprefix("+OK").strip())
            if number % AT_ONCE == AT_ONCE - 1:
                gevent.sleep(0)
        self._calls += [(there, leg) for leg in legs]
        return legs

    def digits(self, rate: float, seconds: float) -> dict[str, float]:
        # neighbours in the list are on different switches
        calls = cycle(sorted(self._calls, key=lambda call: call[1]))
        began, pressed = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate)
            for _ in range(due - pressed):
                self._press(*next(calls))
            pressed = max(pressed, due)
            gevent.sleep(STEP_S)
        return {"pressed": pressed, "seconds": time.monotonic() - began}

    @staticmethod
    def _press(switch: SandboxSwitch, leg: str) -> None:
        digit = {"DTMF-Digit": "5", "DTMF-Duration": "2240", "DTMF-Source": "RTP"}
        switch.fire("DTMF", switch.channels[leg].with_variables() | digit)


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    logs.setup("warn", "json", sys.stderr)
    switches = Switches(int(sys.argv[1]))
    say(switches.ports)
    for line in FileObject(sys.stdin.fileno(), "r", closefd=False):
        order = json.loads(line)
        say(getattr(switches, order.pop("do"))(**order))


if __name__ == "__main__":
    main()
