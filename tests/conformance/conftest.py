"""A service on a switch, and VSI clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drivers import Driver, FreeswitchDriver, SandboxDriver
from tests.support.freeswitch import find_binary
from tests.support.log import Log, recorded_log
from tests.support.restface import RestFace
from tests.support.vsi import VsiClient
from tests.support.webserver import WebServer
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.sections import with_values
from vsi_esl.config.settings import HttpSettings, StateSettings, SwitchSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --face=rest only what has a client: nothing else can tell one face from the other."""
    if config.getoption("--face") == "rest":
        others = [item for item in items if "connect" not in getattr(item, "fixturenames", ("connect",))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def freeswitch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The real switch of the run, when it is asked for."""
    if request.config.getoption("--switch") != "freeswitch":
        yield None
        return
    if find_binary() is None:
        pytest.exit("--switch=freeswitch: there is no FreeSWITCH here (set FREESWITCH_HOME)", 2)
    driver = FreeswitchDriver(tmp_path_factory.mktemp("freeswitch"))
    print(f"\nconformance on {driver.version}")
    yield driver
    driver.stop()


@pytest.fixture
def switch(freeswitch: FreeswitchDriver | None) -> Iterator[Driver]:
    driver: Driver = freeswitch or SandboxDriver()
    yield driver
    if freeswitch is None:
        driver.stop()
    else:
        driver.clean()


@pytest.fixture
def start(switch: Driver, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service on the switch; the next one finds its state, unless it still runs."""
    running: list[Service] = []

    def start_service(wait: bool = True, **sections: dict[str, Any]) -> Service:
        beside = sum(not one.stopped for one in running)
        home = tmp_path / f"beside-{beside}" if beside else tmp_path
        config = Config(
            instance_id="test-1",
            switch=SwitchSettings(host=switch.host, port=switch.port, password=switch.password),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=str(home / "state.sqlite3")),
        ).having(
            RecordingSettings(dir=str(home / "recordings")),
            PlaybackSettings(spool_dir=str(home / "spool"), allow_private_urls=True),
        )
        for section, values in sections.items():
            config = with_values(config, section, **values)
        service = Service(config)
        service.start()
        running.append(service)
        assert not wait or service.ctx.nodes.default.wait_ready(10)
        return service

    yield start_service
    for service in running:
        if not service.stopped:
            service.stop()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., VsiClient]]:
    """Connect VSI clients to a service."""
    clients: list[VsiClient] = []
    kind = RestFace if request.config.getoption("--face") == "rest" else VsiClient

    def connect_to(service: Service, query: str = "") -> VsiClient:
        client = kind(f"127.0.0.1:{service.http.server.server_port}", query)
        clients.append(client)
        return client

    yield connect_to
    for client in clients:
        client.close()


@pytest.fixture
def client(service: Service, connect: Callable[..., VsiClient]) -> VsiClient:
    return connect(service)


@pytest.fixture
def log() -> Iterator[Log]:
    """The service's log, at level debug."""
    with recorded_log() as log:
        yield log


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Where audio can be fetched from."""
    server = WebServer()
    yield server
    server.stop()
