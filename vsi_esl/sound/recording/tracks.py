"""The tracks of a multi-channel recording: one for each leg that is, or was, in the room."""

from __future__ import annotations

import os

import structlog

from ...calls.context import Context
from ...errors import SwitchUnavailable
from ...model.leg import Leg
from ...model.owner import of_room
from ...model.recording import RUNNING, Recording, Track
from ...model.room import Room
from ...model.sound_stores import Recordings
from ...work import clock
from . import holds, persistence

log = structlog.get_logger(__name__)


def new_file(recording: Recording, leg: Leg) -> str:
    """A hidden file for a leg that is about to get a track."""
    number = len(recording.opened)
    return recording.open(leg.member_channel, os.path.abspath(recording.part_of(f"track{number}")))


def add(
    recording: Recording,
    room: Room,
    files: list[tuple[str, str]],
    began: list[float],
    from_the_start: bool = False,
) -> None:
    """The switch began to write these (leg, file) at these times; 0 where it could not. Of legs that were
    there `from_the_start` clients are told so, whatever the switch took to open their file."""
    for (leg_id, file), when in zip(files, began, strict=True):
        if when:
            start = recording.elapsed_ms(when)
            track = Track(leg_id, recording.channel_of(leg_id), file, start)
            track.joined_ms = 0 if from_the_start else start
            channel = next(channel for channel, path in recording.opened if path == file)
            if channel != leg_id:
                track.member = channel
            leg = room.legs.get(leg_id)
            holds.note(track.held, leg is not None and leg.held and not track.member, start)
            recording.tracks.append(track)


def end_of_leavers(ctx: Context, recording: Recording, room: Room) -> None:
    """Who left while its file was being opened was not seen to leave."""
    for track in recording.tracks:
        if track.end_ms < 0 and track.leg_id not in room.legs:
            track.end_ms = recording.elapsed_ms(clock.now())
            stop(ctx, recording, track)


def joined(ctx: Context, room: Room, leg: Leg) -> None:
    """A participant more, who gets a track."""
    recording = ctx.get(Recordings).running(of_room(room.id))
    if recording is not None and recording.multi_file:
        ctx.workers.submit(recording.id, _join, ctx, recording, room, leg)


def _join(ctx: Context, recording: Recording, room: Room, leg: Leg) -> None:
    if recording.state != RUNNING or leg.id not in room.legs or recording.track_of(leg.id) is not None:
        return
    channel = leg.member_channel
    file = new_file(recording, leg)
    began = ctx.sound(recording).record_room("", "", [(channel, file)], recording.rate)
    if recording.paused:
        ctx.sound(recording).mask_recording([(channel, file)], True)
    add(recording, room, [(leg.id, file)], began)
    end_of_leavers(ctx, recording, room)
    persistence.save(ctx, recording)


def unseated(ctx: Context, room: Room, leg: Leg) -> None:
    """A participant has lost its member in the room, and its track with it; it gets another with another."""
    recording = ctx.get(Recordings).running(of_room(room.id))
    track = recording.track_of(leg.id) if recording is not None else None
    if recording is not None and track is not None:
        track.end_ms = recording.elapsed_ms(clock.happened())
        persistence.save(ctx, recording)


def stop(ctx: Context, recording: Recording, track: Track) -> None:
    """Close the file of a track whose leg has left."""
    if recording.state != RUNNING:
        return  # all files are about to be closed
    persistence.save(ctx, recording)
    try:
        ctx.sound(recording).stop_recording([(track.recorded, track.path)])
    except SwitchUnavailable as error:
        log.warning("track not stopped", leg_id=track.leg_id, error=error.message)
