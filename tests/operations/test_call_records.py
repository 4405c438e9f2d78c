"""Call detail records as an operator has them: a service that is killed, and logrotate."""

from __future__ import annotations

import getpass
import grp
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.process import environ_of

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "logrotate" / "vsi_esl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / "log" / "cdr.jsonl"


@pytest.fixture
def started(switch, start_process, tmp_path, path):
    """Start a service as a process, with its records in a file."""
    environ = environ_of(switch, tmp_path) | {"VSI_ESL_CDR_PATH": str(path)}
    return lambda: start_process(environ)


def records(path: Path) -> list[str]:
    """The legs that have a record, in all the files."""
    found = []
    for file in sorted(path.parent.iterdir()):
        found += [json.loads(line)["leg_id"] for line in file.read_text().splitlines()]
    return found


def call(switch, client) -> str:
    """A call that is over; its leg."""
    peer, leg = answered(switch, client)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    return leg


def test_a_service_that_is_killed_twice_has_each_record_once(switch, started, path):
    legs: list[str] = []
    for _ in range(2):
        process = started()
        up, one = answered(switch, process.client)
        legs += [call(switch, process.client) for _ in range(3)]
        process.end(signal.SIGKILL)  # some records are on their way to the file
        up.hang_up()  # nobody is there to see it
        legs.append(one)
    last = started()
    legs.append(call(switch, last.client))
    eventually(lambda: len(records(path)) >= len(legs), "all are written")
    last.end(signal.SIGTERM)
    assert sorted(records(path)) == sorted(legs)


def test_logrotate_loses_nothing(switch, started, path, tmp_path):
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no logrotate here: apt-get install logrotate")
    process = started()
    text = CONFIGURATION.read_text()
    for of_the_file, here in (
        ("/var/log/vsi_esl/", f"{path.parent}/"),
        ("vsi_esl vsi_esl", f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"),
        ("systemctl reload vsi_esl.service", f"kill -HUP {process._process.pid}"),
        ("    dateext\n", ""),  # as often as a test likes in a day
    ):
        assert of_the_file in text
        text = text.replace(of_the_file, here)
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text)
    legs = []
    for _ in range(3):
        legs.append(call(switch, process.client))
        eventually(lambda: path.exists() and path.stat().st_size > 0, "the record is there")
        command = [program, "--force", "--state", str(tmp_path / "rotated"), str(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert path.stat().st_mode & 0o777 == 0o640
    legs.append(call(switch, process.client))
    eventually(lambda: path.stat().st_size > 0, "the last record is there")
    for packed in path.parent.glob("*.gz"):
        subprocess.run(["gunzip", str(packed)], check=True)
    assert sorted(records(path)) == sorted(legs)
    assert len(list(path.parent.iterdir())) == 4
