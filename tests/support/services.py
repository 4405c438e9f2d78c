"""Several services as processes of their own, on one Redis and the same switches; to be killed, stopped and
made to stand still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
import weakref
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
import yaml

from .drivers import Driver
from .ending import ended_on_error
from .http import HttpClient
from .redisserver import RedisServer
from .vsi import VsiClient
from .waiting import eventually

HURRIED = """
from gevent import monkey; monkey.patch_all()
from vsi_esl.cluster import leases
from vsi_esl.ownership import owning, turn
leases.LEASE_S, leases.HEARTBEAT_S = 3.0, 2.4
owning.LEASE_S, owning.TICK_S, owning.STEADY_S, owning.UNWANTED_S = 3.0, 0.2, 0.6, 1.5
turn.FRESH_S, turn.SETTLE_S = 1.2, 1.4
from vsi_esl.ownership import doubts
doubts.SILENT_S, doubts.AGAIN_S = 0.8, 0.4
from vsi_esl.ownership import groups, growing
groups.QUIET_S, groups.SPLIT_S, growing.LOOK_S = 2.0, 4.0, 0.3
turn.NOTICED_S, turn.DOUBTED_S = 1.6, 1.6
from vsi_esl.cli import main
main()
"""
"""The service with shorter times than it has: a test need not last as long."""
REAL_TIMES = "VSI_TEST_REAL_TIMES" in os.environ
"""Services at a real switch have the times that they have elsewhere, by this variable."""
START_S = 60
STOP_S = 20
STARTED: weakref.WeakSet[OneOfSeveral] = weakref.WeakSet()
LATELY = 150
"""Lines of a log that are shown of a test that failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show of a test that failed how the log of each service that there is ends: nothing else tells of it."""
    report = yield
    if report.failed:
        for one in STARTED:
            title = f"the service {one.name} ({'running' if one.running else 'gone'}) said at last"
            lines = map(orjson.dumps, one.said[-LATELY:])
            report.sections.append((title, b"\n".join(lines).decode()))
    return report


class OneOfSeveral:
    """`vsi-esl serve` as the service `name`; started at once, and again by `start`, with the state it had."""

    def __init__(
        self,
        name: str,
        directory: Path,
        server: RedisServer,
        switches: Mapping[str, Driver],
        *,
        redis_port: int = 0,
        hurried: bool = True,
        entries: Mapping[str, Mapping[str, Any]] | None = None,
        **more: dict[str, Any],
    ) -> None:
        """`entries` are more members of the list of switches, by the switch."""
        self.name = name
        listed = entries or {}
        program = ("-c", HURRIED) if hurried else ("-m", "vsi_esl")
        self._command = [sys.executable, *program, "serve", "--config"]
        self._home = directory / name
        self._home.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "instance_id": name,
            "service": {"name": name},
            "redis": {
                "url": f"redis://127.0.0.1:{redis_port}" if redis_port else server.url,
                "connect_timeout": "1s",
                "command_timeout": "500ms",
            },
            "switches": [
                {
                    "name": one,
                    "host": driver.host,
                    "port": driver.port,
                    "password": driver.password,
                    **listed.get(one, {}),
                }
                for one, driver in switches.items()
            ],
            "http": {"addr": "127.0.0.1:0", "shutdown_timeout": "6s"},
            "state": {"path": str(self._home / "state.sqlite3")},
            "log": {"format": "json", "level": "debug"},
            "media": {"spare_worker": False},
            # the files are where the switches are: both services are on their machine
            "recording": {"dir": str(directory / "recordings")},
            "playback": {"spool_dir": str(self._home / "spool")},
        }
        for section, members in more.items():
            settings[section] = {**settings.get(section, {}), **members}
        self._settings = self._home / "settings.yaml"
        self._settings.write_text(yaml.safe_dump(settings))
        self._process: subprocess.Popen[str] | None = None
        self.said: list[dict[str, Any]] = []
        """Lines of its log."""
        self.address = ""
        STARTED.add(self)
        self.start()

    def start(self) -> None:
        """Start it; `listening` waits until it listens."""
        self.address = ""
        self._process = subprocess.Popen(
            [*self._command, str(self._settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("VSI_ESL_")},
        )
        self._reader = gevent.spawn(self._read, self._process)

    def listening(self) -> OneOfSeveral:
        """Wait until it does."""
        assert self._process is not None
        with ended_on_error(self._process):
            eventually(lambda: self.address != "" or self._reader.ready(), "it listens", START_S)
            assert self.address, self.said
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                members = orjson.loads(line)
            except ValueError:
                members = {"event": line.rstrip()}
            self.said.append(members)
            if members["event"] == "listening":
                self.address = members["address"]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def heard(self, event: str, **members: Any) -> list[dict[str, Any]]:
        """The lines of its log that say this."""
        return [one for one in self.said if one["event"] == event and members.items() <= one.items()]

    def connect(self, since: str = "") -> VsiClient:
        """A client of it; to be closed."""
        return VsiClient(self.address, f"?since={since}" if since else "")

    def readyz(self) -> dict[str, Any]:
        """What /readyz says."""
        body: dict[str, Any] = HttpClient(self.address)("GET", "/readyz").body
        return body

    def figure(self, name: str) -> float:
        """A value of /metrics without labels."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def owned(self) -> set[str]:
        """The switches that are its own, and connected."""
        if not self.address:
            return set()
        said = self.readyz()
        owners = said["cluster"]["owners"]
        ready = said.get("switches") or {next(iter(owners)): said["switch"]}
        return {one for one, owner in owners.items() if owner == self.name and ready[one]["ready"]}

    def asked(self, *words: str) -> str:
        """What `vsi-esl WORDS` says with its settings."""
        command = [sys.executable, "-m", "vsi_esl", *words, "--config", str(self._settings)]
        return subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False).stdout

    def listed(self) -> str:
        """What `vsi-esl switches list` says of it."""
        command = [
            sys.executable,
            "-m",
            "vsi_esl",
            "switches",
            "list",
            "--url",
            f"ws://{self.address}/v1/vsi",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False).stdout

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As kill -9."""
        self.signal(signal.SIGKILL)
        self.gone()

    def stop(self) -> None:
        """Have it stop by itself; returns when it is gone."""
        self.signal(signal.SIGTERM)
        self.gone()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def gone(self) -> None:
        """Wait until it is."""
        assert self._process is not None
        self._process.wait(STOP_S)
        self._reader.join(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.send_signal(signal.SIGCONT)
            self.gone()


def owners(services: Sequence[OneOfSeveral]) -> dict[str, list[str]]:
    """Switch -> the names of the services that have it, and are connected."""
    found: dict[str, list[str]] = {}
    for one in services:
        for switch in one.owned():
            found.setdefault(switch, []).append(one.name)
    return found
