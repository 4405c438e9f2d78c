"""The registry of commands."""

from __future__ import annotations

import io
import json
from typing import Literal, TypedDict

import pytest
import structlog

from vsi_esl.commands.twins import for_leg_and_room
from vsi_esl.model.owner import Owner
from vsi_esl.ops import logs
from vsi_esl.protocol import confinement, names, registry, routes, schemas
from vsi_esl.protocol.ids import Id, LegId, NewId
from vsi_esl.protocol.registry import Rest
from vsi_esl.protocol.replies import Status
from vsi_esl.protocol.schemas import Payload, Text

Done = Status[Literal["done"]]


def done(ctx: object) -> Done:
    """Do it."""
    return {"status": "done"}


def test_registry_refuses_strangers_and_doubles():
    registry.load_commands()
    with pytest.raises(ValueError, match="no command of the protocol"):
        registry.command("brew", None)(lambda ctx: None)
    with pytest.raises(ValueError, match="twice"):
        registry.command("list_legs", None)(lambda ctx: None)
    with pytest.raises(ValueError, match="docstring"):
        registry.command("get_sip_trunk", None)(lambda ctx: None)


def says_nothing(ctx: object):
    """Answers who knows what."""


def says_little(ctx: object) -> dict[str, str]:
    """Answers some object."""
    return {}


@pytest.mark.parametrize("handler", [says_nothing, says_little])
def test_a_handler_says_what_it_answers(handler):
    with pytest.raises(ValueError, match="get_sip_trunk: its handler does not say what it answers"):
        registry.command("get_sip_trunk", None)(handler)


class Spoken(TypedDict):
    of: str
    words: int


def test_twins_are_one_function_and_two_commands(monkeypatch):
    monkeypatch.setattr(registry, "_commands", {})
    payload = type("Tts", (Payload,), {"text": Text()})

    @for_leg_and_room(
        "leg_tts",
        "room_tts",
        payload,
        rest=Rest("POST", "/tts"),
        leg="Speak to a leg.",
        room="Speak to a room.\n\nAt once.",
    )
    def tts(ctx: object, owner: Owner, text: str) -> Spoken:
        return {"of": f"{owner.kind} {owner.id}", "words": len(text.split())}

    leg, room = registry._commands["leg_tts"], registry._commands["room_tts"]
    assert [leg.summary, leg.description] == ["Speak to a leg.", ""]
    assert [room.summary, room.description] == ["Speak to a room.", "At once."]
    assert [leg.rest.path, room.rest.path] == ["/legs/{id}/tts", "/rooms/{id}/tts"]
    assert list(leg.schema.fields) == list(room.schema.fields) == ["id", "text"]
    assert leg.reply is room.reply is Spoken
    arguments = schemas.load(leg.schema, {"id": "1", "text": "good morning"})
    assert leg.handler(None, **arguments) == {"of": "leg 1", "words": 2}
    assert room.handler(None, **arguments) == {"of": "room 1", "words": 2}
    with pytest.raises(ValueError, match="twice"):
        for_leg_and_room("leg_tts", "room_tts", payload, rest=Rest("POST", "/tts"), leg="A.", room="B.")(tts)


def test_what_is_not_registered_has_a_route_that_says_so():
    pending = registry.pending()
    known = set(names.known_commands())
    assert {*pending, *registry.load_commands(), *names.CONNECTION_COMMANDS} == known
    assert pending and not set(pending) & set(registry.load_commands())
    assert set(routes.routes()) == known - names.CONNECTION_COMMANDS


def test_a_command_says_with_which_version_it_came(monkeypatch):
    assert len(names.COMMANDS) == 73 and len(set(names.known_commands())) == len(names.known_commands())
    assert not names.is_command("leg.stream_added") and not names.is_command("brew")
    monkeypatch.setattr(registry, "_commands", dict(registry.load_commands()))
    registry.command("leg_stream_list", type("P", (Payload,), {"id": LegId()}))(done)
    found = registry.load_commands()
    assert [found["list_legs"].version, found["leg_stream_list"].version] == ["2026-05-26", "2026-08-20"]
    assert names.version_of("stt.turn") == "2026-08-20"


def test_a_registered_command_is_not_pending_any_more(monkeypatch):
    monkeypatch.setattr(registry, "_commands", dict(registry.load_commands()))
    assert "get_sip_trunk" in registry.pending()
    payload = type("Trunk", (Payload,), {"leg": LegId()})
    own = Rest("PUT", "/legs/{leg}/elsewhere")

    @registry.command("get_sip_trunk", payload, rest=own)
    def get_sip_trunk(ctx: object, leg: str) -> Done:
        """Show it."""

    assert "get_sip_trunk" not in registry.pending()
    assert routes.routes()["get_sip_trunk"] is own


@pytest.mark.parametrize("fields", [{"leg": Text()}, {"other": LegId()}])
def test_a_path_parameter_is_an_id_that_says_what_it_names(fields):
    with pytest.raises(ValueError, match="get_sip_trunk: leg of the path is no id"):
        registry.command("get_sip_trunk", type("P", (Payload,), fields), rest=Rest("POST", "/legs/{leg}"))(
            done
        )


class TrunkId(Id):
    """Of a feature that the core does not know."""

    noun = "trunk"


def test_a_feature_brings_its_own_sort_of_id(monkeypatch):
    monkeypatch.setattr(registry, "_commands", dict(registry.load_commands()))
    monkeypatch.setattr(confinement, "OWNERS", dict(confinement.OWNERS))
    payload = type("P", (Payload,), {"id": TrunkId(), "second_id": NewId(TrunkId)})

    @registry.command("get_sip_trunk", payload)
    def get_sip_trunk(ctx: object, id: str, second_id: str) -> Done:
        """Show one."""

    with pytest.raises(ValueError, match="nobody knows whose a TrunkId is"):
        registry.load_commands()
    confinement.owned(TrunkId)(lambda ctx, id: [])
    entry = registry.load_commands()["get_sip_trunk"]
    assert entry.ids_in({"id": "t", "second_id": "u"}) == {"trunk_id": "t", "second_id": "u"}


@pytest.mark.parametrize(
    ("name", "payload", "ids"),
    [
        ("answer_leg", {"id": "l"}, {"leg_id": "l"}),
        ("answer_leg", {"ID": "l"}, {"leg_id": "l"}),
        ("room_play_start", {"id": "r", "url": "http://a/b"}, {"room_id": "r"}),
        ("leg_play_stop", {"id": "l", "playback_id": "p"}, {"leg_id": "l", "playback_id": "p"}),
        ("delete_room", {"id": "r"}, {"room_id": "r"}),
        ("create_room", {"id": "r", "app_id": "a"}, {"room_id": "r"}),
        ("add_leg_to_room", {"room_id": "r", "leg_id": "l"}, {"room_id": "r", "leg_id": "l"}),
        ("bridge_create", {"room_id": "r", "bridge_id": "b"}, {"room_id": "r", "bridge_id": "b"}),
        ("set_leg_role", {"leg_id": "l", "id": "x"}, {"leg_id": "l"}),
        ("create_leg", {"to": "sip:a@b"}, {}),
        ("answer_leg", {"id": 7}, {}),
        ("answer_leg", {"id": ""}, {}),
        ("answer_leg", ["id"], {}),
        ("answer_leg", None, {}),
        ("list_legs", {"id": "l"}, {}),
        ("ANSWER", {"id": "l"}, {}),
    ],
)
def test_a_line_of_the_log_says_what_the_command_names(name, payload, ids):
    registry.load_commands()
    out = io.StringIO()
    logs.setup("info", "json", out)
    with registry.log_lines(name, "r1", payload):
        structlog.get_logger("a").info("inside")
    structlog.get_logger("a").info("outside")
    inside, outside = map(json.loads, out.getvalue().splitlines())
    shown = {key: value for key, value in inside.items() if key.endswith("_id") and key != "request_id"}
    assert (shown, inside["command"], inside["request_id"]) == (ids, name, "r1")
    assert not {"leg_id", "room_id", "command", "request_id"} & set(outside)
