"""The published Python client drives the service over both faces, unmodified."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.agentserver import AgentServer
from tests.support.program import Running
from tests.support.sttserver import SttServer
from tests.support.ttsserver import TtsServer
from vsi_esl.documents import asyncapi
from vsi_esl.protocol import registry

OURS = {"stt.error"}
"""Events that the client has no type for."""


@pytest.mark.parametrize("side", ["async", "sync"])
@pytest.mark.parametrize("face", ["published_client", "published_rest"])
def test_every_command_and_event_through_the_published_client(face, side, tmp_path):
    agents, recognition, voices = AgentServer(), SttServer(), TtsServer()
    recognition.last_text = "goodbye"
    running = Running(
        "--no-demo",
        RECORDING_DIR=str(tmp_path / "rec"),
        VSI_ESL_DEEPGRAM_URL=recognition.url,
        VSI_ESL_OPENAI_TTS_URL=f"{voices.http}/v1",
        VSI_ESL_STREAMS_ALLOW_PRIVATE_URLS="true",
        **agents.environment,
    )
    try:
        address = running.url.removeprefix("ws://").partition("/")[0]
        result = subprocess.run(
            [sys.executable, "-m", f"tests.contract.{face}", address, running.sandbox_port, side],
            capture_output=True,
            text=True,
            timeout=100,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "VSI_ESL_TEST_AGENTS": agents.http},
            check=False,
        )
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            metrics = answer.read().decode()
    finally:
        running.stop()
        agents.stop()
        recognition.stop()
        voices.stop()
    assert result.returncode == 0, result.stderr
    done = set(re.findall(r'vsi_esl_commands_total{command="(\w+)",outcome="ok"}', metrics))
    assert done == set(registry.load_commands())
    assert json.loads(result.stdout) == [
        kind.type for kind in asyncapi.event_types() if kind.type not in OURS
    ]
