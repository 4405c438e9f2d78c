"""Recording a leg or a room."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from ...calls.context import Context
from ...calls.nodes import Node
from ...commands.twins import find, for_leg_and_room
from ...errors import Conflict, NotFound, SwitchUnavailable
from ...later import Within
from ...model.leg import Leg
from ...model.owner import Owner
from ...model.recording import ChannelInfo, Recording
from ...model.room import Room
from ...model.sound_stores import Recordings
from ...protocol.limits import Choice
from ...protocol.registry import Body, Rest
from ...protocol.replies import Status
from ...protocol.schemas import Boolean, Payload, Text, about
from ...storage import s3
from ...storage.s3 import S3Target
from . import buckets, naming, recorder
from .settings import S3Settings

FINISH_TIMEOUT_S = 300.0
"""Longest wait for a file to be closed and merged; the upload has its own limit on top."""


class RecordStart(Payload):
    storage = Text(
        choice=Choice("storage", s3.STORAGES), metadata=about("Where it goes: file (when empty) or s3.")
    )
    filename = Text(metadata=about("Name of the file; made up when empty."))
    multi_channel = Boolean(default=False, metadata=about("One track per participant as well; rooms only."))
    s3_bucket = Text()
    s3_region = Text()
    s3_endpoint = Text()
    s3_prefix = Text()
    s3_access_key = Text()
    s3_secret_key = Text()


class RecordingStart(TypedDict):
    """A recording that has begun."""

    status: Literal["recording"]
    file: str


class RecordingStop(TypedDict):
    """A recording that is finished."""

    status: Literal["stopped"]
    file: str


class RoomRecordingStop(RecordingStop):
    """A room's, which may have a channel for each participant."""

    multi_channel_file: NotRequired[str]
    channels: NotRequired[dict[str, ChannelInfo]]
    omitted_legs: Annotated[NotRequired[list[str]], "Whose track could not be read."]


@for_leg_and_room(
    "leg_record_start",
    "room_record_start",
    RecordStart,
    rest=Rest("POST", "/record", body=Body.OPTIONAL),
    leg="Record one leg in stereo: left what it says, right what it hears.",
    room="Record the mix of a room, and with multi_channel one track per participant.",
)
def record_start(
    ctx: Context, owner: Owner, filename: str, multi_channel: bool, **storage: str
) -> RecordingStart:
    node = ctx.node(find(ctx, owner))
    node.host.require()
    target = _target(ctx, node, owner, storage)
    _recordable(ctx, owner)
    file = naming.place(ctx, node.host, owner, filename)
    found = _recordable(ctx, owner)  # the bucket and the disk were looked at meanwhile
    if isinstance(found, Leg):
        recording = recorder.start_leg(ctx, found, target, file)
    else:
        recording = recorder.start_room(ctx, found, target, file, multi_channel)
    return {"status": "recording", "file": recording.file}


@for_leg_and_room(
    "leg_record_pause",
    "room_record_pause",
    rest=Rest("POST", "/record/pause"),
    leg="Record silence from now on; the time goes on.",
    room="Record silence from now on, in the mix and in every track; the time goes on.",
)
def record_pause(ctx: Context, owner: Owner) -> Status[Literal["paused", "already_paused"]]:
    changed = recorder.pause(ctx, _running(ctx, owner), True)
    return {"status": "paused" if changed else "already_paused"}


@for_leg_and_room(
    "leg_record_resume",
    "room_record_resume",
    rest=Rest("POST", "/record/resume"),
    leg="End the pause.",
    room="End the pause.",
)
def record_resume(ctx: Context, owner: Owner) -> Status[Literal["resumed", "not_paused"]]:
    changed = recorder.pause(ctx, _running(ctx, owner), False)
    return {"status": "resumed" if changed else "not_paused"}


@for_leg_and_room(
    "leg_record_stop",
    "room_record_stop",
    rest=Rest("DELETE", "/record"),
    leg="Finish the leg's recording; the reply says where the file is.",
    room="Finish the room's recording; the reply says where the files are.",
    room_reply=RoomRecordingStop,
)
def record_stop(ctx: Context, owner: Owner) -> RecordingStop:
    report = recorder.stop(ctx, _running(ctx, owner))
    limit = FINISH_TIMEOUT_S + ctx.config.section(S3Settings).upload_timeout
    with Within(limit, SwitchUnavailable(f"not done within {limit:g} s")):
        recording = report.get()
    reply: RoomRecordingStop = {"status": "stopped", "file": recording.shown(recording.file)}
    if recording.multi_file:
        reply["multi_channel_file"] = recording.shown(recording.multi_file)
        reply["channels"] = recording.channels()
        if recording.omitted:
            reply["omitted_legs"] = recording.omitted
    return reply


def _recordable(ctx: Context, owner: Owner) -> Leg | Room:
    found = find(ctx, owner)
    if isinstance(found, Room) and not found.legs:
        raise Conflict("room has no participants")
    return found


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
        node.host.probe(target, settings.request_preflight_timeout)
    return target


def _running(ctx: Context, owner: Owner) -> Recording:
    recording = ctx.get(Recordings).running(owner)
    if recording is None:
        raise NotFound("no recording in progress")
    return recording
