"""Recordings and playbacks of many legs at once over VSI, and merging the tracks of a long conversation.

Each connection is an application of its own with its own calls, and hears of them only: what it costs to tell
everybody of everything is measured by `fan-out`. A real switch is scheduled before everything else, as its
Debian package has it. Otherwise it reads its commands a byte at a time and gives way after each, and on a
busy machine a command of 100 bytes takes 100 ms.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import psutil
from gevent import socket as gsocket

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch, find_binary
from tests.support.rtp import RtpStream
from tests.support.sipua import Call, UserAgent
from tests.support.vsi import VsiClient
from vsi_esl.switch.esl.client import EslClient
from vsi_esl.switch.lines import audio

from .processes import Sandbox, Service

LEGS = 200
CONNECTIONS = 8
TURNS = 3
AT_ONCE = 20
"""Calls set up together; they come slower than the switch's limit of sessions per second."""
RTP_PORTS = {"vsi_rtp_start_port": 20000, "vsi_rtp_end_port": 28000}
"""The switch's: below the ports that the system gives to the calls' own sockets, or calls are refused."""
PHASE_LIMIT_S = 120
IDLE_S = 3
EVENTS = ("recording.started", "recording.finished", "playback.started", "playback.finished")
TONE = "ringback"
RATE = 8000

PARTICIPANTS = 10
MINUTES = 10
MERGE_RATE = 16_000
MERGES = 3

Row = tuple[str, str, str]
Command = Callable[[VsiClient, str], None]


# -- many legs -----------------------------------------------------------------------------------------


class Unread(RtpStream):
    """Media that nobody sends or reads: the kernel drops it, and this process has the time to measure."""

    def __init__(self) -> None:
        self._socket = gsocket.socket(gsocket.AF_INET, gsocket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def start(self, remote: tuple[str, int], payload_type: int) -> None:
        """Nothing is sent."""

    def close(self) -> None:
        self._socket.close()


class QuietCall(Call):
    """A call to the switch without media of its own."""

    def __init__(self, agent: UserAgent, application: str) -> None:
        super().__init__(agent, f"{uuid.uuid4()}@bench")
        self.rtp.close()
        self.rtp = Unread()
        self.local, self.codecs = "<sip:+15550100@127.0.0.1>", ["PCMU"]
        agent.calls[self.call_id] = self
        self.dial("+15550199", {"x-app-id": application})


class Real:
    """A FreeSWITCH of our own, called by the tests' user agent."""

    name = "FreeSWITCH"

    def __init__(self, directory: Path) -> None:
        self._switch = PrivateSwitch(directory, realtime=True)
        configuration = directory / "conf" / "freeswitch.xml"
        text = configuration.read_text()
        for name, port in RTP_PORTS.items():
            text = re.sub(rf"\b{name}=\d+", f"{name}={port}", text)
        configuration.write_text(text)
        before = {one.pid for one in psutil.Process().children()}
        try:
            self._switch.start()
        except BaseException:
            self._switch.stop()
            raise
        self.info = next(one for one in psutil.Process().children() if one.pid not in before)
        self.port, self.password = self._switch.esl_port, self._switch.password
        self._agent = UserAgent(("127.0.0.1", self._switch.sip_port))

    def client(self) -> EslClient:
        return self._switch.client(timeout=30)

    def call(self, application: str) -> None:
        QuietCall(self._agent, application)

    def end(self) -> None:
        self._agent.stop()
        self._switch.stop()


class Simulated:
    """The sandbox."""

    name = "sandbox"

    def __init__(self, _: Path) -> None:
        self._sandbox = Sandbox()
        self.info = self._sandbox.info
        self.port, self.password = self._sandbox.port, "ClueCon"
        self._esl = self.client()

    def client(self) -> EslClient:
        return self._sandbox.client()

    def call(self, application: str) -> None:
        call = {"do": "call", "headers": {"X-App-ID": application}}
        self._esl.send(f"api sandbox {json.dumps(call)}")

    def end(self) -> None:
        self._esl.stop()
        self._sandbox.end()


Switch = Real | Simulated


@dataclass
class Phase:
    """One kind of command, given for every leg."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu: list[float] = field(default_factory=list)
    """Cores taken by service, switch and this process."""

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    def percentile(self, percent: int) -> float:
        """Milliseconds."""
        return sorted(self.times)[len(self.times) * percent // 100] * 1000 if self.times else 0.0

    @contextmanager
    def running(self, bench: Bench) -> Iterator[None]:
        """Measure the phase as a whole."""
        before, started = _cpu_seconds(bench), time.perf_counter()
        with gevent.Timeout(PHASE_LIMIT_S):
            yield
        self.seconds = time.perf_counter() - started
        spent = zip(before, _cpu_seconds(bench), strict=True)
        self.cpu = [(after - start) / self.seconds for start, after in spent]

    @property
    def load(self) -> str:
        service, switch, here = self.cpu
        return f"{service:.0%} service, {switch:.0%} switch, {here:.0%} client"

    def time(self, action: Callable[..., Any], *args: Any) -> None:
        started = time.perf_counter()
        try:
            action(*args)
        except AssertionError as error:
            self.errors.append(str(error))
        else:
            self.times.append(time.perf_counter() - started)


def _cpu_seconds(bench: Bench) -> list[float]:
    times = [one.cpu_times() for one in (bench.service.info, bench.switch.info, psutil.Process())]
    return [one.user + one.system for one in times]


class Bench:
    """A service on a switch with its legs up, and the connections that command it."""

    def __init__(self, switch: Switch, directory: Path) -> None:
        self.directory = directory
        self.switch = switch
        self.service = Service(
            switch.port,
            directory / "state.sqlite3",
            switch.password,
            RECORDING_DIR=str(directory / "recordings"),
            VSI_ESL_SPOOL_DIR=str(directory / "spool"),
            VSI_ESL_RTP_TIMEOUT="0",
        )
        self.legs: list[str] = []
        self._by_application: dict[str, list[str]] = {f"app-{one}": [] for one in range(CONNECTIONS)}
        self.clients: list[VsiClient] = []
        self._playbacks: dict[str, str] = {}

    def set_up(self) -> None:
        """Calls, answered; the tone, rendered; the connections."""
        client = VsiClient(self.service.address)
        while len(self.legs) < LEGS:
            count = min(AT_ONCE, LEGS - len(self.legs))
            for number in range(count):
                self.switch.call(f"app-{number % CONNECTIONS}")
            ringing = [client.event("leg.ringing", timeout=20) for _ in range(count)]
            legs = [event["leg_id"] for event in ringing]
            for event in ringing:
                self._by_application[event["app_id"]].append(event["leg_id"])
            for leg in legs:
                client.ok("answer_leg", id=leg)
            eventually(partial(self._answered, client, legs), "all answered", 20)
            self.legs += legs
        playback = client.ok("leg_play_start", id=self.legs[0], tone=TONE)["playback_id"]
        client.event("playback.started", timeout=30)
        client.ok("leg_play_stop", id=self.legs[0], playback_id=playback)
        client.event("playback.finished")
        client.close()
        self.clients = [VsiClient(self.service.address, f"?app_id=%5E{app}$") for app in self._by_application]

    @staticmethod
    def _answered(client: VsiClient, legs: list[str]) -> bool:
        assert not (ended := client.seen("leg.disconnected")), ended
        return {event["leg_id"] for event in client.seen("leg.connected")}.issuperset(legs)

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.service.end()

    def over_vsi(self, command: Command) -> Phase:
        """The command for every leg, on all connections in parallel, one after the other in each."""
        phase = Phase()

        def work(client: VsiClient, legs: list[str]) -> None:
            for leg in legs:
                phase.time(command, client, leg)

        with phase.running(self):
            tasks = [
                gevent.spawn(work, client, legs)
                for client, legs in zip(self.clients, self._by_application.values(), strict=True)
            ]
            gevent.joinall(tasks, raise_error=True)
        return phase

    def raw(self, line: Callable[[str], str]) -> Phase:
        """What the service has to tell the switch for it, one after the other on one connection."""
        phase, esl = Phase(), self.switch.client()

        def send(leg: str) -> None:
            answer = esl.send(f"api {line(leg)}")
            assert answer.startswith("+OK"), answer

        with phase.running(self):
            for leg in self.legs:
                phase.time(send, leg)
        esl.stop()
        return phase

    def idle(self) -> Row:
        """What the calls cost when nothing is asked for."""
        phase = Phase()
        with phase.running(self):
            gevent.sleep(IDLE_S)
        return (
            f"{len(self.legs)} legs up, nobody sends RTP, {self.switch.name}",
            phase.load,
            "CPU, % of a core",
        )

    # -- the commands --

    def record(self, client: VsiClient, leg: str) -> None:
        client.ok("leg_record_start", id=leg)

    def stop_recording(self, client: VsiClient, leg: str) -> None:
        client.ok("leg_record_stop", id=leg)

    def play(self, client: VsiClient, leg: str) -> None:
        self._playbacks[leg] = client.ok("leg_play_start", id=leg, tone=TONE)["playback_id"]
        client.event("playback.started", timeout=30, playback_id=self._playbacks[leg])

    def stop_playing(self, client: VsiClient, leg: str) -> None:
        client.ok("leg_play_stop", id=leg, playback_id=self._playbacks[leg])

    # -- what came of it --

    def events(self) -> Row:
        """Whether every connection got every event of its application, and nothing else."""
        expected = {kind: len(self.legs) * (TURNS + kind.startswith("playback")) for kind in EVENTS}

        def received(kind: str) -> int:
            return sum(len(client.seen(kind)) for client in self.clients)

        with gevent.Timeout(10, False):
            while any(received(kind) < expected[kind] for kind in EVENTS):
                gevent.sleep(0.05)
        counts = ", ".join(f"{received(kind):,} {kind}" for kind in EVENTS)
        dropped = sum(
            frame["count"]
            for client in self.clients
            for frame in client.frames
            if frame["type"] == "events_dropped"
        )
        finished = [event for client in self.clients for event in client.seen("playback.finished")]
        wanted = ", ".join(f"{count:,}" for count in expected.values())
        failed = received("playback.error") + received("leg.disconnected")
        return (
            "events of it",
            counts,
            f"expected {wanted}; {failed} playback.error or leg.disconnected, {dropped} dropped;"
            f" finished: {', '.join({event['reason'] for event in finished})}",
        )

    def files(self) -> Row:
        """Whether every recording is there and has something in it."""
        lengths = []
        for path in (self.directory / "recordings").glob("*.wav"):
            with wave.open(str(path)) as file:
                lengths.append(file.getnframes() / file.getframerate())
        lengths.sort()
        empty = sum(length == 0 for length in lengths)
        found = f"{lengths[0]:.1f} to {lengths[-1]:.1f} s" if lengths else ""
        expected = len(self.legs) * TURNS
        return ("recorded files", f"{len(lengths)}, {found}", f"expected {expected}; {empty} empty")


def legs() -> list[Row]:
    """Recordings and playbacks of many legs, on a real switch if there is one."""
    with tempfile.TemporaryDirectory(prefix="vsi-bench-") as name:
        directory = Path(name)
        switch: Switch = (Simulated if find_binary() is None else Real)(directory / "switch")
        try:
            bench = Bench(switch, directory)
            try:
                bench.set_up()
                return _measure(bench)
            finally:
                bench.end()
        finally:
            switch.end()


def _measure(bench: Bench) -> list[Row]:
    raw_directory = bench.directory / "raw"
    raw_directory.mkdir()
    idle = bench.idle()
    # each takes its leg out of park, into a conference that the leg then keeps
    first = bench.over_vsi(bench.play)
    bench.over_vsi(bench.stop_playing)
    kinds = ("leg_record_start", "leg_record_stop", "leg_play_start", "leg_play_stop")
    vsi: dict[str, list[Phase]] = {kind: [] for kind in kinds}
    raw: dict[str, list[Phase]] = {kind: [] for kind in kinds}
    for turn in range(TURNS):
        vsi["leg_record_start"].append(bench.over_vsi(bench.record))
        vsi["leg_record_stop"].append(bench.over_vsi(bench.stop_recording))
        vsi["leg_play_start"].append(bench.over_vsi(bench.play))
        vsi["leg_play_stop"].append(bench.over_vsi(bench.stop_playing))
        for kind, phase in zip(kinds, _raw(bench, str(raw_directory), turn), strict=True):
            raw[kind].append(phase)
    rows = [row for kind in kinds for row in _rows(bench, kind, vsi[kind], raw[kind])]
    figure = f"{first.rate:,.0f}/s, p50 {first.percentile(50):.1f} ms, p99 {first.percentile(99):.1f} ms"
    waits = ("the first playback to each leg, which waits parked", figure, first.load)
    return [idle, waits, *rows, bench.events(), bench.files()]


def _raw(bench: Bench, directory: str, turn: int) -> Iterator[Phase]:
    """The same without the service: the one command that each of them takes."""

    def file(leg: str) -> str:
        return f"{directory}/{leg}-{turn}.wav"

    tone = str(next((bench.directory / "spool").glob("tone-*.wav")))
    yield bench.raw(lambda leg: audio.record(leg, file(leg), RATE, "both"))
    yield bench.raw(lambda leg: audio.recording(leg, "stop", file(leg)))
    yield bench.raw(lambda leg: audio.play(f"leg-{leg}", "raw", tone, 0, True))
    yield bench.raw(lambda leg: audio.stop_playing(f"leg-{leg}"))


def _rows(bench: Bench, kind: str, vsi: list[Phase], raw: list[Phase]) -> list[Row]:
    until = {"leg_play_start": " until playback.started", "leg_record_stop": " until it is published"}
    for phase in (*vsi, *raw):
        if phase.errors:
            print(f"{kind}: {len(phase.errors)} errors, such as {phase.errors[0][:200]}", file=sys.stderr)
    ratios = sorted(one.rate / bare.rate for one, bare in zip(vsi, raw, strict=True))
    here, there = (sorted(phases, key=lambda phase: phase.rate)[TURNS // 2] for phases in (vsi, raw))
    return [
        (
            f"{kind}{until.get(kind, '')}, {len(bench.legs)} legs, {CONNECTIONS} connections",
            f"{here.rate:,.0f}/s, p50 {here.percentile(50):.1f} ms, p99 {here.percentile(99):.1f} ms,"
            f" {sum(len(phase.errors) for phase in vsi)} errors",
            f"raw, one connection: {there.rate:,.0f}/s, p50 {there.percentile(50):.1f}, p99"
            f" {there.percentile(99):.1f}: {ratios[TURNS // 2]:.2f} x the rate"
            f" ({ratios[0]:.2f} to {ratios[-1]:.2f} in {TURNS} turns)",
        ),
        ("    CPU", here.load, there.load),
    ]


# -- merging -------------------------------------------------------------------------------------------

# the high-water mark is read from /proc, since ru_maxrss starts at what the parent of the process had
_MEASURED = """
import json, pathlib, re, resource, sys, time

def peak():
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

target, rate, milliseconds, pieces = json.loads(sys.argv[1])
"""
MERGE = f"""{_MEASURED}
from vsi_esl.audio.merge import Piece, merge
before, started = peak(), time.perf_counter()
skipped = merge(target, rate, len(pieces), milliseconds, [Piece(p, n, 0) for n, p in enumerate(pieces)])
assert not skipped, skipped
print(json.dumps([time.perf_counter() - started, before, peak()]))
"""
COPY = f"""{_MEASURED}
import os, wave
before, started = peak(), time.perf_counter()
with open(target, "wb") as out, wave.open(out, "wb") as file:
    file.setparams((len(pieces), 2, rate, milliseconds * rate // 1000, "NONE", ""))
    for piece in pieces:
        with wave.open(piece) as source:
            while data := source.readframes(rate // 2 * len(pieces)):
                file.writeframesraw(data)
    out.flush()
    os.fsync(out.fileno())
print(json.dumps([time.perf_counter() - started, before, peak()]))
"""


def merge() -> list[Row]:
    """The multi-channel file of a conversation, made from its tracks in a process of its own."""
    seconds = MINUTES * 60
    with tempfile.TemporaryDirectory(prefix="vsi-bench-") as name:
        pieces = [str(Path(name) / f"track{number}.wav") for number in range(PARTICIPANTS)]
        for number, path in enumerate(pieces):
            _track(path, number, seconds)
        target = Path(name) / "merged.wav"
        request = json.dumps([str(target), MERGE_RATE, seconds * 1000, pieces])
        merged, copied = [], []
        for _ in range(MERGES):
            copied.append(_run(COPY, request, target))
            merged.append(_run(MERGE, request, target))
    megabytes = PARTICIPANTS * seconds * MERGE_RATE * 2 / 1e6
    ours, theirs = (sorted(runs)[MERGES // 2] for runs in (merged, copied))
    return [
        (
            f"merge, {PARTICIPANTS} participants, {MINUTES} minutes, {megabytes:.0f} MB, with fsync",
            f"{megabytes / ours[0]:,.0f} MB/s ({ours[0]:.2f} s)",
            f"wave copies the same bytes at {megabytes / theirs[0]:,.0f} MB/s: {theirs[0] / ours[0]:.2f} x",
        ),
        (
            "its peak memory",
            f"{ours[2] / 1024:.1f} MiB",
            f"{ours[1] / 1024:.1f} before it began; wave copying {theirs[2] / 1024:.1f}",
        ),
    ]


def _track(path: str, seed: int, seconds: int) -> None:
    second = np.random.default_rng(seed).integers(-8000, 8000, MERGE_RATE, dtype="<i2").tobytes()
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, MERGE_RATE, seconds * MERGE_RATE, "NONE", ""))
        for _ in range(seconds):
            file.writeframes(second)


def _run(program: str, request: str, target: Path) -> list[float]:
    """[seconds, memory before in KiB, peak memory in KiB]"""
    process = subprocess.run(
        [sys.executable, "-c", program, request], capture_output=True, check=True, timeout=PHASE_LIMIT_S
    )
    assert target.stat().st_size == 44 + PARTICIPANTS * MINUTES * 60 * MERGE_RATE * 2
    target.unlink()
    seconds, before, peak = json.loads(process.stdout)
    return [seconds, before, peak]


def sound() -> list[Row]:
    return legs() + merge()
