"""A picture of the switch: our channels with their variables, and who is in which conference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import SwitchUnavailable
from . import commands, memory
from .node import SwitchNode

INTERNAL_ID = re.compile(r"(?:(?:pb|rec)-[0-9a-f]{8,12}|br)(?:-[0-9a-f]{6,16})?\Z")
DUMPS_AT_ONCE = 200
SNAPSHOT_TIMEOUT_S = 15.0


@dataclass(slots=True, frozen=True)
class Membership:
    """One member of a conference."""

    conference: str
    rate: int
    member_id: str
    speak: bool
    hear: bool


@dataclass(slots=True, frozen=True)
class Snapshot:
    """Dumps of our legs by channel id, and their conference memberships."""

    channels: dict[str, dict[str, Any]]
    memberships: dict[str, Membership]
    conferences: frozenset[str] = frozenset()
    """The names of the conferences there are."""
    internal: frozenset[str] = frozenset()
    """The ids of channels that look like our playback bots, recorders and bridges."""


def take_snapshot(node: SwitchNode, known: Iterable[str] = ()) -> Snapshot:
    """Ask the switch for all channels, and for those that are `known`.

    `show channels` is about 0.1 s behind: it lacks the newest calls, so known ones are asked for by id; and
    a row without a channel is a leftover that means nothing, so each row is verified by its dump.
    """
    shown, members = node.command_many(["show channels as json", "conference json_list"], SNAPSHOT_TIMEOUT_S)
    rows = _json(shown, dict).get("rows", [])
    shown_ids = [str(row.get("uuid")) for row in rows if isinstance(row, dict)]
    ids = [channel for channel in dict.fromkeys([*shown_ids, *known]) if commands.UUID.match(channel)]
    channels: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), DUMPS_AT_ONCE):
        batch = [commands.dump(channel) for channel in ids[start : start + DUMPS_AT_ONCE]]
        for answer in node.command_many(batch, SNAPSHOT_TIMEOUT_S):
            if answer.startswith("{"):
                dump = _json(answer, dict)
                node.clock.learn(dump)
                marked = dump.get(f"variable_{memory.LEG}") in ("inbound", "outbound")
                if marked and dump.get(f"variable_{memory.INTERNAL}") != "true":
                    channels[dump["Unique-ID"]] = dump
    listed = _json(members, list) if members.startswith("[") else []
    return Snapshot(
        channels,
        _memberships(listed),
        frozenset(str(one.get("conference_name")) for one in listed),
        frozenset(channel for channel in shown_ids if INTERNAL_ID.match(channel)),
    )


def _memberships(conferences: list[Any]) -> dict[str, Membership]:
    found: dict[str, Membership] = {}
    for conference in conferences:
        for member in conference.get("members", []):
            flags = member.get("flags", {})
            if "uuid" in member:
                found[member["uuid"]] = Membership(
                    conference["conference_name"],
                    int(conference.get("rate", 0)),
                    str(member.get("id", "")),
                    bool(flags.get("can_speak", True)),
                    bool(flags.get("can_hear", True)),
                )
    return found


def _json(text: str, kind: type) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SwitchUnavailable(f"the switch's list cannot be read: {error}") from None
    if not isinstance(value, kind):
        raise SwitchUnavailable("the switch's list has an unexpected form")
    return value
