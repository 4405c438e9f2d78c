"""A feature that is added brings all of its own: nothing that exists knows of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How a service with `tests.support.small` did."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.featured", str(tmp_path_factory.mktemp("state"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_its_command_is_dispatched_and_its_event_told(found):
    calls = found["calls"]
    assert calls["reply"] == {"status": "started"}
    assert calls["event"] == 1.5
    assert calls["unknown leg"] == [404, "leg not found"]


def test_its_setting_is_read_and_shown(found):
    (row,) = found["settings"]
    assert (row["variable"], row["value"], row["default"]) == ("VSI_ESL_SMALL_LIMIT", "1.5s", "5s")
    assert row["source"] == "environment"
    assert found["settings page"]
    assert found["live"]
    together, alone = found["settings wrong"]
    assert together == "small.limit: 120s: must not be above small.longest (60s)"
    assert alone.startswith("VSI_ESL_SMALL_LONGEST: 'x': ")


def test_it_is_in_the_documents(found):
    operation = found["openapi"]["/v1/legs/{id}/small"]["post"]
    assert operation["summary"] == "Begin a small thing."
    assert "x-pending" not in operation
    assert found["asyncapi"]["leg_small_start"]["payload"]["properties"]["payload"]["properties"].keys() == {
        "id"
    }
    limit = found["asyncapi"]["small.result"]["payload"]["properties"]["limit"]
    assert limit == {"type": "number", "description": "For how long, in seconds."}
    assert (
        "| `leg_small_start` | `POST /v1/legs/{id}/small` | 200 started | Begin a small thing. |"
        in found["commands"]
    )
    stream = found["openapi"]["/v1/rooms/{id}/small"]["get"]
    assert stream["summary"] == "Says which room it is, and repeats what it is told."
    assert [parameter["name"] for parameter in stream["parameters"]] == ["id"]


def test_its_series_are_in_the_metrics(found):
    assert "vsi_esl_small_begun_total 1.0" in found["metrics"]
    assert 'vsi_esl_commands_total{command="leg_small_start",outcome="ok"} 1.0' in found["metrics"]


def test_it_is_told_of_moments_and_gets_its_events_of_the_switch(found):
    assert found["calls"]["told of media"]


def test_its_fault_is_logged_and_nobody_elses(found):
    (line,) = found["log"]
    assert (line["moment"], line["feature"]) == ("ended", "tests.support.small.feature")
    assert "a fault of the feature" in line["exception"]
    assert found["calls"]["recorded"]
    assert found["calls"]["ended"] == "api_hangup"


def test_the_doctor_makes_its_checks_and_survives_them(found):
    assert found["doctor"]["small machine"] == ["ok", "1.5 s"]
    assert found["doctor all"].count("small switch") == 2
    status, detail = found["doctor"]["small switch"]
    assert status == "failed"
    assert "a fault of the check" in detail
    assert found["doctor"]["recording"][0] == "ok"
    assert found["doctor"]["mod_small"] == ["warning", "not loaded"]


def test_its_modules_are_asked_for(found):
    assert "mod_small" in found["calls"]["modules"]
    assert found["calls"]["require"] == "this needs mod_small, which the switch has not loaded"


def test_its_websocket_is_opened_and_ends_with_the_service(found):
    streams = found["streams"]
    assert (streams["first"], streams["answer"]) == ("a/b", "you said 'hello'")
    assert streams["binary"] == "you said b'\\x00\\x01'"
    assert streams["counted"]
    assert streams["closed"] == [True, 1001]


def test_its_websocket_is_for_whom_it_is_for(found):
    streams = found["streams"]
    assert streams["confined"] == "a/b"
    assert streams["nobody's"] == streams["of others"] == [404, "room not found"]
    assert streams["reader"] == [403, "the token's scope is read; this needs control"]
    assert streams["stranger"] == 401
    assert streams["no upgrade"] == [426, "this is a WebSocket endpoint"]
