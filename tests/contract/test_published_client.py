"""The published Python client drives the service over VSI, unmodified."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.test_cli import Running


def test_a_call_through_the_published_client():
    running = Running("--no-demo")
    try:
        address = running.url.removeprefix("ws://").partition("/")[0]
        result = subprocess.run(
            [sys.executable, "-m", "tests.contract.published_client", address, running.sandbox_port],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    finally:
        running.stop()
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [
        "leg.ringing",
        "leg.connected",
        "room.created",
        "leg.joined_room",
        "leg.muted",
        "leg.unmuted",
        "leg.deaf",
        "leg.undeaf",
        "leg.hold",
        "leg.unhold",
        "dtmf.received",
        "leg.role_changed",
        "room.routing_changed",
        "leg.ringing",
        "leg.early_media",
        "leg.joined_room",
        "leg.connected",
        "leg.left_room",
        "leg.disconnected",
        "room.deleted",
        "leg.disconnected",
    ]
