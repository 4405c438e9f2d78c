"""schemathesis asks for what /openapi.json offers, and for what it does not.

No answer that is not documented, and no server error but 501: a command or a kind of leg not implemented.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import gevent
import pytest

from tests.support.program import Running
from tests.support.vsi import VsiClient

CHECKS = ",".join(
    """
    not_a_server_error status_code_conformance content_type_conformance response_schema_conformance
    response_headers_conformance unsupported_method allow_header_conformance
    """.split()
)
EXAMPLES = "12"
LIMIT_S = 540
pytestmark = pytest.mark.timeout(LIMIT_S + 60)  # thousands of requests, on whatever machine
NOBODY = "http://127.0.0.1:1"
PROVIDERS = {
    **dict.fromkeys(("ELEVENLABS_API_KEY", "VAPI_API_KEY", "DEEPGRAM_API_KEY"), "none"),
    **dict.fromkeys(("VSI_ESL_ELEVENLABS_URL", "VSI_ESL_VAPI_URL", "VSI_ESL_DEEPGRAM_AGENT_URL"), NOBODY),
    **dict.fromkeys(("VSI_ESL_DEEPGRAM_URL", "VSI_ESL_AZURE_STT_URL", "VSI_ESL_AZURE_TTS_URL"), NOBODY),
    **dict.fromkeys(("VSI_ESL_OPENAI_URL", "VSI_ESL_AWS_TTS_URL", "VSI_ESL_GOOGLE_TTS_URL"), NOBODY),
    **dict.fromkeys(("AZURE_SPEECH_KEY", "OPENAI_API_KEY"), "none"),
}
"""Without a key 503 is the right answer."""
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]
"""
LIVE = """
[[operations]]
include-path-regex = "^/v1/legs/"
parameters = { "path.id" = "LEG", "path.leg_id" = "LEG", "path.playback_id" = "PLAYBACK" }

[[operations]]
include-path-regex = "^/v1/rooms/"
parameters = { "path.id" = "r", "path.room_id" = "r", "path.leg_id" = "LEG", "path.bridge_id" = "b" }
"""


def run(address: str, directory: Path, settings: str, *options: str) -> None:
    """One run; fails with what schemathesis has to say."""
    (directory / "schemathesis.toml").write_text(settings)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{address}/openapi.json"]
    bounds = ["--checks", CHECKS, "-n", EXAMPLES, "--seed", "1", "--request-timeout", "20", "--no-color"]
    result = subprocess.run(
        [*command, *bounds, "--phases", "coverage,fuzzing", *options],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=directory,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


@pytest.fixture
def service(tmp_path):
    running = Running("--no-demo", RECORDING_DIR=str(tmp_path / "rec"), **PROVIDERS)
    # it prints more than a pipe holds, and would stand still
    reading = gevent.spawn(deque, running.process.stdout, 0)
    yield running
    running.process.terminate()
    assert running.process.wait(60) == 0
    reading.join(20)
    running.process.stdout.close()


def test_ids_that_nothing_has(service, tmp_path):
    run(service.url.removeprefix("ws://").partition("/")[0], tmp_path, SETTINGS)


def test_a_leg_and_a_room_that_there_are(service, tmp_path):
    address = service.url.removeprefix("ws://").partition("/")[0]
    client = VsiClient(address)
    client.ok("create_room", id="r")
    client.ok("create_room", id="other")
    client.ok("bridge_create", room_id="r", bridge_id="b", peer_room_id="other")
    leg = client.ok("create_leg", type="sip", to="sip:instant@127.0.0.1", room_id="r")["id"]
    client.event("leg.joined_room", leg_id=leg)
    playing = client.ok("room_play_start", id="r", tone="dial")
    client.close()
    live = LIVE.replace("LEG", leg).replace("PLAYBACK", playing["playback_id"])
    run(
        address,
        tmp_path,
        SETTINGS + live,
        "--exclude-method",
        "DELETE",
        "--include-path-regex",
        "^/v1/(legs|rooms)/",
    )
    assert service.call("get_leg", f"id={leg}").returncode == 0, "it lives through all this"
