"""Rooms with two outbound legs each, set up and taken down, beside the switch without the service.

A real switch is scheduled before everything else, as its Debian package has it: see `sound`.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import psutil

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch, find_binary
from tests.support.ports import free_port
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient
from vsi_esl.model.room import Room
from vsi_esl.switch.esl.client import EslClient

from .processes import Sandbox, Service

ROOMS = 100
LEGS = 2
"""In each room."""
WORKERS = 16
RUNS = 3
"""Of each kind, in turn with the others."""
RATE = 16_000
LIMIT_S = 60
EVENTS = (
    "CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_HOLD CHANNEL_UNHOLD "
    "CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB DTMF TEXT RECORD_STOP "
    "CUSTOM conference::maintenance sofia::notify_watched_header sofia::error"
)
"""What the switch alone is asked to tell: as much as the service asks for."""
IDLE_S = 3
SETTLED_S = 2
"""Until legs that have answered are where they stay."""
CALL_RATE = 5000
"""Calls a second that the switch lets through; its own limit is not what is measured."""
BARE_SETTINGS = "absolute_codec_string=PCMU,signal_bond=vsi-bond,hold_music=silence,playback_terminators=none"

Row = tuple[str, str, str]


class RealCallees:
    """A FreeSWITCH of our own, and who answers its calls at once: sipp, else the tests' user agent."""

    name = "FreeSWITCH"

    def __init__(self, directory: Path) -> None:
        self._switch = PrivateSwitch(directory, realtime=True)
        self._agent: UserAgent | None = None
        self._sipp: subprocess.Popen[bytes] | None = None
        before = {one.pid for one in psutil.Process().children()}
        try:
            self._switch.start()
            self._switch.make_first_conference()
            self._switch.api(f"fsctl sps {CALL_RATE}")
        except BaseException:
            self._switch.stop()
            raise
        self.info = next(one for one in psutil.Process().children() if one.pid not in before)
        self.port, self.password = self._switch.esl_port, self._switch.password
        if program := shutil.which("sipp"):
            port = free_port()
            scenario = Path(__file__).parent / "answering.xml"
            command = [program, "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
            # on a busy machine an ACK may come twice
            command += ["-default_behaviors", "-abortunexp"]
            quiet = subprocess.DEVNULL
            self._sipp = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
            eventually(lambda: _is_taken(port), "sipp is there")
        else:
            self._agent = UserAgent(("127.0.0.1", self._switch.sip_port))
            port = self._agent.address[1]
        self.uri = f"sip:instant@127.0.0.1:{port}"

    def client(self, **options: Any) -> EslClient:
        return self._switch.client(timeout=LIMIT_S, **options)

    def end(self) -> None:
        if self._sipp is not None:
            self._sipp.kill()
            self._sipp.wait()
        if self._agent is not None:
            self._agent.stop()
        self._switch.stop()


class SimulatedCallees:
    """The sandbox."""

    name = "sandbox"
    uri = "sip:instant@127.0.0.1"

    def __init__(self, _: Path) -> None:
        self._sandbox = Sandbox()
        self.info, self.port, self.password = self._sandbox.info, self._sandbox.port, "ClueCon"

    def client(self, **options: Any) -> EslClient:
        client = EslClient("127.0.0.1", self.port, self.password, timeout=LIMIT_S, **options)
        client.connect()
        return client

    def end(self) -> None:
        self._sandbox.end()


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class Measured:
    """One run of something for every room."""

    def __init__(self, switch: psutil.Process, service: psutil.Process | None = None) -> None:
        self._processes = [psutil.Process(), switch, *([service] if service else [])]
        self.times: list[float] = []
        self.seconds = 0.0
        self.cpu: list[float] = []
        """Milliseconds that a room cost us here, the switch, and the service."""

    def run(self, action: Callable[[int], None]) -> None:
        """`action` for the number of each room: every WORKERS-th one by the same worker."""

        def work(numbers: range) -> None:
            for number in numbers:
                began = time.perf_counter()
                action(number)
                self.times.append(time.perf_counter() - began)

        before, began = self._spent(), time.perf_counter()
        with gevent.Timeout(LIMIT_S):
            workers = [gevent.spawn(work, range(first, ROOMS, WORKERS)) for first in range(WORKERS)]
            gevent.joinall(workers, raise_error=True)
        self.seconds = time.perf_counter() - began
        spent = zip(before, self._spent(), strict=True)
        self.cpu = [(after - start) * 1000 / ROOMS for start, after in spent]

    def _spent(self) -> list[float]:
        return [sum(one.cpu_times()[:2]) for one in self._processes]

    @property
    def rate(self) -> float:
        return ROOMS / self.seconds

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return statistics.median(self.times) * 1000


Runs = tuple[Measured, Measured]
"""Set-up and teardown."""


class Bare:
    """The switch alone: each leg is dialled straight into the room's conference."""

    def __init__(self, switch: RealCallees | SimulatedCallees) -> None:
        self._switch = switch
        self._seen: dict[str, set[str]] = {}
        self._legs: list[list[str]] = []
        self._events = switch.client(on_event=self._event)
        self._commands = switch.client()

    def _event(self, event: dict[str, Any]) -> None:
        name = event.get("Action") or event.get("Event-Name", "")
        self._seen.setdefault(name, set()).add(event.get("Unique-ID", ""))

    def _wait(self, name: str, legs: list[str]) -> None:
        while not self._seen.get(name, set()).issuperset(legs):
            gevent.sleep(0.001)

    def run(self) -> Runs:
        self._seen.clear()
        self._events.send(f"event json {EVENTS}")
        self._legs = [[str(uuid.uuid4()) for _ in range(LEGS)] for _ in range(ROOMS)]
        up, down = Measured(self._switch.info), Measured(self._switch.info)
        up.run(self._set_up)
        down.run(self._take_down)
        self._events.send("noevents")  # the service is not to share the switch with a second listener
        return up, down

    def _set_up(self, number: int) -> None:
        room = Room(f"bare {number}", RATE)
        for leg in self._legs[number]:
            where = f"'conference:{room.conference}@vsi{RATE},park' inline"
            settings = f"origination_uuid={leg},{BARE_SETTINGS}"
            self._commands.send(f"bgapi originate {{{settings}}}sofia/vsi/{self._switch.uri} {where}")
        self._wait("add-member", self._legs[number])

    def _take_down(self, number: int) -> None:
        for leg in self._legs[number]:
            self._commands.send(f"api uuid_kill {leg}")
        self._wait("CHANNEL_HANGUP_COMPLETE", self._legs[number])

    def end(self) -> None:
        self._commands.stop()
        self._events.stop()


class OverVsi:
    """The same by commands of clients, each with the events of its own app_id."""

    def __init__(self, switch: RealCallees | SimulatedCallees, directory: Path) -> None:
        self._switch = switch
        state = directory / "state.sqlite3"
        self._service = Service(switch.port, state, switch.password, VSI_ESL_RTP_TIMEOUT="0")
        self._apps = [f"bench-{number}" for number in range(WORKERS)]
        self._clients = [VsiClient(self._service.address, f"?app_id={app}") for app in self._apps]
        self.problems: Counter[str] = Counter()

    def run(self, place: Callable[[VsiClient, str, dict[str, Any]], None]) -> Runs:
        """`place` makes two legs with this request, and has them in the room when it returns."""
        up, down = (Measured(self._switch.info, self._service.info) for _ in range(2))

        def set_up(client: VsiClient, app: str, room: str) -> None:
            client.ok("create_room", id=room, app_id=app, sample_rate=RATE)
            place(client, room, {"type": "sip", "to": self._switch.uri, "codecs": ["PCMU"], "app_id": app})

        up.run(partial(self._work, set_up))
        down.run(partial(self._work, self._take_down))
        return up, down

    def ended_by_themselves(self) -> Counter[str]:
        """Why legs ended that were not taken down with their room, nor deleted."""
        ends = (one["cdr"]["reason"] for client in self._clients for one in client.seen("leg.disconnected"))
        return Counter(reason for reason in ends if reason not in ("room_deleted", "api_hangup"))

    def _work(self, action: Callable[[VsiClient, str, str], None], number: int) -> None:
        worker = number % WORKERS
        try:
            action(self._clients[worker], self._apps[worker], f"room {number}")
        except AssertionError as error:
            self.problems[str(error)[:200]] += 1

    @staticmethod
    def into_room(client: VsiClient, room: str, request: dict[str, Any]) -> None:
        """create_leg says where the leg is to go."""
        for _ in range(LEGS):
            client.ok("create_leg", room_id=room, **request)
        for _ in range(LEGS):
            client.event("leg.joined_room", timeout=20, room_id=room)

    @staticmethod
    def when_answered(client: VsiClient, room: str, request: dict[str, Any]) -> None:
        """The leg is added when it has answered."""
        legs = [client.ok("create_leg", **request)["id"] for _ in range(LEGS)]
        unanswered = set(legs)
        while unanswered:  # of a room before this one, a leg's last events may still be on their way
            unanswered.discard(client.event("leg.connected", timeout=20)["leg_id"])
        adding = [client.send("add_leg_to_room", room_id=room, leg_id=leg) for leg in legs]
        for number in adding:
            answer = client.reply(number, timeout=20)
            assert answer["type"] == "add_leg_to_room.result", answer

    @staticmethod
    def _take_down(client: VsiClient, _: str, room: str) -> None:
        client.ok("delete_room", id=room)
        legs = {one["leg_id"] for one in client.seen("leg.joined_room", room_id=room)}
        with gevent.Timeout(20, AssertionError("a leg's end was not told")):
            # one may have ended before
            while not legs <= {one["leg_id"] for one in client.seen("leg.disconnected")}:
                gevent.sleep(0.001)

    def alone(self) -> float:
        """What an answered leg in no room costs the switch: percent of a core."""
        client, app, count = self._clients[0], self._apps[0], ROOMS * LEGS
        request = {"type": "sip", "to": self._switch.uri, "codecs": ["PCMU"], "app_id": app}
        legs = [client.ok("create_leg", **request)["id"] for _ in range(count)]
        for _ in legs:
            client.event("leg.connected", timeout=20)
        gevent.sleep(SETTLED_S)
        before, began = sum(self._switch.info.cpu_times()[:2]), time.perf_counter()
        gevent.sleep(IDLE_S)
        spent = sum(self._switch.info.cpu_times()[:2]) - before
        cost = spent * 100 / (time.perf_counter() - began) / count
        for leg in legs:
            client.ok("delete_leg", id=leg)
        for _ in legs:
            client.event("leg.disconnected", timeout=20)
        return cost

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self._service.end()


def rooms() -> list[Row]:
    """Set-up and teardown, with the switch alone beside it in the same run."""
    with ExitStack() as parties:  # each of them ends, whatever becomes of the others
        directory = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
        switch = (SimulatedCallees if find_binary() is None else RealCallees)(directory)
        parties.callback(switch.end)
        bare = Bare(switch)
        parties.callback(bare.end)
        vsi = OverVsi(switch, directory)
        parties.callback(vsi.end)
        kinds: dict[str, list[Runs]] = {
            "the switch alone": [],
            "create_leg with room_id": [],
            "add_leg_to_room": [],
        }
        for _ in range(RUNS):
            kinds["the switch alone"].append(bare.run())
            kinds["create_leg with room_id"].append(vsi.run(vsi.into_room))
            kinds["add_leg_to_room"].append(vsi.run(vsi.when_answered))
        alone = vsi.alone()
    for problem, count in (vsi.problems + vsi.ended_by_themselves()).items():
        print(f"rooms: {count} times {problem}", file=sys.stderr)
    compared = kinds.pop("the switch alone")
    rows: list[Row] = []
    for number, phase in enumerate(("set-up", "teardown")):
        for kind, runs in kinds.items():
            figure, beside = ([run[number] for run in one] for one in (runs, compared))
            what = f"{phase} of {ROOMS} rooms with {ROOMS * LEGS} legs, {kind}, {switch.name}"
            ratio = _rate(figure) / _rate(beside)
            rows.append((what, _shown(figure), f"the switch alone: {_shown(beside)}: {ratio:.2f} x the rate"))
    rows.append(
        (f"an answered leg in no room, of {ROOMS * LEGS}", f"{alone:.2f} % of a core of the switch", "")
    )
    return rows


def _rate(runs: list[Measured]) -> float:
    return statistics.median(run.rate for run in runs)


def _shown(runs: list[Measured]) -> str:
    costs = [statistics.median(of_one) for of_one in zip(*(run.cpu for run in runs), strict=True)]
    names = zip(("client", "switch", "service"), costs, strict=False)
    p50 = statistics.median(run.p50 for run in runs)
    return f"{_rate(runs):,.0f}/s, p50 {p50:.0f} ms, " + ", ".join(
        f"{cost:.0f} ms {who}" for who, cost in names
    )
