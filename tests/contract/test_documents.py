"""The generated documents against the pinned ones: every difference is listed with its reason."""

from __future__ import annotations

import html.parser
import itertools
import json
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from tests.support.calls import REJECTIONS, answered
from tests.support.http import HttpClient
from vsi_esl.audio.tones import TONES
from vsi_esl.cli import cli
from vsi_esl.documents import asyncapi, glossary, openapi, pages
from vsi_esl.protocol import names, registry
from vsi_esl.switch.actions.calls import HANGUP_CAUSES
from vsi_esl.translate import adoption
from vsi_esl.translate.hangup import SIP_REASONS

from . import facts

LISTED = Path(__file__).parents[2] / "docs" / "api-differences.yaml"


@pytest.fixture(scope="module")
def ours() -> dict[str, facts.Facts]:
    """As each of the pinned versions has it: without what came later."""
    found: dict[str, facts.Facts] = {}
    for version in facts.VERSIONS:
        found[f"openapi {version}"] = facts.of_openapi(openapi.build(), version)
        found[f"asyncapi {version}"] = facts.of_asyncapi(asyncapi.build(), version)
    return found


@pytest.fixture(scope="module")
def found(ours: dict[str, facts.Facts]) -> list[str]:
    pinned = json.loads(facts.PINNED.read_text())
    return [line for name, there in pinned.items() for line in facts.differences(name, there, ours[name])]


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


def test_later_versions_are_those_of_the_pinned_documents():
    """What the names of the protocol say of a version is what its documents have more than those before."""
    known = json.loads(facts.PINNED.read_text())
    assert (
        (names.VERSION, *names.LATER) == tuple(sorted((names.VERSION, *names.LATER_EVENTS))) == facts.VERSIONS
    )
    for before, version in itertools.pairwise(facts.VERSIONS):
        added = set(known[f"asyncapi {version}"]) - set(known[f"asyncapi {before}"])
        assert {name for name in added if "." not in name} == set(names.LATER[version])
        events = {name for name in added if "." in name and not name.endswith(".result")}
        assert events == set(names.LATER_EVENTS[version])


def test_what_came_with_a_later_version_is_marked():
    document = asyncapi.build()
    marks = {name: one.get("x-version") for name, one in document["components"]["messages"].items()}
    later = {*names.LATER["2026-08-20"], *names.LATER_EVENTS["2026-08-20"]}
    assert {name for name, mark in marks.items() if mark == "2026-08-20"} >= later
    assert {name.removesuffix(".result") for name, mark in marks.items() if mark} == later
    operations = [one for path in openapi.build()["paths"].values() for one in path.values()]
    marked = {one["operationId"] for one in operations if one.get("x-version") == "2026-08-20"}
    assert marked == set(names.LATER["2026-08-20"])
    page, markdown = pages.vsi_page(), pages.commands_markdown()
    assert "accept_transfer</code> (version 2026-08-20)" in page
    first, _, second = markdown.partition("## Of the version 2026-08-20")
    assert "`list_legs`" in first and "`accept_transfer`" in second and "`accept_transfer`" not in first


def test_the_documents_hold_together():
    for document in (openapi.build(), asyncapi.build()):
        for reference in _references(document):
            target: Any = document
            for step in reference.removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/")]
    operations, vsi_page, rest_page = asyncapi.build()["operations"], pages.vsi_page(), pages.rest_page()
    for name, entry in registry.load_commands().items():
        assert f"recv_{name}" in operations
        assert f'id="{name}"' in vsi_page and f'id="{name}"' in rest_page
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


def _members(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member of every object of a document, with where it is."""
    if isinstance(node, dict):
        properties = node.get("properties")
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            yield f"{path}.{name}", schema
        for key, value in node.items():
            if key not in ("examples", "example"):
                yield from _members(value, f"{path}.{key}" if key != "properties" else path)
    elif isinstance(node, list):
        for one in node:
            yield from _members(one, path)


@pytest.mark.parametrize("build", [openapi.build, asyncapi.build])
def test_every_member_is_described(build):
    document = build()
    members = list(_members(document["components"])) + list(_members(document.get("paths", {})))
    assert len(members) > 100
    said = ("description", "$ref", "const", "allOf")
    assert {path for path, schema in members if not any(word in schema for word in said)} == set()


def test_numbers_have_their_range_and_words_their_list():
    messages = asyncapi.build()["components"]["messages"]
    dial = messages["create_leg"]["payload"]["properties"]["payload"]["properties"]
    assert dial["ring_timeout"]["maximum"] < 1 << 31
    assert set(dial["auth"]["properties"]) == {"username", "password"}
    end = messages["leg.disconnected"]["payload"]["properties"]
    assert end["cdr"]["required"] == ["reason", "duration_total", "duration_answered"]
    assert end["quality"]["properties"]["mos_score"]["type"] == "number"
    assert messages["playback.finished"]["payload"]["properties"]["reason"]["enum"] == [
        "completed",
        "stopped",
    ]


def test_each_command_and_event_has_an_example_that_is_one():
    document = asyncapi.build()
    commands = registry.load_commands()
    kinds = [kind.type for kind in asyncapi.event_types()]
    for name in [*commands, *[f"{name}.result" for name in commands], *kinds]:
        message = document["components"]["messages"][name]
        schema = {**message["payload"], "components": document["components"]}
        frame = message["examples"][0]["payload"]
        assert [str(error) for error in jsonschema_rs.validator_for(schema).iter_errors(frame)] == [], name
        assert set(frame) <= set(message["payload"]["properties"]), name
        payload = message["payload"]["properties"].get("payload", {}).get("properties", {})
        assert set(frame.get("payload", {})) <= set(payload), name


def test_the_words_have_their_list():
    """Whatever ends a leg is in the list of reasons."""
    assert glossary.rejections() == REJECTIONS
    listed = set(glossary.DISCONNECT_REASONS) | set(glossary.answers()) | set(glossary.rejections())
    assert {*SIP_REASONS.values(), *HANGUP_CAUSES, adoption.UNOBSERVED, adoption.SWITCH_RESTARTED} <= listed
    assert len(TONES) == 41
    page = pages.words_page()
    assert all(f"<code>{word}</code>" in page for word in (*listed, *TONES))


class Outline(html.parser.HTMLParser):
    """Headings, landmarks and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.landmarks: list[tuple[str, str | None]] = []
        self.targets: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag in ("main", "nav", "header"):
            self.landmarks.append((tag, given.get("aria-label")))
        if id := given.get("id"):
            assert id not in self.targets, id
            self.targets.add(id)
        if tag == "a":
            self.links.add(str(given["href"]))


@pytest.mark.parametrize("make", [pages.index, pages.rest_page, pages.vsi_page, pages.words_page])
def test_pages_can_be_found_one_s_way_in(make):
    outline = Outline(make())
    assert outline.levels.count(1) == 1
    steps = itertools.pairwise(outline.levels)
    assert all(after <= before + 1 for before, after in steps), "a level of headings is left out"
    assert [tag for tag, _ in outline.landmarks].count("main") == 1
    labels = [label for tag, label in outline.landmarks if tag == "nav"]
    assert all(labels) and len(set(labels)) == len(labels)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= outline.targets


def test_links_between_pages_lead_somewhere():
    made = {
        "/docs": pages.index(),
        "/docs/rest": pages.rest_page(),
        "/docs/vsi": pages.vsi_page(),
        "/docs/words": pages.words_page(),
    }
    outlines = {path: Outline(text) for path, text in made.items()}
    for outline in outlines.values():
        for link in outline.links:
            path, _, target = link.partition("#")
            if path in outlines and target:
                assert target in outlines[path].targets, link
            elif path:
                assert path in outlines or path in ("/openapi.json", "/asyncapi.json"), link


def test_the_root_leads_to_the_pages(service):
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    answer = http("GET", "/")
    assert (answer.status, answer.headers["Location"]) == (302, "/docs")


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
        ("/docs/words", b"ru_congestion"),
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
