"""The unit, what the service tells systemd, and what can change while it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from types import SimpleNamespace

import gevent
import pytest
from click.testing import CliRunner
from gevent import monkey

from tests.support.drivers import eventually
from tests.support.http import HttpClient
from tests.support.process import ServiceProcess, environ_of
from tests.support.program import Running, run
from tests.support.receiver import Receiver
from tests.support.service import signed
from tests.support.systemd import NotifySocket
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.cli.supervised import Supervised
from vsi_esl.cli.systemd_unit import COMPANION, systemd_unit, unit
from vsi_esl.ops.systemd import Notifier, notifier, watchdog_s

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
MOST_EXPOSURE = 2.0
"""`systemd-analyze security`: 0 is nothing, 10 everything; below 2.0 it is called OK."""
hold_up = monkey.get_original("time", "sleep")
"""The loop stands still meanwhile."""


@pytest.fixture
def systemd(tmp_path):
    found = NotifySocket(tmp_path)
    yield found
    found.close()


# -- the unit ----------------------------------------------------------------------------------------------


@pytest.fixture
def unit_file(tmp_path):
    path = tmp_path / "vsi_esl.service"
    path.write_text(unit("/bin/true", "/etc/vsi_esl/config.yaml", "vsi_esl", 252))
    return path


@needs_systemd
def test_systemd_understands_all_of_it(unit_file):
    checked = subprocess.run(
        [ANALYZE, "verify", "--man=no", unit_file], capture_output=True, text=True, timeout=60, check=False
    )
    told = [line for line in checked.stderr.splitlines() if unit_file.stem in line]
    assert (told, checked.returncode) == ([], 0)


@needs_systemd
def test_the_companions_is_as_tight(tmp_path):
    path = tmp_path / "vsi_companion.service"
    path.write_text(unit("/bin/true", "/etc/vsi_companion/config.yaml", "vsi_companion", 252, COMPANION))
    test_systemd_understands_all_of_it(path)
    test_it_lets_the_service_do_little(path)


@needs_systemd
def test_it_lets_the_service_do_little(unit_file):
    command = [ANALYZE, "security", "--offline=yes", f"--threshold={round(MOST_EXPOSURE * 10)}", unit_file]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", asked.stdout)[1])
    assert exposure < MOST_EXPOSURE, asked.stdout
    assert asked.returncode == 0


def test_where_systemd_can_wait_for_a_reload_it_does():
    new, old = (unit("/x/vsi-esl", "/y.yaml", "calls", version) for version in (254, 252))
    assert "\nType=notify-reload\n" in new and "ExecReload=" not in new
    assert "\nType=notify\n" in old and "\nExecReload=/bin/kill -HUP $MAINPID\n" in old
    for text in (new, old):
        assert "\nExecStart=/x/vsi-esl serve --config /y.yaml\n" in text
        assert "\nUser=calls\nGroup=calls\n" in text
        assert "\nFileDescriptorStoreMax=" in text, "browsers' calls go on through a restart"


def test_the_command_prints_it_with_its_own_path():
    printed = CliRunner().invoke(systemd_unit, ["--systemd", "252"]).stdout
    (program,) = re.findall(
        r"^ExecStart=(\S+) serve --config /etc/vsi_esl/config.yaml$", printed, re.MULTILINE
    )
    assert os.path.isabs(program) and program.endswith("/vsi-esl")
    given = CliRunner().invoke(systemd_unit, ["--exec", "/opt/a/bin/vsi-esl", "--user", "pbx"])
    assert "\nExecStart=/opt/a/bin/vsi-esl serve " in given.stdout
    assert given.stderr == ""


def test_the_command_prints_that_of_a_companion():
    printed = CliRunner().invoke(systemd_unit, ["--companion", "--exec", "/x/vsi-esl"]).stdout
    assert "\nExecStart=/x/vsi-esl companion --config /etc/vsi_companion/config.yaml\n" in printed
    assert "\nType=notify\n" in printed and "ExecReload=" not in printed
    assert "\nUser=vsi_companion\nGroup=vsi_companion\n" in printed
    given = CliRunner().invoke(systemd_unit, ["--companion", "--config", "/y.yaml", "--user", "pbx"]).stdout
    assert " companion --config /y.yaml\n" in given and "\nUser=pbx\nGroup=pbx\n" in given


@pytest.mark.parametrize(
    "options",
    [
        ("--exec", "vsi-esl"),
        ("--exec", "/x\nUser=root"),
        ("--config", "/a b"),
        ("--user", "a\nb"),
        ("--user", "-r"),
    ],
)
def test_no_option_writes_another_line_into_it(options):
    refused = CliRunner().invoke(systemd_unit, options)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "must be" in refused.stderr


# -- what systemd is told ----------------------------------------------------------------------------------


def service(ready=True, error=""):
    node = SimpleNamespace(
        ready=ready,
        address="127.0.0.1:8021",
        last_error="Connection refused",
        name="pbx",
        host=SimpleNamespace(companion=None),
    )

    class Nodes(list):
        @property
        def ready(self):
            return any(one.ready for one in self)

    ctx = SimpleNamespace(legs=[1, 2], rooms=[1], nodes=Nodes([node]), state=SimpleNamespace(error=error))
    vars(ctx).update(cluster=None, able=ready)
    return SimpleNamespace(ctx=ctx, http=SimpleNamespace(clients=3)), node


def test_ready_is_when_the_switch_is(systemd):
    of, node = service(ready=False)
    supervised = Supervised(of, Notifier(systemd.address), patience=60)
    supervised.start()
    assert systemd.wait("STATUS=").endswith("no switch at 127.0.0.1:8021: Connection refused")
    assert "READY=1" not in systemd.told
    node.ready = of.ctx.able = True
    systemd.wait("READY=1")
    assert systemd.wait("STATUS=") == "STATUS=2 legs, 1 rooms, 3 VSI clients"
    supervised.stopping()
    systemd.wait("STOPPING=1")


def test_a_switch_that_does_not_come_is_not_a_failed_start(systemd, log):
    of, _ = service(ready=False)
    supervised = Supervised(of, Notifier(systemd.address), patience=0.2)
    supervised.start()
    systemd.wait("READY=1")
    assert "no switch at 127.0.0.1:8021" in systemd.wait("STATUS=")
    assert log.named("started without the switch; it is used as soon as it is there")
    supervised.stopping()


def test_one_of_several_services_is_ready_when_others_have_the_switches(systemd):
    """It takes commands, which it hands on; its status says that it has none, and of none that it is away."""
    of, node = service(ready=False)
    owned: set[str] = set()
    of.ctx.cluster, of.ctx.able = SimpleNamespace(owned=owned.__contains__), True
    supervised = Supervised(of, Notifier(systemd.address), watchdog=0.2)
    supervised.start()
    systemd.wait("READY=1")
    assert systemd.wait("STATUS=").endswith("clients; has 0 of 1 switches")
    owned.add(node.name)
    assert systemd.wait("STATUS=").endswith("clients; no switch at 127.0.0.1:8021: Connection refused")
    supervised.stopping()


def test_it_is_not_ready_before_the_calls_of_its_own_switches_are_known(systemd):
    of, node = service(ready=False)
    of.ctx.cluster, of.ctx.able = SimpleNamespace(owned=lambda _: True), True
    supervised = Supervised(of, Notifier(systemd.address), patience=60)
    supervised.start()
    systemd.wait("STATUS=")
    assert "READY=1" not in systemd.told
    node.ready = True
    systemd.wait("READY=1")
    supervised.stopping()


def test_a_companion_that_is_away_is_in_the_status(systemd):
    of, node = service()
    node.host.companion = SimpleNamespace(wanted=True, connected=False, error="connection refused")
    supervised = Supervised(of, Notifier(systemd.address))
    supervised.start()
    assert systemd.wait("STATUS=").endswith("clients; no companion of pbx: connection refused")
    supervised.stopping()


def test_an_error_of_the_state_is_in_the_status_and_no_line_of_its_own(systemd):
    of, _ = service(error="disk full\nREADY=0")
    supervised = Supervised(of, Notifier(systemd.address))
    supervised.start()
    assert systemd.wait("STATUS=").endswith("the state cannot be saved: disk full READY=0")
    supervised.stopping()


def test_the_watchdog_is_fed_by_the_loop_and_by_nothing_else(systemd):
    of, _ = service()
    supervised = Supervised(of, Notifier(systemd.address), watchdog=0.2)
    supervised.start()
    for _ in range(3):
        systemd.wait("WATCHDOG=1")
    systemd.read()
    hold_up(0.3)
    assert systemd.read() == []
    systemd.wait("WATCHDOG=1")
    supervised.stopping()


def test_what_cannot_be_described_does_not_end_the_watchdog(systemd, log):
    of, _ = service()
    del of.ctx.state.error  # an error that nobody foresaw
    supervised = Supervised(of, Notifier(systemd.address), watchdog=0.2, patience=0.0)
    supervised.start()
    assert systemd.wait("STATUS=") == "STATUS=what it does is not known: AttributeError"
    for _ in range(3):
        systemd.wait("WATCHDOG=1")
    assert len(log.named("systemd is not told what the service does")) == 1
    of.ctx.state.error = ""
    assert systemd.wait("STATUS=") == "STATUS=2 legs, 1 rooms, 3 VSI clients"
    supervised.stopping()


def test_what_systemd_could_not_take_is_told_again(tmp_path):
    of, _ = service()
    supervised = Supervised(of, Notifier(str(tmp_path / "notify")), watchdog=0.2)
    supervised.start()
    gevent.sleep(0)
    later = NotifySocket(tmp_path)
    later.wait("READY=1")
    supervised.stopping()
    later.close()


def test_without_systemd_nobody_is_told():
    of, _ = service()
    supervised = Supervised(of, notifier({}), watchdog_s({}))
    supervised.start()
    supervised.reload(lambda: True)
    supervised.stopping()
    assert not notifier({})
    assert notifier({}).tell("READY=1") is False


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_how_often_systemd_wants_to_hear(environ, seconds):
    assert watchdog_s(environ) == seconds


# -- a service under it ------------------------------------------------------------------------------------


def test_the_life_of_a_service_and_what_changes_without_losing_a_connection(  # noqa: PLR0915 - one life
    systemd, tmp_path
):
    """Tokens, webhooks, log level and allowed addresses."""
    old, new = new_token(), new_token()
    receiver = Receiver()
    settings = {"access": {"tokens": [line_of("old", "control", old)]}}
    path = tmp_path / "settings.yaml"

    def write() -> None:
        path.write_text(json.dumps(settings))

    write()
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000000"}
    running = Running(
        "--config", str(path), "--no-demo", VSI_ESL_STATE_PATH=str(tmp_path / "state"), **environ
    )
    host = running.url.removeprefix("ws://").removesuffix("/v1/vsi")

    def reload() -> dict:
        write()
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        running.process.send_signal(signal.SIGHUP)
        systemd.wait("RELOADING=1")
        assert int(systemd.wait("MONOTONIC_USEC=").partition("=")[2]) >= began
        line = running.line('"settings')
        systemd.wait("READY=1")
        return line

    def status(token: str) -> int:
        return HttpClient(host, Authorization=f"Bearer {token}")("GET", "/v1/rooms").status

    try:
        systemd.wait("READY=1")
        client = VsiClient(host, f"?token={old}")
        systemd.wait("STATUS=0 legs, 0 rooms, 1 VSI clients")
        systemd.wait("WATCHDOG=1")

        assert status(new) == 401
        settings["access"]["tokens"].append(line_of("new", "read", new))
        settings["webhooks"] = {"url": receiver.url("/"), "secret": "first"}
        settings["log"] = {"level": "debug"}
        assert set(reload()["changed"]) == {"access.tokens", "webhooks.url", "webhooks.secret", "log.level"}
        assert status(new) == 200
        client.ok("create_room", id="a")
        assert signed(receiver.event("room.created", room_id="a"), "first")
        assert running.line('"level":"debug"')

        settings["log"] = {"level": "info"}
        settings["access"]["allowed_ips"] = ["10.0.0.0/8"]
        assert set(reload()["changed"]) == {"access.allowed_ips", "log.level"}
        assert status(old) == 403
        settings["access"]["allowed_ips"] = ["127.0.0.0/8"]
        reload()
        assert status(old) == 200

        settings["log"] = {"level": "loud"}
        assert reload()["event"] == "settings not reloaded, nothing was changed"
        assert systemd.wait("STATUS=").endswith("the settings were not reloaded, see the log")
        settings["log"] = {"level": "info"}
        reload()
        assert systemd.wait("STATUS=") == "STATUS=0 legs, 1 rooms, 1 VSI clients"

        assert client.ok("create_room", id="b")["id"] == "b"
        assert client.close_code is None, "all of this was one connection"
    finally:
        running.stop()
        receiver.stop()
    systemd.wait("STOPPING=1")
    assert running.process.returncode == 0
    assert client.closed.wait(20)
    client.close()


def test_settings_that_are_wrong_are_told_apart_from_what_another_start_may_heal(unit_file):
    wrong = run("serve", LOG_LEVEL="loud")
    assert wrong.returncode == os.EX_CONFIG
    assert f"\nRestartPreventExitStatus={os.EX_CONFIG}\n" in unit_file.read_text()


def test_what_it_keeps_is_its_own_whatever_the_umask(switch, tmp_path):
    receiver = Receiver()
    state = tmp_path / "state"
    environ = {**environ_of(switch, state), "STATE_DIRECTORY": str(state), "WEBHOOK_URL": receiver.url("/")}
    del environ["VSI_ESL_STATE_PATH"], environ["RECORDING_DIR"]
    before = os.umask(0)
    try:
        service = ServiceProcess(environ)
    finally:
        os.umask(before)
    try:
        service.client.ok("create_room", id="r")
        receiver.event("room.created", room_id="r")
        eventually((state / "events.sqlite3-wal").exists, "the events are kept")
        files = {path.name: path for path in state.iterdir() if path.is_file()}
        assert {"state.sqlite3", "state.sqlite3-wal", "webhooks.sqlite3", "events.sqlite3"} < set(files)
        open_to_others = {
            name: oct(path.stat().st_mode)
            for name, path in files.items()
            if stat.S_IMODE(path.stat().st_mode) & 0o077
        }
        assert open_to_others == {}
        shared = [path for path in state.rglob("*") if path.is_dir()]
        assert [path for path in shared if path.stat().st_mode & stat.S_IRWXO] == []
    finally:
        service.end()
        receiver.stop()
