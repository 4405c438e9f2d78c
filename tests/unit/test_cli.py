"""The command line, run as a person runs it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.vsi import VsiClient

DEADLINE_S = 20


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsi_esl", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "COLUMNS": "200", **environ},
        check=False,
    )


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Running:
    """`vsi-esl serve --sandbox` on a free port."""

    def __init__(self, *options: str, stdin: int = subprocess.DEVNULL, **environ: str) -> None:
        port = free_port()
        self.url = f"ws://127.0.0.1:{port}/v1/vsi"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vsi_esl", "serve", "--sandbox", *options],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "HTTP_ADDR": f"127.0.0.1:{port}",
                "VSI_ESL_LOG_FORMAT": "json",
                **environ,
            },
        )
        self.lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if '"switch ready"' in line:
                break
        self.text = "".join(self.lines)
        self.sandbox_port = self.text.partition("sandbox call --port ")[2].split()[0]

    def line(self, part: str) -> dict[str, Any]:
        """The next line of its log with this in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if part in line:
                return json.loads(line)
        raise AssertionError(f"the service ended without {part}")

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("call", "--url", self.url, *arguments)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=12)
        return rest


@pytest.fixture
def running() -> Iterator[Running]:
    service = Running()
    yield service
    if service.process.poll() is None:
        service.process.kill()
        service.process.communicate()


def test_help_names_every_command():
    text = run("--help").stdout
    for command in ("serve", "sandbox", "doctor", "tail", "call", "config"):
        assert command in text


def test_a_newcomer_answers_the_demo_caller(running):
    assert f"VSI address   {running.url}" in running.text
    leg = running.call("list_legs", "--pick", "0.id").stdout.strip()
    answered = running.call("answer_leg", f"id={leg}")
    assert json.loads(answered.stdout) == {"status": "answering"}
    second = run("sandbox", "call", "--port", running.sandbox_port, "-H", "X-App-ID=shop").stdout.strip()
    assert json.loads(running.call("get_leg", f"id={second}").stdout)["app_id"] == "shop"
    room = running.call("add_leg_to_room", f"leg_id={second}", "room_id=1", "mute=true")
    assert json.loads(room.stdout)["status"] == "adding"
    seen = run("sandbox", "do", "--port", running.sandbox_port, "far", f"uuid={second}")
    assert "200" in json.loads(seen.stdout)["seen"]
    rest = running.stop()
    assert running.process.returncode == 0
    assert '"stopped"' in rest
    assert "Traceback" not in running.text + rest


def test_tail_shows_events(running):
    tail = subprocess.Popen(
        [sys.executable, "-m", "vsi_esl", "tail", "--url", running.url, "--type", "room.*", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        # there is nothing to see until it has connected
        deadline = time.monotonic() + DEADLINE_S
        while '"vsi_clients":1' not in _readyz(running.url):
            assert time.monotonic() < deadline
        running.call("create_room", "id=seen")
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["room_id"] == "seen"
        running.stop()
        _, error = tail.communicate(timeout=DEADLINE_S)
        assert tail.returncode == 1
        assert error.strip() == "Error: the service closed the connection"
    finally:
        tail.kill()
        tail.communicate()


def _readyz(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(
        url.replace("ws://", "http://").replace("/v1/vsi", "/readyz"), timeout=5
    ) as answer:
        return answer.read().decode()


def test_errors_are_one_line(running):
    failed = running.call("get_leg", "id=nobody")
    assert (failed.returncode, failed.stderr.strip()) == (1, "Error: 404 leg not found")
    failed = running.call("get_leg", "name=x")
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (
        2,
        "Error: get_leg has no 'name'; it has id",
    )
    busy = run("serve", HTTP_ADDR=running.url[5:].partition("/")[0], VSI_ESL_STATE_PATH=":memory:")
    assert busy.returncode == 1
    assert "Address already in use" in busy.stderr
    assert "Traceback" not in busy.stderr + busy.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call", "list_legs", "--url", "ws://127.0.0.1:1/v1/vsi"), "cannot reach ws://127.0.0.1:1/v1/vsi"),
        (("sandbox", "call", "--port", "1"), "Connection refused"),
        (("serve", "--config", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
        (("config", "check", "--config", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
    ],
)
def test_failures_are_told_without_a_traceback(arguments, told):
    result = run(*arguments)
    assert result.returncode == 1
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_config_commands():
    assert run("config", "check").stdout.strip() == "the settings are fine"
    shown = run("config", "show", VSI_ESL_SWITCH_PASSWORD="geheim")
    assert "VSI_ESL_SWITCH_PASSWORD" in shown.stdout
    assert "geheim" not in shown.stdout
    assert "switch:" in run("config", "example").stdout
    wrong = run("config", "check", LOG_LEVEL="loud")
    assert (wrong.returncode, wrong.stderr.strip()) == (
        1,
        "vsi-esl: LOG_LEVEL: 'loud': must be one of debug, info, warn, error",
    )


def test_doctor_without_a_switch():
    result = run("doctor", "--json", VSI_ESL_SWITCH_PORT="1")
    assert result.returncode == 1
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert checks["event socket"]["status"] == "failed"
    assert checks["event socket"]["hint"]


def test_doctor_on_the_sandbox(running):
    environ = {"VSI_ESL_SWITCH_PORT": running.sandbox_port, "VSI_ESL_STATE_PATH": ":memory:"}
    result = run("doctor", "--json", **environ)
    checks = {check["name"]: check["status"] for check in json.loads(result.stdout)}
    assert result.returncode == 0, result.stdout
    assert checks["event socket"] == checks["version"] == checks["SIP profile"] == "ok"
    assert checks["password"] == "warning"
    wrong = run("doctor", VSI_ESL_SWITCH_PASSWORD="wrong", **environ)
    assert wrong.returncode == 1
    assert "password" in wrong.stdout


def test_a_hangup_signal_has_the_settings_read_again(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("rooms:\n  default_sample_rate: 16000\n")
    running = Running("--config", str(path), "--no-demo")
    try:
        client = VsiClient(running.url.removeprefix("ws://").removesuffix("/v1/vsi"))
        path.write_text("rooms:\n  default_sample_rate: 48000\nstate:\n  path: /elsewhere/state.sqlite3\n")
        running.process.send_signal(signal.SIGHUP)
        line = running.line('"settings')
        assert line["changed"] == ["rooms.default_sample_rate"]
        assert line["need_a_restart"] == ["state.path"]
        path.write_text("rooms:\n  default_sample_rate: many\n")
        running.process.send_signal(signal.SIGHUP)
        line = running.line('"settings')
        assert line["event"] == "settings not reloaded, nothing was changed"
        assert "default_sample_rate" in line["problems"][0]
        assert client.ok("create_room", id="r")["sample_rate"] == 48000
        client.close()
    finally:
        running.stop()


def test_a_terminal_that_goes_away_is_a_shutdown():
    ours, theirs = os.openpty()
    running = Running("--no-demo", stdin=theirs)
    try:
        os.close(theirs)
        client = VsiClient(running.url.removeprefix("ws://").removesuffix("/v1/vsi"))
        os.close(ours)
        deadline = time.monotonic() + DEADLINE_S
        while not client.closed.wait(0.2):  # the system may take a moment to hang up
            running.process.send_signal(signal.SIGHUP)
            assert time.monotonic() < deadline
        assert client.close_code == 1001
        client.close()
        assert running.process.wait(12) == 0
    finally:
        running.stop()
