"""Several services on one Redis, each with a sandbox of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vsi_esl.app import Service
from vsi_esl.cluster.connection import RedisUnavailable
from vsi_esl.config import Config
from vsi_esl.config.cluster import ServiceSettings
from vsi_esl.config.settings import HttpSettings, ListedSwitch, MediaSettings, StateSettings, SwitchSettings
from vsi_esl.sharing.deployment import Deployment
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

from .drivers import SandboxDriver, SandboxPeer
from .fixtures import with_values
from .redisserver import RedisServer
from .sharing import eventually
from .vsi import VsiClient


class Site:
    """One service, which is called as its switch is."""

    def __init__(self, name: str, redis: RedisServer, home: Path, **sections: dict[str, Any]) -> None:
        self.name = name
        self.switch = SandboxDriver()
        one = self.switch
        settings = SwitchSettings(host=one.host, port=one.port, password=one.password, sweep_interval=0.0)
        self.config = Config(
            instance_id="all",
            redis=redis.settings,
            service=ServiceSettings(name=name),
            switches=(ListedSwitch(name, settings),),
            http=HttpSettings(addr="127.0.0.1:0", shutdown_timeout=4.0),
            state=StateSettings(path=str(home / name / "state.sqlite3")),
            media=MediaSettings(spare_worker=False),
        ).having(
            RecordingSettings(dir=str(home / name / "recordings")),
            PlaybackSettings(spool_dir=str(home / name / "spool"), allow_private_urls=True),
        )
        for section, values in sections.items():
            self.config = with_values(self.config, section, **values)
        self._clients: list[VsiClient] = []
        self.begin()

    def begin(self) -> None:
        """Start it (again)."""
        self.service = Service(self.config)
        self.service.start()
        assert self.service.ctx.nodes.wait_ready(30)
        eventually(
            lambda: not self.deployment.events.apart and self.deployment.events.read is not None, "joined"
        )

    def sees(self, *others: Site) -> None:
        """Have it know of the others now, and not in a second."""

        def told() -> bool:
            try:
                for one in (*others, self):
                    one.deployment.peers.tell()
            except RedisUnavailable:  # it may not answer in time on a busy machine
                return False
            return {one.name for one in others} <= set(self.deployment.peers.others)

        eventually(told, f"{self.name} knows of the others")

    @property
    def deployment(self) -> Deployment:
        assert isinstance(self.service.ctx.elsewhere, Deployment)
        return self.service.ctx.elsewhere

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.service.http.server.server_port}"

    def client(self, query: str = "") -> VsiClient:
        self._clients.append(VsiClient(self.address, query))
        return self._clients[-1]

    def call(self, client: VsiClient) -> tuple[SandboxPeer, str]:
        """A call to this switch, as a client sees it: the peer, and the leg."""
        peer = self.switch.call()
        return peer, client.event("leg.ringing", leg_id=peer.leg)["leg_id"]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if not self.service.stopped:
            self.service.stop()
        self.switch.stop()


@pytest.fixture
def site(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make services of one deployment."""
    made: list[Site] = []

    def make(name: str, **sections: dict[str, Any]) -> Site:
        made.append(Site(name, redis_server, tmp_path, **sections))
        return made[-1]

    yield make
    for one in made:
        one.close()
