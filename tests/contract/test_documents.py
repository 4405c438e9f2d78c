"""The generated documents against the pinned ones: every difference is listed with its reason."""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from tests.support.http import HttpClient
from vsi_esl import registry
from vsi_esl.cli import cli
from vsi_esl.documents import asyncapi, openapi, pages

from . import facts

LISTED = Path(__file__).parents[2] / "docs" / "api-differences.yaml"


@pytest.fixture(scope="module")
def ours() -> dict[str, facts.Facts]:
    return {
        "openapi": facts.of_openapi(openapi.build()),
        "asyncapi": facts.of_asyncapi(asyncapi.build()),
    }


@pytest.fixture(scope="module")
def found(ours: dict[str, facts.Facts]) -> list[str]:
    pinned = json.loads(facts.PINNED.read_text())
    return [
        line
        for name, there in pinned.items()
        for line in facts.differences(name, there, ours[name.partition(" ")[0]])
    ]


def test_every_difference_is_listed(found):
    listed = yaml.safe_load(LISTED.read_text())
    assert all(set(one) == {"what", "why"} and one["why"] for one in listed)
    patterns = [one["what"] for one in listed]
    unlisted = [line for line in found if not any(fnmatchcase(line, pattern) for pattern in patterns)]
    assert unlisted == []
    stale = [pattern for pattern in patterns if not any(fnmatchcase(line, pattern) for line in found)]
    assert stale == []


def test_the_facts_are_those_of_the_pinned_documents():
    """VSI_ESL_REFERENCE names the directory of the documents; without it the facts stand for them."""
    directory = os.environ.get("VSI_ESL_REFERENCE")
    known = json.loads(facts.PINNED.read_text())
    read = facts.read(Path(directory)) if directory else known
    assert read == known
    assert set(known) == {
        f"{name} {version}" for name in ("openapi", "asyncapi") for version in facts.VERSIONS
    }


def test_the_documents_hold_together():
    for document in (openapi.build(), asyncapi.build()):
        for reference in _references(document):
            target: Any = document
            for step in reference.removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/")]
    for name, entry in registry.load_commands().items():
        assert name in json.dumps(asyncapi.build()["operations"])
        assert f'id="{name}"' in pages.vsi_page() and f'id="{name}"' in pages.rest_page()
        assert entry.summary


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    if isinstance(node, list):
        return [one for value in node for one in _references(value)]
    return []


def test_views_and_events_are_what_they_say(switch, client):
    """A call's events and replies, against the schemas of their messages."""
    from tests.conformance.test_inbound import answered

    document = asyncapi.build()
    peer, leg = answered(switch, client, headers={"X-App-ID": "a"})
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room")
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    client.ok("leg_record_start", id=leg)
    client.ok("leg_record_stop", id=leg)
    client.ok("room_routing_set", room_id="r", matrix={"a": ["b"]})
    for name in ("get_leg", "list_legs", "list_rooms"):
        client.ok(name, id=leg)
    client.ok("get_room", id="r")
    client.error("get_leg", id="nobody")
    peer.hang_up()
    client.event("leg.disconnected")
    assert len(client.frames) > 15
    for frame in client.frames:
        schema = document["components"]["messages"][frame["type"]]["payload"]
        validator = jsonschema_rs.validator_for({**schema, "components": document["components"]})
        assert [str(error) for error in validator.iter_errors(frame)] == [], frame
        # nor is there anything that the document does not name
        assert set(frame) <= set(schema["properties"]), frame


def test_where_the_documents_are(service):
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    for path, build in (("/openapi.json", openapi.build), ("/asyncapi.json", asyncapi.build)):
        answer = http("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.body == build()
        again = http("GET", path, If_None_Match=answer.headers["ETag"])
        assert (again.status, again.raw) == (304, b"")
    for path, text in (
        ("/docs", b"asyncapi.json"),
        ("/docs/vsi", b"leg.ringing"),
        ("/docs/rest", b"/v1/legs"),
    ):
        page = http("GET", path)
        assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
        assert text in page.raw and b"<script" not in page.raw
    assert http("GET", "/docs/nothing").status == 404


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["openapi"], '"openapi": "3.1.0"'),
        (["asyncapi"], '"asyncapi": "3.0.0"'),
        (["openapi", "--format", "html"], "<h1>REST</h1>"),
        (["asyncapi", "--format", "html"], "<h1>VSI</h1>"),
        (["commands"], "| `mute_leg` | `POST /v1/legs/{id}/mute` | 200 muted |"),
        (["events"], "| `dtmf.received` |"),
    ],
)
def test_the_command_line(arguments, text, tmp_path):
    result = CliRunner().invoke(cli, ["docs", *arguments])
    assert result.exit_code == 0 and text in result.output
    file = tmp_path / "out"
    assert CliRunner().invoke(cli, ["docs", *arguments, "-o", str(file)]).exit_code == 0
    assert text in file.read_text()


def test_forms_that_there_are_not():
    result = CliRunner().invoke(cli, ["docs", "commands", "--format", "json"])
    assert result.exit_code == 2 and "commands can be had as markdown" in result.output
