"""What `vsi-esl doctor` says of tethers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vsi_esl.cli.doctor_tethers import tether_checks
from vsi_esl.config import Config
from vsi_esl.config.settings import ListedSwitch, SwitchSettings

EAST, WEST = "10.0.0.11:5072", "10.0.0.12:5072"
RUNNING = f"<profile><profile-info><url>sip:mod_sofia@{EAST}</url></profile-info></profile>"


def found(status: str = RUNNING, answer: str = "-ERR INCOMING_CALL_BARRED\n", **of_east: str):
    east = ListedSwitch("east", SwitchSettings(port=1), tether=EAST)
    others = (
        ListedSwitch("west", SwitchSettings(port=2), tether=WEST),
        ListedSwitch("none", SwitchSettings()),
    )
    asked: list[str] = []

    def ask(command: str) -> str:
        asked.append(command)
        return answer if command.startswith("originate") else status

    own = replace(east, **of_east)
    checks = list(tether_checks(Config(switches=(own,)), (own, *others), ask))
    return [(check.name, check.status, check.detail) for check in checks], asked


def test_of_one_that_has_none_nothing_is_said():
    assert found(tether="") == ([], [])
    assert list(tether_checks(Config(), (), lambda command: "")) == []


def test_each_other_is_called_without_a_token():
    checks, asked = found()
    assert checks == [
        ("tethers", "ok", f"vsi_tether at {EAST}"),
        ("tethers to west", "ok", f"{WEST} takes them"),
    ]
    assert "X-VSI-Tether" not in asked[-1]
    assert asked[-1].endswith(f"sofia/vsi_tether/sip:tether@{WEST} &park()")


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        ("-ERR CALL_REJECTED\n", "failed", f"{WEST} refuses this switch"),
        ("-ERR RECOVERY_ON_TIMER_EXPIRE\n", "warning", f"{WEST}: -ERR RECOVERY_ON_TIMER_EXPIRE"),
        ("+OK te-1\n", "failed", f"{WEST} takes calls of everybody"),
    ],
)
def test_how_it_is_refused_says_why(answer, status, detail):
    assert found(answer=answer)[0][1] == ("tethers to west", status, detail)


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        ("Invalid Profile!\n", "vsi_tether is not running"),
        (RUNNING.replace("5072", "5073"), f"vsi_tether is at 10.0.0.11:5073, not at {EAST}"),
    ],
)
def test_the_profile_has_to_be_where_the_settings_say(status, detail):
    assert found(status)[0] == [("tethers", "failed", detail)]
