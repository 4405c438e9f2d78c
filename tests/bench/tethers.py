"""Tethers between two real switches: how long one takes to be there, how late its leg is heard, its price.

Each figure stands beside that of a leg of the room's own switch, measured in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import gevent
import psutil

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch, find_binary
from tests.support.hearing import HEARD, in_room
from tests.support.rtp import tone_level
from tests.support.sipua import Call, UserAgent
from tests.support.vsi import VsiClient

from .processes import Service

CODECS = ("l16", "g722", "opus")
MOVES = 40
STAYS = 12
"""How late a leg is heard is another time each time that it comes into a conference."""
BURSTS = 3
LEGS = 20
CPU_S = 5
POLL_S = 0.001
QUIET_S = 0.3
TONE = 440

Row = tuple[str, str, str]


class Both:
    """Two switches, whoever calls them, and a service."""

    def __init__(self, stack: ExitStack, codec: str) -> None:
        directory = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
        self.switches = [
            PrivateSwitch(directory / name, realtime=True, tether=True) for name in ("east", "west")
        ]
        for switch in self.switches:
            stack.callback(switch.kill9)
            switch.start()
            switch.make_first_conference()
        entries = "".join(
            f'  - {{name: {name}, port: {switch.esl_port}, tether: "127.0.0.1:{switch.tether_port}",'
            f" tether_codec: {codec}}}\n"
            for name, switch in zip(("east", "west"), self.switches, strict=True)
        )
        settings = directory / "vsi.yaml"
        settings.write_text(f"switch: {{password: {self.switches[0].password}}}\nswitches:\n{entries}")
        port, state = self.switches[0].esl_port, directory / "state.sqlite3"
        service = Service(port, state, self.switches[0].password, VSI_ESL_CONFIG=str(settings))
        stack.callback(service.end)
        eventually(lambda: service.log.read_text().count("switch ready") == 2, "both switches are ready", 30)
        self.client = VsiClient(service.address)
        stack.callback(self.client.close)
        self.agents = [UserAgent(("127.0.0.1", switch.sip_port)) for switch in self.switches]
        for agent in self.agents:
            stack.callback(agent.stop)

    def cpu(self) -> list[float]:
        """Of a core, in per cent, of each switch."""
        processes = [psutil.Process(switch.pid) for switch in self.switches]
        before = [sum(one.cpu_times()[:2]) for one in processes]
        gevent.sleep(CPU_S)
        after = [sum(one.cpu_times()[:2]) for one in processes]
        return [100 * (later - was) / CPU_S for was, later in zip(before, after, strict=True)]

    def moved(self, leg: str, room: str) -> float:
        """How long the answer took, in seconds."""
        began = time.monotonic()
        self.client.ok("add_leg_to_room", room_id=room, leg_id=leg)
        return time.monotonic() - began


def later(both: Both, speaker: Call, leg: str, away: str, listener: Call) -> list[float]:
    """How long after the speaker began a tone the listener has it, in ms, over several stays in the room."""
    found = []
    for _ in range(STAYS):
        both.moved(leg, away)
        both.moved(leg, "r")
        gevent.sleep(QUIET_S)
        found += _bursts(speaker, listener)
    return found


def _bursts(speaker: Call, listener: Call) -> list[float]:
    found = []
    for _ in range(BURSTS):
        speaker.rtp.frequency = 0
        gevent.sleep(QUIET_S)
        speaker.rtp.frequency = TONE
        began = time.monotonic()
        while not (listener.rtp.last and tone_level(listener.rtp.last[-1], TONE) > HEARD / 2):
            gevent.sleep(POLL_S)
            if time.monotonic() - began > 2:
                break
        found.append(1000 * (time.monotonic() - began))
    speaker.rtp.frequency = 0
    return found


def spread(times: list[float]) -> str:
    """p50 and p95 in ms."""
    ordered = sorted(1000 * one for one in times)
    return f"{ordered[len(ordered) // 2]:.0f} ms, p95 {ordered[int(len(ordered) * 0.95)]:.0f} ms"


def _middle(found: list[float]) -> str:
    """The median and what most of them are within, in ms."""
    low, _, high = statistics.quantiles(found, n=4)
    return f"{statistics.median(found):.0f} ms ({low:.0f} to {high:.0f})"


def tethers() -> list[Row]:
    """Rows of what was measured."""
    if find_binary() is None:
        return [("tethers", "not measured", "there is no FreeSWITCH here")]
    rows: list[Row] = []
    for codec in CODECS:
        with ExitStack() as stack:
            rows += _of_codec(Both(stack, codec), codec)
    return rows


def _of_codec(both: Both, codec: str) -> list[Row]:
    client = both.client
    east, west = both.agents
    listener, _ = in_room(client, west, 0)
    neighbour, beside = in_room(client, west, 0)
    in_room(client, west, 0, room="away")
    in_room(client, east, 0, room="home")
    in_room(client, east, 0, room="home2")
    speaker, leg = in_room(client, east, 0)
    delay = later(both, speaker, leg, "home", listener)
    own = later(both, neighbour, beside, "away", listener)
    there, back = [], []
    for _ in range(MOVES):
        back.append(both.moved(leg, "home"))
        there.append(both.moved(leg, "r"))
    local = []
    both.moved(leg, "home")
    for number in range(MOVES):
        local.append(both.moved(leg, ("home2", "home")[number % 2]))
    legs = [leg] + [in_room(client, east, 600, room="home")[1] for _ in range(LEGS - 1)]
    gevent.sleep(1)
    before = both.cpu()
    for one in legs:
        both.moved(one, "r")
    gevent.sleep(1)
    after = both.cpu()
    cost = [(later_ - was) / LEGS for was, later_ in zip(before, after, strict=True)]
    return [
        (f"tether {codec}: heard after", _middle(delay), f"{_middle(own)} of the room's own switch"),
        (f"tether {codec}: add_leg_to_room", spread(there), f"{spread(local)} within a switch"),
        (
            f"tether {codec}: CPU of {LEGS} legs that move from a room of theirs",
            f"{cost[0]:+.2f} % of a core a leg on its switch, {cost[1]:+.2f} % on the room's",
            f"{before[0] / LEGS:.2f} % a leg before",
        ),
    ]
