"""The published Python client drives the service over both faces, unmodified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.unit.test_cli import Running
from vsi_esl import registry

EVENTS = """
dtmf.received leg.connected leg.deaf leg.disconnected leg.early_media leg.hold leg.joined_room leg.left_room
leg.muted leg.ringing leg.role_changed leg.undeaf leg.unhold leg.unmuted playback.finished playback.started
recording.finished recording.paused recording.resumed recording.started room.bridge_updated room.bridged
room.created room.deleted room.routing_changed room.unbridged rtt.received
""".split()


@pytest.mark.parametrize("face", ["published_client", "published_rest"])
def test_every_command_through_the_published_client(face, tmp_path):
    running = Running("--no-demo", RECORDING_DIR=str(tmp_path / "rec"))
    try:
        address = running.url.removeprefix("ws://").partition("/")[0]
        result = subprocess.run(
            [sys.executable, "-m", f"tests.contract.{face}", address, running.sandbox_port],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
            check=False,
        )
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
    finally:
        running.stop()
    assert result.returncode == 0, result.stderr
    done = set(re.findall(r'vsi_esl_commands_total{command="(\w+)",outcome="ok"}', metrics))
    assert done == set(registry.load_commands())
    assert json.loads(result.stdout) == EVENTS
