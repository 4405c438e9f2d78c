"""One run: places, programs, load, faults, and everything that is noted. It has to itself what `__main__`
makes for it: process ids, mounts and networks that end with it, however it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.certs import Authority
from tests.support.freeswitch import TETHER_PORT

from .checker import LEAST_LEGS
from .faults import CLOCK, DISK, KILL, NETWORK, RECONNECT, STOP, Fault
from .places import Place, inside
from .processes import (
    GOODBYE_S,
    HTTP_PORT,
    Companion,
    Notes,
    Program,
    Redis,
    Service,
    companion_of,
)

HOOK_PORT = 9000
READY_S = 60.0
POLL_S = 0.1
CALM_S = 1.0
REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is like."""

    seed: int
    seconds: float
    switches: list[str]
    """Of which kind each is: sandbox or freeswitch."""
    calls: int
    """How many calls are up at a time, of ours and of those who call."""
    directory: Path
    services: int = 1
    """Several have a Redis."""
    tethers: bool = False
    """Legs are in rooms of other switches, which are one group."""
    companions: bool = False
    """Each switch has one, in its place."""
    groups: bool = False
    """Each switch is a group, which becomes one with others by the legs that are in rooms of these."""


class Run:
    """Everything of one run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.notes = Notes(options.directory / "notes.jsonl")
        self._troubles = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._well_since: dict[str, float] = {}
        self._calm = False
        self.redis: dict[str, Redis] = {}
        self.companions: dict[str, Companion] = {}

    def prepare(self) -> None:
        """Places, and the programs in them."""
        directory = self.options.directory
        names = [f"switch{number}" for number in range(len(self.options.switches))]
        places = {
            name: Place(name, number)
            for name, number in (
                *((f"service{number}", 1 + number) for number in range(self.options.services)),
                ("receiver", 21),
                ("clients", 22),
                *([(REDIS, 31)] if self.options.services > 1 else []),
                *((name, 11 + number) for number, name in enumerate(names)),
            )
        }
        self.places = places
        self._cable = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.cable", str(self.options.seed)]
            + [f"{one.address}={one.tun}" for one in places.values()],
            stdin=subprocess.PIPE,
            pass_fds=[one.tun for one in places.values()],
        )
        self.switches = {
            name: self._program(
                name,
                "switchside",
                name,
                kind,
                places[name].address,
                str(directory / name),
                self.options.seed,
                "tethers" if self.options.tethers else "",
            )
            for name, kind in zip(names, self.options.switches, strict=True)
        }
        self.receiver = self._program("receiver", "receiver", places["receiver"].address, HOOK_PORT)
        for switch in self.switches.values():
            switch.wait("up")
        self.receiver.wait("listening")
        if self.options.services > 1:
            self.redis[REDIS] = Redis(places[REDIS], directory / REDIS)
            self.redis[REDIS].start()
            self.notes.note("several")
        if self.options.companions:
            authority = Authority(directory / "ca")
            for name in names:
                one = Companion(places[name], directory, directory / companion_of(name), authority)
                self.companions[companion_of(name)] = one
                one.start()
        self.services = {
            name: Service(places[name], directory / name, self._settings(places[name]), self.notes)
            for name in (f"service{number}" for number in range(self.options.services))
        }
        for one in self.services.values():
            if self.redis:
                self.notes.note("place", of=one.place.name, address=one.place.address)
            one.start()
        hooks = f"http://{places['receiver'].address}:{HOOK_PORT}"
        kind = self.options.switches[0]
        callees = "sip:{}@127.0.0.1" + (":5099" if kind == "freeswitch" else "")
        servers = [f"{one.place.address}:{HTTP_PORT}" for one in self.services.values()]
        self.clients = self._program("clients", "clients", self.options.seed, callees, hooks, *servers)
        for _ in range(3):
            self.clients.wait("connected")
        threading.Thread(target=self._watch, daemon=True).start()
        self._wait_calm()

    def _program(self, place: str, module: str, *arguments: object) -> Program:
        command = [sys.executable, "-m", f"tests.chaos.{module}", *map(str, arguments)]
        log = self.options.directory / f"{place}.err"
        return Program(self.notes, log, self.places[place].command(*command))

    def _settings(self, place: Place) -> dict[str, Any]:
        disk = self.options.directory / place.name / "disk"
        kind = self.options.switches[0]
        password = "vsi-test" if kind == "freeswitch" else "ClueCon"
        switch = {"password": password, "port": 8021, "backoff_max": 1.0, "sweep_interval": 5.0}
        addresses = {name: self.places[name].address for name in self.switches}
        settings: dict[str, Any] = {
            "instance_id": place.name,
            "http": {"addr": f"{place.address}:{HTTP_PORT}"},
            "state": {"path": str(disk / "state.sqlite3")},
            "webhooks": {
                "url": f"http://{self.places['receiver'].address}:{HOOK_PORT}/all",
                "allow_private_urls": True,
                "backoff_min": 0.1,
                "backoff_max": 1.0,
                "timeout": 3.0,
            },
            "access": {"open_without_tokens": True},
            "vsi": {"ping_interval": 1.0, "event_buffer_size": 10_000},
            "cdr": {"path": str(disk / "cdr.jsonl")},
            "recording": {"dir": str(self.options.directory / "recordings")},
            "playback": {"spool_dir": str(self.options.directory / "spool")},
            "media": {"spare_worker": False},
            "log": {"level": "debug"},
        }
        if self.options.services > 1:
            settings["redis"] = {"host": self.places[REDIS].address}
            settings["service"] = {"name": place.name}
        if len(addresses) == 1 and self.options.services == 1 and not self.companions:
            settings["switch"] = {**switch, "host": next(iter(addresses.values()))}
        else:
            settings["switch"] = switch
            settings["switches"] = [self._entry(name, address) for name, address in addresses.items()]
        return settings

    def _entry(self, name: str, address: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": name, "host": address}
        if self.options.tethers:
            entry["tether"] = f"{address}:{TETHER_PORT}"
        if self.options.groups:
            entry["group"] = name
        if (companion := self.companions.get(companion_of(name))) is not None:
            entry["companion"] = companion.link()
        return entry

    # -- whether all is well --

    def _watch(self) -> None:
        """In a thread of its own, which is in the service's place."""
        with inside("service0"):
            while not self._over.wait(POLL_S):
                for one in self.services.values():
                    one.revive()
                known = [one.ready() for one in self.services.values()]
                well = all(known) and all(any(found) for found in zip(*known, strict=False))
                with self._lock:
                    now = time.monotonic()
                    if not well or self._troubles:
                        self._well_since.clear()
                    else:
                        since = self._well_since.setdefault("", now)
                        if not self._calm and now - since > CALM_S:
                            self._calm = True
                            self.notes.note("calm")

    def _wait_calm(self) -> None:
        deadline = time.monotonic() + READY_S
        while not self._calm:
            assert time.monotonic() < deadline, f"the service is not ready after {READY_S:g} s"
            time.sleep(POLL_S)

    def _trouble(self, by: int) -> None:
        with self._lock:
            self._troubles += by
            if self._calm:
                self._calm = False
                self.notes.note("disturbed")
            self._well_since.clear()

    # -- faults --

    def inflict(self, faults: list[Fault]) -> None:
        """The faults of the plan, each at its time."""
        began = time.monotonic()
        moments = sorted(
            [(one.at, number, False) for number, one in enumerate(faults)]
            + [(one.ends, number, True) for number, one in enumerate(faults)],
            key=lambda moment: (moment[0], moment[2]),
        )
        for at, number, heals in moments:
            while (wait := began + at - time.monotonic()) > 0:
                time.sleep(min(wait, 0.5))
            fault = faults[number]
            if heals:
                self._do(fault, heals=True)
                self.notes.note("healed", fault=str(fault), on=fault.on)
                self._trouble(-1)
            else:
                self._trouble(+1)
                self.notes.note("fault", fault=str(fault), on=fault.on)
                self._do(fault, heals=False)
        while time.monotonic() < began + self.options.seconds:
            time.sleep(POLL_S)

    def _do(self, fault: Fault, *, heals: bool) -> None:
        one = fault.on[0]
        if fault.kind == NETWORK:
            self._between(*fault.on, **({} if heals else fault.how))
        elif fault.kind == KILL and one in self.switches:
            self.switches[one].order("start" if heals else "kill")
        elif fault.kind == STOP and one in self.switches:
            self.switches[one].order("still", still=not heals)
        elif fault.kind == KILL:
            process = self.redis.get(one) or self.companions.get(one) or self.services[one]
            process.start() if heals else process.kill()
        elif fault.kind == STOP:
            (self.redis.get(one) or self.companions.get(one) or self.services[one]).stand_still(not heals)
        elif fault.kind == CLOCK and not heals:
            self.services[one].step_clock(fault.how["by"])
        elif fault.kind == DISK:
            self.services[one].free() if heals else self.services[one].fill()
        elif fault.kind == RECONNECT and not heals:
            self.clients.order("drop", who=one)

    def _between(self, one: str, other: str, **how: Any) -> None:
        order = {"between": [self.places[one].address, self.places[other].address], **how}
        assert self._cable.stdin is not None
        self._cable.stdin.write(json.dumps(order).encode() + b"\n")
        self._cable.stdin.flush()

    # -- the course of it --

    def run(self, faults: list[Fault]) -> None:
        """Load and faults, and then what is left when all is over."""
        for one in self.services.values():
            one.sample(idle=True)
        half = max(1, self.options.calls // 2)
        for switch in self.switches.values():
            switch.order("call", most=max(1, half // len(self.switches)))
        self.clients.order("load", most=half)
        self.inflict(faults)
        self._wait_for_legs()
        for switch in self.switches.values():
            switch.order("calm")
        self.clients.order("calm")
        self._wait_calm()
        self.clients.order("settle")
        self._delivered()
        for one in self.services.values():
            one.sample(idle=True)
        for switch in self.switches.values():
            switch.order("look")

    def _wait_for_legs(self) -> None:
        """A machine with much else to do makes few calls in the time of a short run: a while longer, then."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            seen = self.notes.so_far()
            if len(seen.legs) >= LEAST_LEGS and any(one.answered for one in seen.channels.values()):
                return
            time.sleep(CALM_S)

    def _delivered(self) -> None:
        """Wait until no webhook waits any more."""
        deadline = time.monotonic() + READY_S
        with inside("service0"):
            while time.monotonic() < deadline and any(_pending(one) for one in self.services.values()):
                time.sleep(POLL_S)

    def finish(self) -> None:
        """End the programs, and note what is on disk."""
        self._over.set()
        for one in self.services.values():
            if not one.stop():
                self.notes.note("left", legs=["a service that does not stop"], rooms=[])
            self._note_files(one)
        for program in (self.clients, self.receiver, *self.switches.values()):
            program.end()
        assert self._cable.stdin is not None
        self._cable.stdin.close()
        self._cable.wait(GOODBYE_S)
        for one in (*self.redis.values(), *self.companions.values()):
            one.kill()
        self.notes.close()

    def _note_files(self, service: Service) -> None:
        for file in sorted(service.disk.glob("cdr.jsonl*")):
            for line in file.read_text().splitlines():
                self.notes.note("cdr", record=json.loads(line))
        for path in (self.options.directory / "recordings").rglob("*"):
            if path.is_file():
                self.notes.note("file", path=str(path), bytes=path.stat().st_size)


def _pending(service: Service) -> bool:
    """Whether webhooks or records wait to be delivered."""
    url = f"http://{service.place.address}:{HTTP_PORT}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return True
    waiting = ("vsi_esl_webhook_pending ", "vsi_esl_cdr_pending ")
    found = [float(line.split()[1]) for line in text.splitlines() if line.startswith(waiting)]
    return len(found) < len(waiting) or any(found)
