"""The command line, run as a person runs it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import click
import pytest

from tests.support.program import Running, run
from tests.support.vsi import VsiClient
from vsi_esl.cli import COMMANDS, cli
from vsi_esl.delivery.webhooks.outbox import Changes, Outbox
from vsi_esl.delivery.webhooks.targets import Target
from vsi_esl.delivery.webhooks.write_ahead import Arrival
from vsi_esl.documents import fields
from vsi_esl.protocol import registry

DEADLINE_S = 60


@pytest.fixture
def running() -> Iterator[Running]:
    yield from _running()


@pytest.fixture
def running_verbosely() -> Iterator[Running]:
    yield from _running(LOG_LEVEL="debug")


def _running(**environ: str) -> Iterator[Running]:
    service = Running(**environ)
    yield service
    if service.process.poll() is None:
        service.process.kill()
        service.process.communicate()


def test_help_names_every_command():
    text = run("--help").stdout
    for command in ("serve", "sandbox", "doctor", "tail", "top", "call", "bench", "config"):
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


def test_a_service_whose_log_nobody_reads_goes_on(running_verbosely):
    """A pipe holds 64 KiB, and each room is a line of the log, at level debug."""
    running = running_verbosely
    http = HTTPConnection(running.url.split("/")[2], timeout=DEADLINE_S)
    for number in range(600):
        http.request("POST", "/v1/rooms", json.dumps({"id": f"room-{number}"}))
        answer = http.getresponse()
        answer.read()
        assert answer.status in (200, 201)
    http.close()
    rest = running.stop()
    assert len(rest) > 128 * 1024
    assert rest.count('"room.created"') == 600
    assert '"stopped"' in rest


def tail_of(url: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vsi_esl", "tail", "--url", url, "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for_a_client(url: str) -> None:
    """There is nothing to see until it has connected."""
    deadline = time.monotonic() + DEADLINE_S
    while '"vsi_clients":1' not in _readyz(url):
        assert time.monotonic() < deadline


def test_tail_shows_events(running):
    tail = tail_of(running.url, "--type", "room.*")
    try:
        wait_for_a_client(running.url)
        running.call("create_room", "id=seen")
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["room_id"] == "seen"
    finally:
        tail.kill()
        tail.communicate()


def test_tail_waits_for_the_service_and_shows_what_happened_meanwhile():
    first = Running("--no-demo")
    port = int(first.url.split(":")[2].partition("/")[0])
    tail = tail_of(first.url, "--type", "room.created")
    assert tail.stdout is not None and tail.stderr is not None
    second = None
    try:
        wait_for_a_client(first.url)
        first.call("create_room", "id=before")
        assert json.loads(tail.stdout.readline())["room_id"] == "before"
        first.stop()
        assert tail.stderr.readline() == f"vsi-esl: the connection to {first.url} ended; trying again\n"
        os.kill(tail.pid, signal.SIGSTOP)
        second = Running("--no-demo", port=port)
        second.call("create_room", "id=meanwhile")
        os.kill(tail.pid, signal.SIGCONT)
        assert json.loads(tail.stdout.readline())["room_id"] == "meanwhile"
        assert tail.stderr.readline() == f"vsi-esl: connected to {first.url} again\n"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(DEADLINE_S) == 0
    finally:
        tail.kill()
        tail.communicate()
        for one in (first, second):
            if one is not None and one.process.poll() is None:
                one.stop()


def _readyz(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(
        url.replace("ws://", "http://").replace("/v1/vsi", "/readyz"), timeout=20
    ) as answer:
        return answer.read().decode()


def test_errors_are_one_line(running):
    failed = running.call("get_leg", "id=nobody")
    assert (failed.returncode, failed.stderr.strip()) == (1, "vsi-esl: 404 leg not found")
    failed = running.call("get_leg", "name=x")
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (
        2,
        "vsi-esl: get_leg has no 'name'; it has id",
    )
    busy = run("serve", HTTP_ADDR=running.url[5:].partition("/")[0], VSI_ESL_STATE_PATH=":memory:")
    assert busy.returncode == 1
    assert "Address already in use" in busy.stderr
    assert "Traceback" not in busy.stderr + busy.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call", "list_legs", "--url", "ws://127.0.0.1:1/v1/vsi"), "cannot reach ws://127.0.0.1:1/v1/vsi"),
        (("tail", "--url", "ws://127.0.0.1:1/v1/vsi"), "cannot reach ws://127.0.0.1:1/v1/vsi"),
        (("sandbox", "call", "--port", "1"), "no sandbox at 127.0.0.1:1: "),
        (("serve", "--config", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
        (("config", "check", "--config", "/nowhere.yaml"), "/nowhere.yaml: No such file or directory"),
    ],
)
def test_failures_are_told_without_a_traceback(arguments, told, say):
    result = say(*arguments)
    assert result.code == (os.EX_CONFIG if arguments[0] == "serve" else 1)
    assert result.err.startswith("vsi-esl: ")
    assert told in result.err
    assert len(result.err.strip().splitlines()) == 1


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
    result = run("doctor", "--json", "--live", "--providers", **environ)
    checks = {check["name"]: check["status"] for check in json.loads(result.stdout)}
    assert checks["live audio"] == checks["legs are heard by"] == "ok", result.stdout
    assert checks["providers"] == "warning", "there is none"
    assert checks["recording"] == checks["playback"] == "ok", result.stdout
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
        assert running.process.wait(60) == 0
    finally:
        running.stop()


def test_settings_that_are_not_the_default(say):
    changed = say("config", "show", "--changed", COLUMNS="40", VSI_ESL_SWITCH_PORT="8022").out
    assert changed.splitlines() == [
        "key          value  from         variable",
        "switch.port  8022   environment  VSI_ESL_SWITCH_PORT",
    ]
    rows = {row["key"]: row for row in json.loads(say("config", "show", "--json").out)}
    assert rows["webhooks.secret"]["value"] == "not set"
    assert rows["switch.port"]["default"] == "8021"


def test_config_changes_says_what_takes_a_restart(say, tmp_path):
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    before.write_text("log: {level: info}\nhttp: {addr: '127.0.0.1:8080'}\nwebhooks: {secret: geheim}\n")
    after.write_text("log: {level: debug}\nhttp: {addr: '127.0.0.1:8081'}\nwebhooks: {secret: anders}\n")
    said = say("config", "changes", str(before), "--config", str(after), "--json")
    rows = {row["key"]: (row["value"], row["applied_by"]) for row in json.loads(said.out)}
    assert rows == {
        "log.level": ("debug", "reload"),
        "http.addr": ("127.0.0.1:8081", "restart"),
        "webhooks.secret": ("******", "reload"),
    }
    lines = say("config", "changes", str(before), "--config", str(after)).out.splitlines()
    assert ["log.level", "debug", "reload"] in [line.split() for line in lines]
    assert json.loads(say("config", "changes", str(after), "--config", str(after), "--json").out) == []


def test_config_changes_fails_when_one_of_the_files_is_wrong(say, tmp_path):
    before = tmp_path / "before.yaml"
    before.write_text("no_such: 1\n")
    said = say("config", "changes", str(before))
    assert (said.code, "no_such" in said.err) == (1, True)


def test_nothing_is_cut_in_a_narrow_pipe(say, tmp_path):
    long = str(
        tmp_path / "a-directory-with-a-name" / "that-is-longer-than-a-line-of-eighty-columns-would-take"
    )
    environ = {"RECORDING_DIR": long, "COLUMNS": "40", "VSI_ESL_SWITCH_PORT": "1"}
    shown = say("config", "show", **environ).out.splitlines()
    assert [line.split() for line in shown if line.startswith("recording.dir ")] == [
        ["recording.dir", long, "environment", "RECORDING_DIR"]
    ]
    assert len({line.index("VSI_ESL_SWITCH_PORT") for line in shown if "VSI_ESL_SWITCH_PORT" in line}) == 1
    found = say("doctor", **environ).out
    assert long in found
    assert "\u2026" not in found + "".join(shown)
    assert "\x1b" not in found


HEAVY = (
    "gevent",
    "flask",
    "numpy",
    "boto3",
    "rich",
    "structlog",
    "yaml",
    "vsi_esl.config",
    "vsi_esl.protocol.registry",
)


def test_help_imports_nothing_that_it_does_not_need():
    code = (
        "import sys; sys.argv = ['vsi-esl', '--help']\n"
        "from vsi_esl.cli import main\n"
        "main()\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command", ["tail", "top", "call list_legs", "switches list", "bench call", "support"]
)
@pytest.mark.parametrize("url", ["ws://[::1", "http://127.0.0.1:8080", "ws://:8080", "ws://a:port/", "pbx"])
def test_an_address_that_is_none_is_told(command, url, say):
    said = say(*command.split(), "--url", url)
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith(f"vsi-esl: Invalid value for '--url': '{url}' is no address")


def test_the_exit_code_of_a_command_is_ours(say, monkeypatch):
    @click.command()
    @click.pass_context
    def ends(ctx: click.Context) -> None:
        ctx.exit(3)

    monkeypatch.setattr(type(cli), "get_command", lambda *arguments: ends)
    assert say("docs").code == 3


@pytest.mark.parametrize("group", [(), ("webhooks",), ("bench",)])
def test_without_arguments_there_is_help_once(group, say):
    said = say(*group)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Usage: {' '.join(('vsi-esl', *group))} [OPTIONS]")
    assert said.err.count("Usage:") == 1
    assert group or "vsi-esl serve --sandbox" in said.err


def every_command(command: click.Command, name: str = "vsi-esl") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for inner in command.list_commands(ctx):
            found = command.get_command(ctx, inner)
            assert found is not None
            yield from every_command(found, f"{name} {inner}")


def test_every_command_and_option_says_what_it_is_for():
    for name, command in every_command(cli):
        assert command.help, name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{name} {option.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1].removesuffix("."))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("doctr",), "'doctr' is no command; did you mean doctor"),
        (("call", "answr_leg"), "'answr_leg' is no command; did you mean answer_leg?"),
        (("call", "stop"), "'stop' is no command"),
        (("call", "get_leg"), "get_leg needs id=..."),
        (("call", "add_leg_to_room", "room_id=r"), "add_leg_to_room needs leg_id=..."),
        (("call", "add_leg_to_room", "legid=r"), "did you mean leg_id"),
        (("call", "list_legs", "id=1"), "list_legs has no 'id'; it has none"),
        (("call",), "name a command: list_legs, "),
    ],
)
def test_a_wrong_word_is_told_before_anything_is_sent(arguments, told, say):
    result = say(*arguments, VSI_ESL_URL="ws://127.0.0.1:1/v1/vsi")
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("vsi-esl: ")
    assert told in result.err


def test_call_says_what_a_command_takes(say):
    text = say("call", "leg_play_volume", "--help").out
    assert text.startswith("Usage: vsi-esl call leg_play_volume id=... playback_id=... ")
    for name, schema in fields.payload(registry.load_commands()["leg_play_volume"].schema)[
        "properties"
    ].items():
        assert f"  {name} ({schema['type']}" in text
    assert "501" in say("call", "get_sip_trunk", "-h").out
    assert "--pick" in say("call", "--help").out


def test_files_of_a_freeswitch_are_never_changed(say, tmp_path):
    conf = tmp_path / "conf"
    (conf / "autoload_configs").mkdir(parents=True)
    (conf / "freeswitch.xml").write_text("<document/>\n")
    (conf / "vars.xml").write_text("<include>\n  <!-- vars_vsi.xml -->\n</include>\n")
    (conf / "vars.xml").chmod(0o640)
    modules = conf / "autoload_configs" / "modules.conf.xml"
    modules.write_text('<load module="mod_sofia"/>\n<!-- <load module="mod_opus"/> -->\n')
    diff = say("freeswitch-conf", str(conf), "--diff")
    assert diff.code == 1
    assert '+  <X-PRE-PROCESS cmd="include" data="vars_vsi.xml"/>' in diff.out
    assert sorted(path.name for path in conf.iterdir()) == ["autoload_configs", "freeswitch.xml", "vars.xml"]
    said = say("freeswitch-conf", str(conf)).out
    assert "vars.xml: before its last </include>" in said
    assert "load mod_event_socket, mod_commands" in said
    assert "mod_opus" in said and "mod_sofia" not in said
    assert (conf / "vars_vsi.xml").stat().st_mode & 0o777 == 0o640
    assert (conf / "vars.xml").read_text() == "<include>\n  <!-- vars_vsi.xml -->\n</include>\n"
    (conf / "vars_vsi.xml").write_text("<include/>\n")
    assert "kept      vars_vsi.xml" in say("freeswitch-conf", str(conf)).out
    assert (conf / "vars_vsi.xml").read_text() == "<include/>\n"


def test_the_list_of_webhooks_is_whole_lines(say, tmp_path):
    path, receiver = str(tmp_path / "webhooks.sqlite3"), "https://a.example:443/" + "a" * 80
    outbox = Outbox(path)
    target = Target(receiver, "leg", receiver, "secret")
    given = [Arrival(number, target, f"id{number}", "leg.muted", 0.0, b"{}") for number in (1, 2)]
    outbox.write(Changes(added=given, dead=[]))
    outbox.write(Changes(dead=[(1, "status 500\nand more")]))
    lines = say("webhooks", "list", VSI_ESL_WEBHOOK_PATH=path, COLUMNS="40").out.splitlines()
    outbox.close()
    heads = [number for number, line in enumerate(lines) if line.startswith("id ")]
    assert len(heads) == 2
    dead, waiting = (lines[number + 1].split(maxsplit=6) for number in heads)
    assert dead == ["1", "1970-01-01T00:00:00Z", "leg.muted", "leg", receiver, "1", "status 500 and more"]
    assert waiting[0] == "2"
    assert waiting[4:] == [receiver, "0", "-"]
