"""The switch runs as a user of its own, with umask 027, and the service as another one, as they usually do.

Needs root, to be two other users.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.support.drivers import FreeswitchDriver, eventually
from tests.support.freeswitch import REPOSITORY
from tests.support.recorded import seconds
from tests.support.sandboxuser import PASSWORD
from tests.support.service import quiet
from vsi_esl.app import Service
from vsi_esl.cli.doctor import api
from vsi_esl.model.sound_stores import Recordings
from vsi_esl.ops.findings import ON_SWITCH
from vsi_esl.sound.recording import publisher
from vsi_esl.switch.esl.client import EslClient
from vsi_esl.work import clock

SERVICE, SWITCH, COMMON = 64001, 64002, 64010
"""Users, whose groups have the same numbers, and the group that both are in."""
UMASK = 0o027
HEADER_BYTES = 200
"""Longer than the header of any recording."""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as two other users")


class SandboxProcess:
    """The sandbox as another user."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.sandboxuser", *map(str, (SWITCH, SWITCH, COMMON, UMASK))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert self.process.stdout is not None
        self.host, self.port, self.password = "127.0.0.1", int(self.process.stdout.readline()), PASSWORD

    def uri(self, behaviour: str) -> str:
        return f"sip:{behaviour}@127.0.0.1"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A directory that other users can get into."""
    path = Path(tempfile.mkdtemp(prefix="vsi-users-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def foreign(request, base) -> Iterator[Any]:
    """The switch."""
    if request.config.getoption("--switch") == "freeswitch":
        if not all(above.stat().st_mode & 0o001 for above in REPOSITORY.parents):
            pytest.skip(f"another user cannot read {REPOSITORY}")
        owner = {"user": SWITCH, "group": SWITCH, "extra_groups": [COMMON], "umask": UMASK}
        (base / "switch").mkdir()
        driver: Any = FreeswitchDriver(base / "switch", owner)
    else:
        driver = SandboxProcess()
    yield driver
    driver.stop()


@pytest.fixture
def home(base) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="home-", dir=base))
    os.chown(path, SERVICE, SERVICE)
    path.chmod(0o711)
    yield path


def folder(home: Path, name: str, owner: int, group: int, mode: int) -> None:
    path = home / name
    path.mkdir()
    os.chown(path, owner, group)
    path.chmod(mode)


def as_recommended(home: Path) -> None:
    for name in ("recordings", "spool"):
        folder(home, name, SERVICE, COMMON, 0o2770)


class AsService:
    """This process as the service's user, and as root again where that is needed."""

    def __enter__(self) -> AsService:
        self._groups = os.getgroups()
        os.setgroups([COMMON])
        os.setegid(SERVICE)
        os.seteuid(SERVICE)
        return self

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(self._groups)

    def root(self, action: Callable[..., Any], *args: Any) -> Any:
        os.seteuid(0)
        try:
            return action(*args)
        finally:
            os.seteuid(SERVICE)


@pytest.fixture
def user(foreign) -> Iterator[AsService]:
    with AsService() as user:
        yield user


@pytest.fixture
def begin(foreign, home, start, connect, user) -> Callable[[], tuple[Any, Service, str]]:
    """Start the service as its user: a client, the service, and a leg."""

    def begin() -> tuple[Any, Service, str]:
        service = start(
            switch={"host": foreign.host, "port": foreign.port, "password": foreign.password},
            state={"path": str(home / "state.sqlite3")},
            recording={"dir": str(home / "recordings")},
            playback={"spool_dir": str(home / "spool")},
        )
        client = connect(service)
        leg = client.ok("create_leg", type="sip", to=foreign.uri("instant"))["id"]
        client.event("leg.connected", leg_id=leg)
        return client, service, leg

    return begin


def something_recorded(foreign: Any, service: Service, user: AsService) -> None:
    """Until there is sound in the file: one without, the switch removes when it closes it."""
    (recording,) = service.ctx.get(Recordings)
    if isinstance(foreign, SandboxProcess):  # it writes the file at its end, by the clock
        eventually(lambda: recording.elapsed_ms(clock.now()) > 100, "time passes")
    else:
        eventually(lambda: user.root(os.path.getsize, recording.part) > HEADER_BYTES, "sound is written")


def failures(service: Service, kind: str, stage: str) -> float:
    name = f"vsi_esl_{kind}_failures_total"
    return service.ctx.metrics.registry.get_sample_value(name, {"stage": stage})


def doctor(service: Service) -> dict[str, tuple[str, str]]:
    """Status and finding of what doctor tries of sound."""
    settings = service.config.switch
    client = EslClient(settings.host, settings.port, settings.password)
    client.connect()
    try:
        checks = chain(*(made(service.config, partial(api, client)) for made in ON_SWITCH.values()))
        return {check.name: (check.status, check.detail) for check in checks}
    finally:
        client.stop()


def test_a_common_group_and_setgid(foreign, home, begin, user):
    user.root(as_recommended, home)
    client, service, leg = begin()
    client.ok("leg_record_start", id=leg)
    client.ok("leg_play_start", id=leg, tone="dial")
    client.event("playback.started", leg_id=leg)
    something_recorded(foreign, service, user)
    file = client.ok("leg_record_stop", id=leg)["file"]
    assert "error" not in client.event("recording.finished", leg_id=leg)
    assert seconds(file) > 0
    status = os.stat(file)
    assert (status.st_gid, status.st_mode & 0o777) == (COMMON, 0o640)
    assert os.listdir(home / "recordings") == [os.path.basename(file)]
    found = doctor(service)
    assert found["recording"][0] == found["playback"][0] == "ok"
    assert os.listdir(home / "recordings") == [os.path.basename(file)]
    assert not [name for name in os.listdir(home / "spool") if "doctor" in name]


def test_a_directory_where_others_files_cannot_be_taken(home, begin, user):
    """Sticky, as /tmp: the file can be read, and neither linked nor renamed. It is copied."""
    user.root(folder, home, "recordings", 0, COMMON, 0o3777)
    client, _, leg = begin()
    client.ok("leg_record_start", id=leg)
    file = client.ok("leg_record_stop", id=leg)["file"]
    assert "error" not in client.event("recording.finished", leg_id=leg)
    assert seconds(file) >= 0
    assert os.stat(file).st_uid == SERVICE


def test_files_that_cannot_be_read_are_published_when_they_can(foreign, home, begin, user, monkeypatch):
    """Without setgid they have the group of the switch, and umask 027 keeps all others out."""
    monkeypatch.setattr(publisher, "RETRY_S", 0.2)
    user.root(folder, home, "recordings", SERVICE, COMMON, 0o777)
    client, service, leg = begin()
    client.ok("leg_record_start", id=leg)
    promised = client.event("recording.started", leg_id=leg)["file"]
    something_recorded(foreign, service, user)
    assert client.ok("leg_record_stop", id=leg)["file"] == ""
    finished = client.event("recording.finished", leg_id=leg)
    assert (finished["file"], finished["error"]) == ("", "recording not published: Permission denied")
    assert failures(service, "recording", "publish") == 1
    assert service.ctx.state.items("recording")
    assert doctor(service)["recording"][0] == "failed"
    (part,) = (home / "recordings" / one for one in os.listdir(home / "recordings") if "rec-" in one)
    user.root(part.chmod, 0o644)
    eventually(lambda: os.path.exists(promised), "published after all")
    eventually(lambda: quiet(service), "and forgotten")
    assert os.listdir(home / "recordings") == [os.path.basename(promised)]
    assert client.types().count("recording.finished") == 1


def test_a_restart_goes_on_with_them(foreign, home, begin, user):
    user.root(folder, home, "recordings", SERVICE, COMMON, 0o777)
    client, service, leg = begin()
    client.ok("leg_record_start", id=leg)
    promised = client.event("recording.started", leg_id=leg)["file"]
    something_recorded(foreign, service, user)
    client.ok("leg_record_stop", id=leg)
    service.stop()
    (part,) = (home / "recordings" / one for one in os.listdir(home / "recordings"))
    user.root(part.chmod, 0o644)
    begin()
    eventually(lambda: os.path.exists(promised), "published after all")


def test_a_directory_that_the_switch_cannot_write_to(home, begin, user):
    """As the service makes it, without a common group."""
    client, service, leg = begin()
    code, message = client.error("leg_record_start", id=leg)
    assert code == 500
    assert message.startswith("create recording file: -ERR Cannot record session!")
    assert failures(service, "recording", "start") == 1
    assert os.stat(home / "recordings").st_mode & 0o7777 == 0o2770
    assert doctor(service)["recording"][0] == "failed"


def test_a_directory_of_the_switch(home, begin, user):
    """The service could not publish what is in it, so nothing is recorded."""
    user.root(folder, home, "recordings", SWITCH, COMMON, 0o2750)
    client, service, leg = begin()
    assert client.error("leg_record_start", id=leg) == (
        500,
        "create recording dir: the service cannot write to it",
    )
    assert failures(service, "recording", "start") == 1
    assert os.listdir(home / "recordings") == []
    assert doctor(service)["recording"][0] == "failed"


def test_a_spool_that_the_switch_cannot_read(home, begin, user):
    client, service, leg = begin()
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    error = client.event("playback.error", playback_id=playback)["error"]
    assert error.startswith("write audio:")
    assert failures(service, "playback", "play") == 1
    assert doctor(service)["playback"][0] == "failed"
