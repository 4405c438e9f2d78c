"""A picture of the switch: our channels with their variables, and who is in which conference."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import SwitchUnavailable
from ..model.legtypes import WEBRTC
from . import memory
from .lines import builder
from .node import SwitchNode

INTERNAL_ID = re.compile(r"(?:(?:pb|rec|lv|te)-[0-9a-f]{8,12}|br)(?:-[0-9a-f]{6,16})?\Z")
DUMPS_AT_ONCE = 200
SHOW_CHANNELS, LIST_CONFERENCES = "show channels as json", "conference json_list"
SNAPSHOT_TIMEOUT_S = 15.0
BEHIND_S = 1.0
"""What has been there for so long is in the list of channels, 0.2 s behind on an idle switch."""


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
    shown: frozenset[str] = frozenset()
    """The ids of all channels that were listed."""

    @property
    def internal(self) -> frozenset[str]:
        """Those that look like our playback bots, recorders, bridges, pairs of live audio and tethers."""
        return frozenset(channel for channel in self.shown if is_internal(channel))


def take_snapshot(node: SwitchNode, known: Iterable[str] = ()) -> Snapshot:
    """Ask the switch for all channels, and for those that are `known`.

    `show channels` is 0.1 to 0.2 s behind: it lacks the newest calls, so known ones are asked for by id, and
    others have to be looked for once more (`BEHIND_S`); and a row without a channel is a leftover that means
    nothing, so each row is verified by its dump.
    """
    shown, members = node.command_many([SHOW_CHANNELS, LIST_CONFERENCES], SNAPSHOT_TIMEOUT_S)
    shown_ids = _ids(shown)
    channels = dumps(node, [*shown_ids, *known])
    listed = _json(members, list) if members.startswith("[") else []
    return Snapshot(
        {channel: dump for channel, dump in channels.items() if is_leg(dump)},
        _memberships(listed),
        frozenset(name for name, _ in _named(listed)),
        frozenset(shown_ids),
    )


def shown_channels(node: SwitchNode) -> list[str]:
    """The ids of all channels, 0.1 to 0.2 s old."""
    return _ids(node.command(SHOW_CHANNELS, timeout=SNAPSHOT_TIMEOUT_S))


def memberships(node: SwitchNode) -> dict[str, Membership]:
    """Who is in which conference, by channel id."""
    members = node.command(LIST_CONFERENCES, timeout=SNAPSHOT_TIMEOUT_S)
    return _memberships(_json(members, list) if members.startswith("[") else [])


def dumps(node: SwitchNode, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What these channels are, by id; those that there are not are left out."""
    wanted = [channel for channel in dict.fromkeys(ids) if builder.UUID.match(channel)]
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(wanted), DUMPS_AT_ONCE):
        batch = [builder.dump(channel) for channel in wanted[start : start + DUMPS_AT_ONCE]]
        for answer in node.command_many(batch, SNAPSHOT_TIMEOUT_S):
            if answer.startswith("{"):
                dump = _json(answer, dict)
                node.clock.learn(dump)
                if isinstance(dump.get("Unique-ID"), str):
                    found[dump["Unique-ID"]] = dump
    return found


def is_internal(channel: str) -> bool:
    """Whether the id of a channel looks like that of a playback bot, recorder, bridge, pair or tether of
    ours."""
    return INTERNAL_ID.match(channel) is not None


def is_leg(dump: dict[str, Any]) -> bool:
    """Whether a channel is a leg, of whatever service."""
    marked = dump.get(f"variable_{memory.LEG}") in ("inbound", "outbound")
    return marked and dump.get(f"variable_{memory.INTERNAL}") != "true"


def explains_itself(dump: dict[str, Any]) -> bool:
    """Whether the channel of a leg is enough to have the leg back: that of a browser needs its connection."""
    return memory.type_of(dump) != WEBRTC


def _ids(shown: str) -> list[str]:
    rows = _json(shown, dict).get("rows", [])
    if not isinstance(rows, list):
        raise SwitchUnavailable("the switch's list has an unexpected form")
    return [str(row.get("uuid")) for row in rows if isinstance(row, dict)]


def _named(conferences: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The conferences of a list with their names; what is none is left out."""
    for one in conferences:
        name = one.get("conference_name") if isinstance(one, dict) else None
        if isinstance(name, str):
            yield name, one


def _memberships(conferences: list[Any]) -> dict[str, Membership]:
    found: dict[str, Membership] = {}
    for name, conference in _named(conferences):
        rate, members = conference.get("rate"), conference.get("members")
        for member in members if isinstance(members, list) else []:
            channel = member.get("uuid") if isinstance(member, dict) else None
            if isinstance(channel, str):
                flags = member.get("flags")
                flags = flags if isinstance(flags, dict) else {}
                found[channel] = Membership(
                    name,
                    rate if isinstance(rate, int) else 0,
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
