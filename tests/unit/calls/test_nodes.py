"""Which of several switches something is on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vsi_esl.calls.nodes import Nodes
from vsi_esl.model.leg import Leg
from vsi_esl.model.playback import Playback
from vsi_esl.model.recording import Recording
from vsi_esl.model.room import Room


def nodes(**ready: bool) -> Nodes:
    """Switches by name, and whether each is ready."""
    made: list[Any] = [SimpleNamespace(name=name, ready=is_ready) for name, is_ready in ready.items()]
    return Nodes(made)


def test_things_are_on_the_switch_they_name():
    both = nodes(east=True, west=True)
    assert [both.of(Room("r", 8000, node=name)).name for name in ("west", "east")] == ["west", "east"]
    assert both.of(Playback("p", node="west")).name == "west"


@pytest.mark.parametrize(
    "one",
    [
        Room("r", 8000),
        Room("r", 8000, node="gone"),
        Leg("l", "sip_inbound", 0.0),
        Playback.from_dict({"id": "p"}),
        Recording.from_dict({"id": "rec-1", "file": "/f.wav", "rate": 8000}),
    ],
)
def test_what_names_no_switch_there_is_belongs_to_the_first(one):
    """What has no place yet, was kept before switches had names, or was on one that is not there any more."""
    assert nodes(east=False, west=True).of(one).name == "east"


def test_calls_can_be_made_while_one_is_ready():
    assert [nodes(east=False, west=one).ready for one in (True, False)] == [True, False]
