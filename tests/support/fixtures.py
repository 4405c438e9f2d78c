"""The plugin of tests/service, tests/conformance and tests/contract: switch, service, VSI clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vsi_esl.agents.settings import AgentSettings
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.sections import with_values
from vsi_esl.config.settings import HttpSettings, MediaSettings, StateSettings, SwitchSettings
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.streams.settings import StreamSettings

from .agentserver import AgentServer
from .browsers import Browser, Browsers
from .drivers import Driver, ForeignDriver, FreeswitchDriver, SandboxDriver
from .freeswitch import find_binary
from .log import Log, recorded_log
from .process import ServiceProcess
from .restface import RestFace
from .service import address
from .vsi import VsiClient
from .webserver import WebServer, tone


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vsi", "the VSI servers that are tested")
    group.addoption(
        "--switch",
        choices=("sandbox", "freeswitch"),
        default="sandbox",
        help="the switch that tests/conformance and tests/service run on",
    )
    group.addoption(
        "--face",
        choices=("vsi", "rest"),
        default="vsi",
        help="how the clients of tests/conformance and tests/service send their commands",
    )
    group.addoption(
        "--target",
        metavar="URL",
        help="hold tests/conformance against this VSI server (http://host:port) and start none",
    )
    group.addoption(
        "--sip", metavar="HOST:PORT", help="where --target takes calls; it has to call 127.0.0.1 as well"
    )


def pytest_configure(config: pytest.Config) -> None:
    if (config.getoption("--target") is None) != (config.getoption("--sip") is None):
        raise pytest.UsageError("--target and --sip belong together")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --face=rest only what has a client: nothing else can tell one face from the other. With --target
    only what faces a server by its address."""
    wanted = set()
    if config.getoption("--face") == "rest":
        wanted.add("connect")
    if config.getoption("--target"):
        wanted.add("server")
        for item in items:
            if mark := item.get_closest_marker("beyond"):
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))
    others = [item for item in items if not wanted <= set(getattr(item, "fixturenames", wanted))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def lasting_driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FreeswitchDriver | ForeignDriver | None]:
    """What all tests of the run share: a real switch, or the target's SIP side."""
    if target := request.config.getoption("--target"):
        driver: FreeswitchDriver | ForeignDriver = ForeignDriver(target, request.config.getoption("--sip"))
    elif request.config.getoption("--switch") == "freeswitch":
        if find_binary() is None:
            pytest.exit("--switch=freeswitch: there is no FreeSWITCH here (set FREESWITCH_HOME)", 2)
        driver = FreeswitchDriver(tmp_path_factory.mktemp("freeswitch"))
    else:
        yield None
        return
    print(f"\non {driver.version}")
    yield driver
    driver.stop()


@pytest.fixture
def switch(
    request: pytest.FixtureRequest,
    lasting_driver: FreeswitchDriver | ForeignDriver | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Driver]:
    """The people at the other end of calls; and for tests/service the switch itself. A test that is marked
    `own_switch` shares it with no other."""
    if lasting_driver is None:
        sandbox = SandboxDriver()
        yield sandbox
        sandbox.stop()
    elif request.node.get_closest_marker("own_switch"):
        own = FreeswitchDriver(tmp_path_factory.mktemp("switch"))
        yield own
        own.switch.kill9()  # ending as it should takes it 6 s, and nothing of it is needed any more
        own.stop()
    else:
        yield lasting_driver
        lasting_driver.clean()


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
            media=MediaSettings(spare_worker=False),
        ).having(
            RecordingSettings(dir=str(home / "recordings")),
            PlaybackSettings(spool_dir=str(home / "spool"), allow_private_urls=True),
            AgentSettings(allow_private_urls=True),
            StreamSettings(allow_private_urls=True),
        )
        for section, values in sections.items():
            config = with_values(config, section, **values)
        service = Service(config)
        service.start()
        running.append(service)
        assert not wait or service.ctx.nodes.default.wait_ready(20)
        return service

    yield start_service
    for service in running:
        if not service.stopped:
            service.stop()


@pytest.fixture
def start_process() -> Iterator[Callable[..., ServiceProcess]]:
    """Start a service as a process of its own; none is left when the test is over, however that ends."""
    running: list[ServiceProcess] = []

    def start_it(environ: dict[str, str], since: str = "") -> ServiceProcess:
        running.append(ServiceProcess(environ, since))
        return running[-1]

    yield start_it
    for process in running:
        process.end()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


@contextmanager
def connections(config: pytest.Config) -> Iterator[Callable[[str, str], VsiClient]]:
    """Connects VSI clients of the face that is tested to an address; they are closed at the end."""
    clients: list[VsiClient] = []
    kind = RestFace if config.getoption("--face") == "rest" else VsiClient

    def connect_to(address: str, query: str = "") -> VsiClient:
        client = kind(address, query)
        clients.append(client)
        return client

    yield connect_to
    for client in clients:
        client.close()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., VsiClient]]:
    """Connect VSI clients to a service."""
    with connections(request.config) as connect_to:
        yield lambda service, query="": connect_to(address(service), query)


@pytest.fixture
def client(service: Service, connect: Callable[..., VsiClient]) -> VsiClient:
    return connect(service)


@pytest.fixture
def log() -> Iterator[Log]:
    """The service's log, at level debug."""
    with recorded_log() as log:
        yield log


@pytest.fixture(scope="session")
def lasting_agents() -> Iterator[AgentServer]:
    server = AgentServer()
    yield server
    server.stop()


@pytest.fixture
def agents(lasting_agents: AgentServer) -> Iterator[AgentServer]:
    """The providers of agents. Their clients have to keep to what they document."""
    lasting_agents.reset()
    yield lasting_agents
    assert lasting_agents.wrongs == []


@pytest.fixture(scope="session")
def lasting_browsers() -> Iterator[Browsers]:
    browsers = Browsers()
    yield browsers
    browsers.stop()


@pytest.fixture
def browser(switch: Driver, lasting_browsers: Browsers) -> Iterator[Callable[[], Browser]]:
    """Make browsers: Chromium's peer connections, or the sandbox's."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(lasting_browsers.make(switch))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Where audio can be fetched from."""
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def prompt(web: WebServer) -> str:
    """The URL of half a second of a tone."""
    return web.put("/prompt.wav", tone(700, 0.5))


@pytest.fixture
def long(web: WebServer) -> str:
    """The URL of 30 s of a tone."""
    return web.put("/long.wav", tone(700, 30))
