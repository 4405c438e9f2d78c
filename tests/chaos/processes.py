"""The processes of a run: what is killed, stopped and started again, and those that take orders."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from tests.support.certs import Authority
from tests.support.companion import companion_environ
from tests.support.lines import COMPANION, SERVICE

from .history import History, Note
from .places import Place
from .stepped import step

HTTP_PORT = 8080
COMPANION_PORT = 8024
START_S = 60.0
DONE_S = 200.0
GOODBYE_S = 15.0
DISK_BYTES = "48m"
FILLER = "filler"


class Notes:
    """Everybody's notes, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w")
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        with self._lock:
            self._file.write(line.rstrip("\n") + "\n")

    def note(self, what: str, **more: Any) -> None:
        """The director's own."""
        self.add(json.dumps({"t": time.monotonic(), "who": "director", "what": what, **more}))

    def so_far(self) -> History:
        """What has been noted until now."""
        with self._lock:
            self._file.flush()
        return History.read(self._path)

    def close(self) -> None:
        with self._lock:
            self._file.close()


class Program:
    """A party that takes orders and notes things."""

    def __init__(self, notes: Notes, log: Path, command: list[str]) -> None:
        self._notes, self._log = notes, log
        self._answers: queue.Queue[Note] = queue.Queue()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("w"), text=True
        )
        threading.Thread(target=self._collect, args=(self.process.stdout,), daemon=True).start()

    def _collect(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                note = json.loads(line)
            except ValueError:
                continue  # cut off at its end
            if note["what"] in ("done", "listening", "up", "connected"):
                self._answers.put(note)
            if note["what"] != "done":
                self._notes.add(line)

    def wait(self, what: str, seconds: float = START_S) -> Note:
        """The next note of this kind."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                note = self._answers.get(timeout=1.0)
            except queue.Empty:
                assert self.process.poll() is None, f"it has ended: {self.process.args}, see {self._log}"
                assert time.monotonic() < deadline, f"no {what} of {self.process.args} in {seconds:g} s"
                continue
            if note["what"] == what:
                return note

    def order(self, do: str, **more: Any) -> None:
        """Have it do something, and go on when it is done."""
        self.send(do, **more)
        while self.wait("done", DONE_S)["of"] != do:
            pass

    def send(self, do: str, **more: Any) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Service:
    """The service, which can be killed and started again, with a disk and a clock of its own."""

    def __init__(self, place: Place, directory: Path, settings: dict[str, Any], notes: Notes) -> None:
        self.place, self._notes = place, notes
        self.disk = directory / "disk"
        self.directory = directory
        self._clock = directory / "clock"
        self._process: subprocess.Popen[bytes] | None = None
        self.disk.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(self.disk)], check=True
        )
        step(self._clock, 0.0)
        self._config = directory / "config.yaml"
        self._config.write_text(yaml.safe_dump(settings))
        self._log = (directory / "log").open("ab")

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.stepped", str(self._clock), "serve"]
        self._process = subprocess.Popen(
            self.place.command(*command, "--config", str(self._config)),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "VSI_ESL_LOG_FORMAT": "json"},
        )

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def revive(self) -> None:
        """Start it again if it has ended by itself, as systemd does: it cannot start on a full disk."""
        if self._process is not None and self._process.poll() is not None:
            self._notes.note("ended", of=self.place.name, code=self._process.returncode)
            self.start()

    def stand_still(self, still: bool) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def stop(self) -> bool:
        """As systemd does it; whether it ended in time."""
        if self._process is None:
            return True
        self._process.terminate()
        try:
            return self._process.wait(GOODBYE_S) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def step_clock(self, by: float) -> None:
        step(self._clock, by)

    def fill(self) -> None:
        """Take all that is left of its disk."""
        with (self.disk / FILLER).open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def free(self) -> None:
        (self.disk / FILLER).unlink()

    def ready(self) -> list[bool]:
        """Which of the switches it has, by what it says of itself; empty when it says nothing."""
        url = f"http://{self.place.address}:{HTTP_PORT}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                body = json.load(answer)
        except (OSError, ValueError):
            return []
        switches = body.get("switches", {"": body["switch"]})
        return [switches[name]["ready"] for name in sorted(switches)]

    def sample(self, idle: bool) -> None:
        """Note what it takes of the machine."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            self._notes.note(
                "sample",
                of=self.place.name,
                idle=idle,
                pid=self.pid,
                rss=process.memory_info().rss,
                descriptors=process.num_fds(),
                threads=process.num_threads(),
                opened=_opened(self.pid),
            )


def companion_of(switch: str) -> str:
    """What the companion of a switch is called."""
    return switch.replace("switch", "companion")


class Companion:
    """The companion of a switch, in its place."""

    def __init__(self, place: Place, directory: Path, home: Path, authority: Authority) -> None:
        home.mkdir()
        self._place, self._authority = place, authority
        self._log = (home / "log").open("ab")
        self._environ = companion_environ(
            authority,
            f"{place.address}:{COMPANION_PORT}",
            uploads=home / "uploads",
            recordings=directory / "recordings",
            spool=home / "spool",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def link(self) -> dict[str, str]:
        """What services are told of it."""
        certificate, key = self._authority.sign(SERVICE)
        address = f"{self._place.address}:{COMPANION_PORT}"
        ours = {"ca": self._authority.ca, "certificate": certificate, "key": key}
        return {"address": address, "name": COMPANION, **ours}

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._place.command(sys.executable, "-m", "vsi_esl", "companion"),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **self._environ},
        )

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stand_still(self, still: bool) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)


class Redis:
    """The server that services share."""

    def __init__(self, place: Place, directory: Path) -> None:
        directory.mkdir()
        options = ["--bind", place.address, "--protected-mode", "no", "--save", "", "--appendonly", "yes"]
        self._command = place.command("redis-server", *options, "--dir", str(directory))
        self._log = (directory / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=self._log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stand_still(self, still: bool) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)


def _opened(pid: int) -> dict[str, int]:
    """Of what kind its descriptors are."""
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(link)
            kinds[target.partition(":")[0] if ":" in target else target] += 1
    return dict(kinds)
