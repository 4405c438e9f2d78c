"""A caller and a real Pipecat bot, an echo: PIPECAT_PYTHON names a Python that has pipecat-ai."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import gevent
import pytest

from tests.support.calls import answered
from tests.support.ports import free_port

PYTHON = os.environ.get("PIPECAT_PYTHON", "")
BOT = Path(__file__).parents[1] / "support" / "pipecat_echo.py"
START_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="PIPECAT_PYTHON names no Python that has pipecat-ai"),
]


@pytest.fixture
def bot():
    """Its address."""
    port = free_port()
    # -P: what is beside the program is none of its modules
    process = subprocess.Popen([PYTHON, "-P", str(BOT), str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with gevent.Timeout(START_S):
        assert process.stdout.readline() == "listening\n"
    yield f"ws://127.0.0.1:{port}"
    process.terminate()
    process.stdout.close()
    process.wait(10)


def test_a_caller_hears_itself(switch, client, bot):
    peer, leg = answered(switch, client, codecs=["PCMU"])
    peer.says(500)
    client.ok("leg_agent_pipecat", id=leg, websocket_url=bot)
    assert client.event("agent.connected", leg_id=leg)["conversation_id"] == bot
    peer.hears(500)
    peer.dtmf("5")
    assert client.event("agent.agent_response", leg_id=leg)["text"] == "digit 5"
    for text in ("hello", "stop"):
        client.ok("leg_agent_message", id=leg, message=text)
        assert client.event("agent.agent_response", leg_id=leg)["text"] == f"text {text}"
    peer.hears(500)
    peer.says(0)
    peer.hears(500, False)
    client.ok("leg_agent_stop", id=leg)
    client.event("agent.disconnected", leg_id=leg)
