"""The unit under a real systemd: process 1 of a container that has this machine's /usr and little else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.ending import ending_with_us, ends_whole
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.cli.systemd_unit import RELOAD_FROM, installed, unit

ROOT = Path(__file__).parents[2]
NSPAWN = shutil.which("systemd-nspawn")
TIMEOUT_S = 150
WITH_ITS_MACHINE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""An nspawn that is killed leaves its machine running, unless that is in a namespace that ends with it."""
PASSWORD = "of the event socket"
FIRST, SECOND = new_token(), new_token()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(TIMEOUT_S + 30),
    pytest.mark.skipif(
        NSPAWN is None or os.geteuid() != 0 or not Path("/usr/lib/systemd/systemd").exists(),
        reason="needs root, systemd and systemd-nspawn (apt-get install systemd-container)",
    ),
]

PROGRAM = """#!/bin/sh
export PYTHONPATH=/opt/checkout:/opt/packages LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/python3 -m vsi_esl "$@"
"""
SWITCH = f"""
[Service]
ExecStart=/opt/vsi-esl sandbox --demo --password "{PASSWORD}"
"""
CHECKS = """
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /opt/checks
ExecStopPost=/bin/systemctl --force --force poweroff
StandardOutput=append:/said
StandardError=append:/said
"""
SETTINGS = """
switch: {password_file: "credential:vsi_password"}
access:
  tokens:
    - FIRST
"""
SCRIPT = r"""
say() { echo "== $*"; }
of() { systemctl show vsi_esl --value -p "$1"; }
until_is() {
  for _ in $(seq 200); do [ "$(of "$1")" = "$2" ] && return; sleep 0.1; done
  say "$1 is $(of "$1")"
}
status() { /opt/vsi-esl call list_legs --token "$1" >/dev/null 2>&1 && echo let in || echo refused; }
say booted
systemctl start switch
systemctl start vsi_esl; say "start $?, $(of ActiveState), $(of Type), $(of StatusText)"
stat -c '== %U %a %n' /etc/vsi_esl/credentials /var/lib/vsi_esl /var/lib/vsi_esl/state.sqlite3
/opt/vsi-esl tail --token TOKEN_1 >/tail 2>&1 &
until_is StatusText "1 legs, 0 rooms, 1 VSI clients"
before=$(of MainPID)
say "second: $(status TOKEN_2)"
echo "    - SECOND" >> /etc/vsi_esl/config.yaml
systemctl reload vsi_esl; say "reload $?"
for _ in $(seq 100); do [ "$(status TOKEN_2)" = "let in" ] && break; sleep 0.1; done
say "second: $(status TOKEN_2)"
say "the same process: $([ "$before" = "$(of MainPID)" ] && echo yes), tail has lost: $(grep -c ended /tail)"
kill -STOP "$before"
until_is NRestarts 1
until_is ActiveState active
say "after it stood still: $(of NRestarts), $(of ActiveState), $(of StatusText | cut -d, -f1)"
systemctl stop vsi_esl; say "stop $?, $(of Result), $(of ActiveState)"
journalctl -q -u vsi_esl -o cat --no-pager | grep -v '^{' | sed 's/^/journal: /'
journalctl -q -u vsi_esl -o cat --no-pager | grep -o '"event":"stopped"'
say over
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its root, with nothing in it but what the service needs."""
    root = tmp_path_factory.mktemp("machine")
    root.chmod(0o755)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for name in (
        "usr",
        "etc/systemd/system/vsi_esl.service.d",
        "etc/vsi_esl/credentials",
        "opt",
        "var/lib",
        "tmp",
        "root",
    ):
        (root / name).mkdir(parents=True)
    for name in ("python", "checkout", "packages"):
        (root / "opt" / name).mkdir()
    users = "root:x:0:0::/root:/bin/bash\nvsi_esl:x:990:990::/var/lib/vsi_esl:/usr/sbin/nologin\n"
    files = {
        "etc/passwd": users
        + "messagebus:x:989:989::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/bin/false\n",
        "etc/group": "root:x:0:\nvsi_esl:x:990:\nmessagebus:x:989:\nnogroup:x:65534:\n",
        "etc/machine-id": "",
        "etc/os-release": "ID=machine\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/vsi_esl/config.yaml": SETTINGS.replace("FIRST", line_of("first", "control", FIRST)),
        "etc/vsi_esl/credentials/password": PASSWORD,
        "etc/systemd/system/switch.service": SWITCH,
        "etc/systemd/system/checks.service": CHECKS,
        "etc/systemd/system/vsi_esl.service": unit(
            "/opt/vsi-esl", "/etc/vsi_esl/config.yaml", "vsi_esl", installed()
        ),
        # with version 1 of cgroups systemd waits for as long as this after a service has been killed
        "etc/systemd/system/vsi_esl.service.d/test.conf": "[Service]\nWatchdogSec=3\nTimeoutStopSec=4\n",
        "opt/vsi-esl": PROGRAM,
        "opt/checks": SCRIPT.replace("TOKEN_1", FIRST)
        .replace("TOKEN_2", SECOND)
        .replace("SECOND", line_of("second", "control", SECOND)),
    }
    for name, text in files.items():
        (root / name).write_text(text)
    (root / "opt/vsi-esl").chmod(0o755)
    (root / "etc/vsi_esl/credentials").chmod(0o700)
    (root / "etc/vsi_esl/credentials/password").chmod(0o600)
    os.chown(root / "etc/vsi_esl/config.yaml", 0, 990)
    (root / "etc/vsi_esl/config.yaml").chmod(0o640)
    return root


@pytest.fixture(scope="module")
def said(machine: Path) -> str:
    """What the checks said, from the first boot to the end."""
    packages = sysconfig.get_paths()["purelib"]
    binds = {
        "/usr": "/usr",
        sys.base_prefix: "/opt/python",
        str(ROOT): "/opt/checkout",
        packages: "/opt/packages",
    }
    command = [*ending_with_us(), *WITH_ITS_MACHINE]
    command += [
        str(NSPAWN),
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--boot",
    ]
    command += [f"--bind-ro={source}:{target}" for source, target in binds.items()]
    command += [f"--directory={machine}", "systemd.unit=checks.service", "systemd.log_level=warning"]
    running = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    console, found, deadline = "", "", time.monotonic() + TIMEOUT_S
    while running.poll() is None and "== over" not in found and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            console, _ = running.communicate(timeout=0.2)
        found = (machine / "said").read_text() if (machine / "said").exists() else ""
    if running.poll() is None:
        # not each kernel lets a machine power itself off
        running.send_signal(signal.SIGKILL)
        console, _ = running.communicate()
        console += "\nit was ended"
    if "== booted" not in found:
        pytest.skip(f"no systemd can be booted here: {console[-500:]}")
    return found


def test_the_life_of_the_service(said):
    """Started, reloaded, stood still, and stopped."""
    lines = [line.removeprefix("== ") for line in said.splitlines() if line.startswith("== ")]
    kind = "notify-reload" if installed() >= RELOAD_FROM else "notify"
    assert lines == [
        "booted",
        f"start 0, active, {kind}, 1 legs, 0 rooms, 0 VSI clients",
        "root 700 /etc/vsi_esl/credentials",
        "vsi_esl 711 /var/lib/vsi_esl",
        "vsi_esl 600 /var/lib/vsi_esl/state.sqlite3",
        "second: refused",
        "reload 0",
        "second: let in",
        "the same process: yes, tail has lost: 0",
        "after it stood still: 1, active, 1 legs",
        "stop 0, success, inactive",
        "over",
    ], said
    assert '"event":"stopped"' in said


def test_the_journal_tells_the_operator_of_nothing_but_the_watchdog(said):
    """No warning at each start."""
    told = re.findall(r"^journal: vsi_esl\.service: (.+)$", said, re.MULTILINE)
    assert [line for line in told if "directory" in line.lower() or "credential" in line.lower()] == []
    assert any("Watchdog timeout" in line for line in told), said


def test_a_machine_is_not_left_behind():
    """Whatever ends the program that runs it, all that runs in it ends."""
    ours, theirs = os.pipe()
    command = [*WITH_ITS_MACHINE, "sh", "-c", "setsid sh -c 'echo there; exec sleep 60' & wait"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs) as running:
        ends_whole(running, ours, theirs)
