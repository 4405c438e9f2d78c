"""A short run with a fixed seed, and what is left of one that is killed. Longer ones: docs/chaos.md."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.chaos.__main__ import unable
from tests.support.waiting import eventually

SEED = 5
SECONDS = 15
LIMIT_S = 240
COMMAND = (sys.executable, "-m", "tests.chaos", "--seed", str(SEED))


@pytest.fixture(autouse=True, scope="module")
def _able() -> None:
    if reason := unable():
        pytest.skip(reason)


def test_everything_is_told_that_happens_whatever_happens(tmp_path):
    command = [*COMMAND, "--seconds", str(SECONDS), "--calls", "8", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_with_two_services_and_companions(tmp_path):
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine (Debian: apt install redis-server)")
    more = ["--switches", "2", "--services", "2", "--companions"]
    command = [*COMMAND, *more, "--seconds", str(SECONDS), "--calls", "8", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left_of_a_run_that_is_killed(tmp_path):
    def machine() -> tuple[str, set[str]]:
        return Path("/proc/self/mounts").read_text(), set(os.listdir("/sys/class/net"))

    before = machine()
    with subprocess.Popen([*COMMAND, "--keep", str(tmp_path)], stdout=subprocess.DEVNULL) as run:
        try:
            notes = tmp_path / "notes.jsonl"
            eventually(lambda: notes.exists() and '"up"' in notes.read_text(), "the switch is up", 60)
            mine = psutil.Process(run.pid).children(recursive=True)
            assert len(mine) > 3
        finally:
            run.send_signal(signal.SIGKILL)
    eventually(lambda: not any(one.is_running() for one in mine), "its programs are gone")
    eventually(lambda: machine() == before, "the kernel has let go of what they had")
    assert not (Path("/run/netns").exists() and {"service0", "clients"} & set(os.listdir("/run/netns")))
