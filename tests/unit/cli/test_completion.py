"""Completion, by a shell that is there; and what it is told."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time

import gevent
import pytest
from gevent.pywsgi import WSGIServer

from vsi_esl.cli.completion import values

SHELL = """\
vsi-esl() { [ "$_VSI_ESL_COMPLETE" = bash_complete ] && cat "$COMP_POINT.answer"; }
eval "$SCRIPT"
compopt() { echo "compopt $*"; }
while IFS= read -r COMP_LINE; do
  COMP_POINT=${#COMP_LINE}
  _vsi_esl_completion vsi-esl
  printf '%s\\n' "${COMPREPLY[@]}" "."
done
"""
"""Completes line after line; what is asked of us is in files, as a process for each answer takes long."""


@pytest.fixture
def service():
    """What answers to the lists of legs and rooms."""
    lists = {
        "/v1/legs": [{"id": "leg-1", "state": "connected"}, {"id": "leg-2"}],
        "/v1/rooms": [{"id": "lobby"}],
    }

    def answer(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(lists[environ["PATH_INFO"]]).encode()]

    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    yield f"ws://127.0.0.1:{server.server_port}/v1/vsi"
    server.stop()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(service, say, tmp_path):
    lines = {
        "vsi-esl doc": "docs doctor",
        "vsi-esl call answer": "answer_leg",
        "vsi-esl call add_leg_to_room leg_id=1 r": "compopt -o nospace room_id= role=",
        # the part behind `=` is what bash replaces
        "vsi-esl call get_leg id=leg-": "leg-1 leg-2",
        "vsi-esl call add_leg_to_room room_id=": "lobby",
        "vsi-esl call get_leg id=nobody": "",
        "vsi-esl serve --config ": "compopt -o default",
        "vsi-esl webhooks repl": "replay",
    }
    assert len(set(map(len, lines))) == len(lines)
    for line in lines:
        environ = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "VSI_ESL_URL": service}
        answer = say(_VSI_ESL_COMPLETE="bash_complete", **environ).out
        (tmp_path / f"{len(line)}.answer").write_text(answer)
    done = subprocess.run(
        ["bash", "--norc", "-c", SHELL],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "SCRIPT": say("completion", "bash").out},
        check=True,
    )
    assert done.stderr == ""
    answers = [sorted(part.split()) for part in done.stdout.split(".\n")[:-1]]
    assert dict(zip(lines, answers, strict=True)) == {
        line: sorted(one.split()) for line, one in lines.items()
    }


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vsi-esl doc", ["doctor", "docs"]),
        ("vsi-esl call create_leg type=w", ["type=websocket", "type=whatsapp"]),
        ("vsi-esl call create_leg rtt=", ["rtt=true", "rtt=false"]),
        ("vsi-esl call add_leg_to_room leg_id=1 r", ["room_id=", "role="]),
        ("vsi-esl call no_such_command id=", []),
    ],
)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told(words, offered, shell, say):
    given = words.split(" ")
    count = given[-1] if shell == "fish" else str(len(given) - 1)
    environ = {"COMP_WORDS": words, "COMP_CWORD": count, "_VSI_ESL_COMPLETE": f"{shell}_complete"}
    lines = say(**environ).out.strip().splitlines()
    if shell == "zsh":
        found = [key for kind, key in zip(lines[::3], lines[1::3], strict=True) if kind == "plain"]
    else:
        found = [
            line.removeprefix("plain,").partition("\t")[0] for line in lines if line.startswith("plain,")
        ]
    assert found == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_what_to_source(shell, say):
    said = say("completion", shell)
    assert said.code == 0
    assert "_vsi_esl_completion" in said.out


def test_a_service_that_is_slow_or_absent_keeps_nobody_waiting(say):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], 1):
            began = time.monotonic()
            environ = {
                "COMP_WORDS": "vsi-esl call get_leg id=",
                "COMP_CWORD": "3",
                "_VSI_ESL_COMPLETE": "zsh_complete",
            }
            said = say(VSI_ESL_URL=f"ws://127.0.0.1:{port}/v1/vsi", **environ)
            assert (said.out.strip(), said.err) == ("", "")
            assert time.monotonic() - began < 30 * values.PATIENCE_S
    gevent.sleep(0)
