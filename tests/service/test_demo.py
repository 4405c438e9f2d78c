"""What `make run` shows."""

from __future__ import annotations

import shutil

import pytest

from tests.support.drivers import eventually
from tests.support.program import Running
from tests.support.vsi import VsiClient
from vsi_esl.sandbox.demo import SENTENCES

SPEAKS = bool(shutil.which("flite") or shutil.which("espeak-ng"))


@pytest.mark.skipif(not SPEAKS, reason="nothing here can speak: there is neither flite nor espeak-ng")
def test_what_the_demo_caller_says_can_be_read():
    pytest.importorskip("pocketsphinx")
    running = Running()
    try:
        client = VsiClient(running.url.removeprefix("ws://").partition("/")[0])
        eventually(lambda: bool(client.ok("list_legs")), "the demo caller rings")
        leg = client.ok("list_legs")[0]["id"]
        client.ok("answer_leg", id=leg)
        client.event("leg.connected", leg_id=leg)
        client.ok("leg_stt_start", id=leg, provider="local")
        eventually(lambda: understood(client), "a sentence is understood", 60)
        client.close()
    finally:
        running.stop()


def understood(client: VsiClient) -> bool:
    """Whether a text has most of the words of a sentence."""
    texts = [set(event["text"].split()) for event in client.seen("stt.text")]
    sentences = [set(sentence.split()) for sentence in SENTENCES]
    return any(len(said & heard) > len(said) / 2 for said in sentences for heard in texts)
