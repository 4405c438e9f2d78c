"""Recording a leg or a room."""

from __future__ import annotations

from typing import Any

import gevent

from ...calls.context import Context
from ...calls.nodes import Node
from ...commands.legs import LegPayload
from ...commands.rooms import RoomPayload
from ...errors import Conflict, NotFound, SwitchUnavailable
from ...model.owner import Owner, of_leg, of_room
from ...model.recording import Recording
from ...model.room import Room
from ...model.sound_stores import Recordings
from ...protocol.registry import Body, Rest, command
from ...protocol.schemas import Flag, Payload, Text, about
from ...storage import s3
from ...storage.s3 import S3Target
from ...storage.uploads import Uploads
from . import buckets, naming, recorder
from .settings import S3Settings

FINISH_TIMEOUT_S = 300.0
"""Longest wait for a file to be closed and merged; the upload has its own limit on top."""


class RecordStart(Payload):
    storage = Text(metadata=about("Where it goes: file (when empty) or s3.", enum=["", "file", "s3"]))
    filename = Text(metadata=about("Name of the file; made up when empty."))
    multi_channel = Flag(default=False, metadata=about("One track per participant as well; rooms only."))
    s3_bucket = Text()
    s3_region = Text()
    s3_endpoint = Text()
    s3_prefix = Text()
    s3_access_key = Text()
    s3_secret_key = Text()


class LegRecordStart(LegPayload, RecordStart):
    pass


class RoomRecordStart(RoomPayload, RecordStart):
    pass


@command(
    "leg_record_start",
    LegRecordStart,
    result="RecordingStart",
    rest=Rest("POST", "/legs/{id}/record", body=Body.OPTIONAL),
)
def leg_record_start(
    ctx: Context, id: str, filename: str, multi_channel: bool, **storage: str
) -> dict[str, str]:
    """Record one leg in stereo: left what it says, right what it hears."""
    node = ctx.node(ctx.legs.get(id))
    target = _target(ctx, node, of_leg(id), storage)
    ctx.legs.get(id)
    file = naming.place(ctx, of_leg(id), filename)
    leg = ctx.legs.get(id)  # the bucket and the disk were looked at meanwhile
    return _started(recorder.start_leg(ctx, leg, target, file))


@command(
    "room_record_start",
    RoomRecordStart,
    result="RecordingStart",
    rest=Rest("POST", "/rooms/{id}/record", body=Body.OPTIONAL),
)
def room_record_start(
    ctx: Context, id: str, filename: str, multi_channel: bool, **storage: str
) -> dict[str, str]:
    """Record the mix of a room, and with multi_channel one track per participant."""
    node = ctx.node(ctx.rooms.get(id))
    target = _target(ctx, node, of_room(id), storage)
    _with_legs(ctx, id)
    file = naming.place(ctx, of_room(id), filename)
    room = _with_legs(ctx, id)  # the bucket and the disk were looked at meanwhile
    return _started(recorder.start_room(ctx, room, target, file, multi_channel))


@command(
    "leg_record_pause",
    LegPayload,
    result="paused or already_paused",
    rest=Rest("POST", "/legs/{id}/record/pause"),
)
def leg_record_pause(ctx: Context, id: str) -> dict[str, str]:
    """Record silence from now on; the time goes on."""
    return _pause(ctx, of_leg(id))


@command(
    "room_record_pause",
    RoomPayload,
    result="paused or already_paused",
    rest=Rest("POST", "/rooms/{id}/record/pause"),
)
def room_record_pause(ctx: Context, id: str) -> dict[str, str]:
    """Record silence from now on, in the mix and in every track; the time goes on."""
    return _pause(ctx, of_room(id))


@command(
    "leg_record_resume",
    LegPayload,
    result="resumed or not_paused",
    rest=Rest("POST", "/legs/{id}/record/resume"),
)
def leg_record_resume(ctx: Context, id: str) -> dict[str, str]:
    """End the pause."""
    return _resume(ctx, of_leg(id))


@command(
    "room_record_resume",
    RoomPayload,
    result="resumed or not_paused",
    rest=Rest("POST", "/rooms/{id}/record/resume"),
)
def room_record_resume(ctx: Context, id: str) -> dict[str, str]:
    """End the pause."""
    return _resume(ctx, of_room(id))


@command("leg_record_stop", LegPayload, result="RecordingStop", rest=Rest("DELETE", "/legs/{id}/record"))
def leg_record_stop(ctx: Context, id: str) -> dict[str, Any]:
    """Finish the leg's recording; the reply says where the file is."""
    return _stop(ctx, of_leg(id))


@command(
    "room_record_stop", RoomPayload, result="RoomRecordingStop", rest=Rest("DELETE", "/rooms/{id}/record")
)
def room_record_stop(ctx: Context, id: str) -> dict[str, Any]:
    """Finish the room's recording; the reply says where the files are."""
    return _stop(ctx, of_room(id))


def _with_legs(ctx: Context, room_id: str) -> Room:
    room = ctx.rooms.get(room_id)
    if not room.legs:
        raise Conflict("room has no participants")
    return room


def _target(ctx: Context, node: Node, owner: Owner, fields: dict[str, str]) -> S3Target | None:
    """Where the recording is to go. A bucket that does not exist is refused now, not at the end."""
    node.require("mod_sndfile")
    settings = ctx.config.section(S3Settings)
    target = s3.resolve(
        fields.pop("storage"),
        buckets.configured(settings),
        allow_insecure=settings.allow_insecure_endpoint,
        guard=settings.guard(),
        **fields,
    )
    if target is not None and ctx.get(Recordings).running(owner) is None:
        ctx.get(Uploads).probe(target, settings.request_preflight_timeout)
    return target


def _started(recording: Recording) -> dict[str, str]:
    return {"status": "recording", "file": recording.file}


def _running(ctx: Context, owner: Owner) -> Recording:
    recording = ctx.get(Recordings).running(owner)
    if recording is None:
        raise NotFound("no recording in progress")
    return recording


def _pause(ctx: Context, owner: Owner) -> dict[str, str]:
    changed = recorder.pause(ctx, _running(ctx, owner), True)
    return {"status": "paused" if changed else "already_paused"}


def _resume(ctx: Context, owner: Owner) -> dict[str, str]:
    changed = recorder.pause(ctx, _running(ctx, owner), False)
    return {"status": "resumed" if changed else "not_paused"}


def _stop(ctx: Context, owner: Owner) -> dict[str, Any]:
    report = recorder.stop(ctx, _running(ctx, owner))
    limit = FINISH_TIMEOUT_S + ctx.config.section(S3Settings).upload_timeout
    with gevent.Timeout(limit, SwitchUnavailable(f"not done within {limit:g} s")):
        recording = report.get()
    reply: dict[str, Any] = {"status": "stopped", "file": recording.shown(recording.file)}
    if recording.multi_file:
        reply |= {
            "multi_channel_file": recording.shown(recording.multi_file),
            "channels": recording.channels(),
        }
        if recording.omitted:
            reply["omitted_legs"] = recording.omitted
    return reply
