"""A private FreeSWITCH per test module, SIP peers, and the service as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.drivers import eventually
from tests.support.ending import ended_on_error
from tests.support.freeswitch import PARK_LIMIT_S, PrivateSwitch, find_binary
from tests.support.liveservice import one_worker
from tests.support.ports import free_port
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient
from vsi_esl.app import Service


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("markexpr")
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.real_switch)
            if item.get_closest_marker("slow") and "slow" not in wanted:
                item.add_marker(pytest.mark.skip(reason="takes minutes: -m slow"))
            if find_binary() is None:
                item.add_marker(
                    pytest.mark.skip(reason="no FreeSWITCH on this machine (set FREESWITCH_HOME)")
                )


START_TIMEOUT_S = 60
"""Until a service is ready; a second on a machine that has nothing else to do."""


class ServiceProcess:
    """`vsi-esl serve` against a switch. Starting it again finds its state; `there` is the command that has
    programs run on another machine."""

    def __init__(
        self, switch: PrivateSwitch, directory: Path, there: Sequence[str] = (), **environ: str
    ) -> None:
        self._there = list(there)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._environ = {
            **os.environ,
            "HTTP_ADDR": self.address,
            "VSI_ESL_SWITCH_HOST": switch.host,
            "VSI_ESL_SWITCH_PORT": str(switch.esl_port),
            "VSI_ESL_SWITCH_PASSWORD": switch.password,
            "VSI_ESL_STATE_PATH": str(directory / "state.sqlite3"),
            "VSI_ESL_LOG_FORMAT": "json",
            "SPEECH_DETECTION_ENABLED": "true",
            "RECORDING_DIR": str(directory / "recordings"),
            "VSI_ESL_SPOOL_DIR": str(directory / "spool"),
            "VSI_ESL_ALLOW_PRIVATE_URLS": "true",
            **environ,
        }
        self._log = directory / "service.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        """Start, and wait until the calls of the switch are re-adopted; `environ` changes what it is told."""
        self._environ |= environ
        before = self.log().count("switch ready")
        with self._log.open("ab") as log:
            command = [*self._there, sys.executable, "-m", "vsi_esl", "serve"]
            self._process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log)
        with ended_on_error(self._process):
            eventually(
                lambda: self.log().count("switch ready") > before or self._ended(),
                "the service is ready",
                START_TIMEOUT_S,
            )
            assert not self._ended(), self.log()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def environ(self) -> dict[str, str]:
        """What it is told."""
        return dict(self._environ)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            with ended_on_error(process):
                process.send_signal(number)
                process.wait(timeout=30)


@pytest.fixture(scope="module")
def switch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateSwitch]:
    """It keeps calls that nobody takes as long as in use, but for those who are here to see them end: a
    service that has not the CPU takes a call seconds late."""
    limit = getattr(request.module, "PARK_LIMIT_S", PARK_LIMIT_S)
    switch = PrivateSwitch(tmp_path_factory.mktemp("switch"), park_limit=limit)
    switch.start()
    try:
        switch.make_first_conference()
        yield switch
    finally:
        switch.stop()


@pytest.fixture
def agent(switch: PrivateSwitch) -> Iterator[UserAgent]:
    agent = UserAgent(("127.0.0.1", switch.sip_port))
    yield agent
    agent.stop()
    switch.api("hupall")


@pytest.fixture
def service(switch: PrivateSwitch, tmp_path: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess(switch, tmp_path)
    process.start()
    yield process
    process.end()


@pytest.fixture
def connect() -> Iterator[Callable[[ServiceProcess], VsiClient]]:
    clients: list[VsiClient] = []

    def connect_to(service: ServiceProcess) -> VsiClient:
        client = VsiClient(service.address)
        clients.append(client)
        return client

    yield connect_to
    for client in clients:
        client.close()


@pytest.fixture
def client(service: ServiceProcess, connect: Callable[[ServiceProcess], VsiClient]) -> VsiClient:
    return connect(service)


@pytest.fixture
def start(switch: PrivateSwitch, tmp_path: Path) -> Iterator[Callable[[], Service]]:
    """Starts services in this process, with one media worker each."""
    running: list[Service] = []

    def start_service() -> Service:
        running.append(one_worker(tmp_path, switch.esl_port))
        return running[-1]

    yield start_service
    for service in running:
        if not service.stopped:
            service.stop()
