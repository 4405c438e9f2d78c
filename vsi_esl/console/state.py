"""All that the page shows, at one moment. What becomes of it, the events tell.

Commands list legs, rooms and bridges, but not when a call began, who calls, nor which playbacks, recordings,
agents and transcriptions run; and they tell it at as many moments as there are rooms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import __version__
from ..access.tokens import Access
from ..agents.attached import Agents
from ..calls.context import Context
from ..model.leg import Leg
from ..model.owner import Owner
from ..model.recording import ARMED, CLOSING, RUNNING, Recording
from ..model.room import Room
from ..model.sound_stores import Bridges, Playbacks, Recordings
from ..protocol.confinement import app_ids_of_leg, app_ids_of_room
from ..speech.stt.transcribing import Transcriptions
from ..speech.tts.utterances import Utterances
from ..work import clock


def state(ctx: Context, access: Access) -> dict[str, Any]:
    """Within reach of the token. Times are Unix seconds by the service's clock, 0 for not yet."""
    return {
        "version": __version__,
        "now": clock.now(),
        "you": {"name": access.name, "scope": access.scope.name.lower(), "app_id": access.pattern},
        # a service that has just begun has not looked at all calls yet, and no event tells of those it finds
        "unknown": [node.name for node in ctx.nodes if node.unknown],
        "legs": [_leg(leg) for leg in ctx.legs if access.allows_app(leg.app_id)],
        "rooms": [_room(room) for room in ctx.rooms if access.allows_app(room.app_id)],
        "bridges": [
            {
                "id": bridge.id,
                "room_a_id": bridge.room_a,
                "room_b_id": bridge.room_b,
                "direction": bridge.direction,
            }
            for bridge in ctx.get(Bridges)
            if any(_allowed(ctx, access, Owner("room", one)) for one in (bridge.room_a, bridge.room_b))
        ],
        "recordings": [
            _of(one.owner) | {"id": one.id, "file": one.file, "started_at": one.started_at} | _state_of(one)
            for one in ctx.get(Recordings)
            if one.state in (ARMED, RUNNING, CLOSING) and access.allows_app(one.app_id)
        ],
        "playbacks": [
            _of(one.owner) | {"id": one.id, "kind": "playback", "started_at": one.playing_since}
            for one in ctx.get(Playbacks)
            if access.allows_app(one.app_id)
        ]
        + [
            _of(said.owner) | {"id": said.id, "kind": "speech", "started_at": said.began_at}
            for said in ctx.get(Utterances)
            if access.allows_app(said.app_id)
        ],
        "agents": [
            _of(agent.owner) | {"provider": agent.provider}
            for agent in ctx.get(Agents)
            if access.allows_app(agent.app_id)
        ],
        "transcriptions": list(_transcriptions(ctx, access)),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    more = {
        "from": leg.from_user,
        "to": leg.to_user,
        "uri": leg.uri,
        "trunk": leg.trunk,
        "created_at": leg.created_at,
        "answered_at": leg.answered_at,
        "speaking": leg.speaking,
        "codec": leg.channel.codec,
        "switch": leg.node,
    }
    return {**more, **leg.view()}


def _room(room: Room) -> dict[str, Any]:
    view = {"id": room.id, "sample_rate": room.sample_rate, "matrix": room.matrix}
    return view | ({"app_id": room.app_id} if room.app_id else {})


def _state_of(recording: Recording) -> dict[str, Any]:
    return {"state": recording.state, "paused": recording.paused}


def _transcriptions(ctx: Context, access: Access) -> Iterator[dict[str, Any]]:
    for one in ctx.get(Transcriptions):
        if _allowed(ctx, access, one.owner):
            yield _of(one.owner) | {"provider": one.provider, "language": one.language}


def _of(owner: Owner) -> dict[str, str]:
    return {f"{owner.kind}_id": owner.id}


def _allowed(ctx: Context, access: Access, owner: Owner) -> bool:
    apps = app_ids_of_leg if owner.kind == "leg" else app_ids_of_room
    return not access.confined or any(map(access.allows_app, apps(ctx, owner.id)))
