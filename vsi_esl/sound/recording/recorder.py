"""Recordings: started, paused and stopped on the switch, which writes to a hidden file beside the final one.

Everything done to one recording is done by its own worker, in order. What is recorded of a leg goes on
wherever the leg goes; the recording of a room ends with its last leg.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack

import gevent
import structlog
from gevent.event import AsyncResult

from ...calls import internal
from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import Internal, LegGone, SwitchUnavailable, VsiError
from ...later import Within
from ...model.leg import Leg
from ...model.owner import of_leg, of_room
from ...model.recording import (
    ABANDONED,
    ARMED,
    CLOSING,
    REPORTED,
    RUNNING,
    UNPUBLISHED,
    Part,
    Recording,
    file_name,
)
from ...model.room import Room
from ...model.sound_stores import Recordings
from ...storage.s3 import S3Target
from ...switch.snapshot import Snapshot
from ...work import clock
from . import holds, naming, persistence, tracks
from .events import RecordingPaused, RecordingResumed, RecordingStarted
from .failures import Failures
from .publisher import Publisher
from .settings import S3Settings

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0
LEAD_MS = 60
"""The first frames of a recording are silent: 40 ms were measured."""
RETRY_S = 5.0
DELETION_WAIT_S = 30.0
"""How long the deletion of a room waits for its recording, beside the upload."""


def start_leg(ctx: Context, leg: Leg, target: S3Target | None, file: str) -> Recording:
    """Record a leg from now on, or from when it has media, to a file that `naming.place` gave."""
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    recording = naming.new_recording(ctx, leg, room.sample_rate if room else leg.channel.rate, target, file)
    _start(ctx, recording, _begin_leg, leg)
    return recording


def start_room(
    ctx: Context, room: Room, target: S3Target | None, file: str, multi_channel: bool
) -> Recording:
    """Record what a room hears, and with `multi_channel` each of its legs as well."""
    recording = naming.new_recording(ctx, room, room.sample_rate, target, file)
    if multi_channel:
        directory = os.path.dirname(recording.file)
        recording.multi_file = os.path.join(directory, file_name(time.time(), "multichannel_"))
        recording.multi_part = recording.part_of("multi")
    _start(ctx, recording, _begin_room, room)
    return recording


def _start(ctx: Context, recording: Recording, begin: Callable[..., None], owner: Leg | Room) -> None:
    recording.beginning = True
    persistence.begin(ctx, recording)
    try:
        ctx.workers.run(recording.id, START_TIMEOUT_S, _start_now, ctx, recording, begin, owner)
    except Exception as error:
        ctx.get(Failures).count("start")
        log.error("recording not started", recording=recording.id, file=recording.part, error=str(error))
        recording.state = ABANDONED
        persistence.save(ctx, recording)
        ctx.workers.submit(recording.id, _abandon, ctx, recording)
        raise


def _start_now(ctx: Context, recording: Recording, begin: Callable[..., None], owner: Leg | Room) -> None:
    begin(ctx, recording, owner)
    if recording.state == ABANDONED:
        return  # nobody waited that long
    _tell_started(ctx, recording)
    if isinstance(owner, Room) and not owner.legs and recording.running:
        stop(ctx, recording)  # they left while it began


def _tell_started(ctx: Context, recording: Recording) -> None:
    recording.beginning = False
    persistence.settle(
        ctx, recording
    )  # a process that ends now must not be followed by one that tells it again
    ctx.emit(RecordingStarted.of(recording, file=recording.file))


def _abandon(ctx: Context, recording: Recording) -> None:
    """Undo a start that failed, or that may have."""
    if ctx.get(Recordings).find(recording.id) is not recording:
        return
    try:
        ctx.sound(recording).stop_recording(recording.opened)
    except SwitchUnavailable:
        return  # `readopt` comes back to it
    if recording.recorder:
        ctx.sound(recording).dismiss(recording.recorder)
    persistence.forget(ctx, recording)
    ctx.get(Publisher).discard(ctx, recording)


def _began(recording: Recording, when: float) -> None:
    """The first sample is being written. An end that was asked for meanwhile stays one."""
    recording.started_at = when
    if recording.state == ARMED:
        recording.state = RUNNING


def _begin_leg(ctx: Context, recording: Recording, leg: Leg) -> None:
    if not leg.has_media or leg.ending or not recording.running:
        return  # armed: `media_up` comes when there is something to record
    try:
        ctx.sound(recording).record_leg(leg, recording.open(leg.id, recording.part), recording.rate)
    except Internal:
        if ctx.legs.find(leg.id) is not leg or leg.ending:
            return  # it hung up meanwhile: an empty recording, reported with the leg's end
        if not ctx.switch(leg).is_up(leg):
            raise LegGone(f"leg {leg.id} has been hung up") from None
        raise
    _began(recording, clock.now())
    holds.note(recording.held, leg.held, 0)
    if recording.paused:
        ctx.sound(recording).mask_recording([(leg.id, recording.part)], True)


def renew(ctx: Context, leg: Leg) -> None:
    """The leg got a whisper, which only recordings begun after it can hear: go on in another file."""
    recording = ctx.get(Recordings).running(of_leg(leg.id))
    if recording is not None:
        ctx.workers.submit(recording.id, _renew, ctx, recording, leg)


def _renew(ctx: Context, recording: Recording, leg: Leg) -> None:
    if recording.state != RUNNING or leg.ending:
        return
    before = (leg.id, recording.part)
    path = recording.open(leg.id, os.path.abspath(recording.part_of(f"part{len(recording.parts)}")))
    try:
        began = ctx.sound(recording).record_leg_on(leg, path, recording.rate)
        if recording.paused:
            ctx.sound(recording).mask_recording([(leg.id, path)], True)
    except VsiError as error:
        log.warning("a playback will not be in the recording", leg_id=leg.id, error=error.message)
        return
    recording.parts.append(Part(path, recording.elapsed_ms(began) + LEAD_MS, LEAD_MS))
    persistence.save(ctx, recording)
    gevent.sleep(2 * LEAD_MS / 1000)  # the old file goes on where the new one is not used yet
    ctx.sound(recording).stop_recording([before])


def _begin_room(ctx: Context, recording: Recording, room: Room) -> None:
    def make(channel: str) -> None:
        recording.recorder = channel
        ctx.sound(recording).listen_in(channel, room.conference, room.sample_rate)

    internal.place(ctx.node(recording), recording.id, make, lambda: recording.state != ABANDONED)
    mix = recording.open(recording.recorder, recording.part)
    legs = list(room.legs.values()) if recording.multi_file else []
    files = [(leg.id, tracks.new_file(recording, leg)) for leg in legs]
    members = recording.opened[-len(files) :] if files else []
    began = ctx.sound(recording).record_room(recording.recorder, mix, members, recording.rate)
    _began(recording, began[0])
    tracks.add(recording, room, files, began[1:], from_the_start=True)
    tracks.end_of_leavers(ctx, recording, room)


# -- pause, resume, stop -------------------------------------------------------------------------------


def pause(ctx: Context, recording: Recording, on: bool) -> bool:
    """Silence in all files from now on, or sound again. False when it is so already."""
    return bool(ctx.workers.run(recording.id, START_TIMEOUT_S, _pause, ctx, recording, on))


def _pause(ctx: Context, recording: Recording, on: bool) -> bool:
    if recording.paused is on or not recording.running:
        return False
    ctx.sound(recording).mask_recording(_running_files(recording), on)
    recording.paused = on
    persistence.save(ctx, recording)
    kind = RecordingPaused if on else RecordingResumed
    ctx.emit(kind.of(recording))
    return True


def _running_files(recording: Recording) -> list[tuple[str, str]]:
    """(channel, file) of everything the switch is writing."""
    if recording.state != RUNNING:
        return []
    channel = recording.leg_id or recording.recorder
    tracks = [(track.recorded, track.path) for track in recording.tracks if track.end_ms < 0]
    return [(channel, recording.part), *tracks]


def stop(ctx: Context, recording: Recording) -> AsyncResult[Recording]:
    """End a recording; the result is it, once recording.finished is out.

    It is closing from now on, but closed behind what its worker is doing, which may be opening files.
    """
    report = ctx.get(Publisher).expect(recording)
    if recording.running:
        now = clock.happened()
        _closing(ctx, recording, now)
        ctx.workers.submit(recording.id, _close, ctx, recording)
    return report


def finish_room(ctx: Context, room: Room) -> None:
    """End the recording of a room, and wait until its recording.finished is out; not for ever."""
    unfinished = ctx.get(Recordings).unfinished(of_room(room.id))
    reports = [stop(ctx, recording) for recording in unfinished]
    limit = DELETION_WAIT_S + ctx.config.section(S3Settings).upload_timeout
    with Within(limit, False):
        gevent.wait(reports)
    if not all(report.ready() for report in reports):
        log.warning("room deleted before its recording was published", room_id=room.id)


def _closing(ctx: Context, recording: Recording, now: float) -> None:
    """`now` is 0 when it ended unseen, so that only the files can tell how long it was."""
    recording.state, recording.stopped_at = CLOSING, now
    for track in recording.tracks:
        if track.end_ms < 0 and now:
            track.end_ms = recording.elapsed_ms(now)
    persistence.save(ctx, recording)


def _close(ctx: Context, recording: Recording) -> None:
    if ctx.get(Recordings).find(recording.id) is not recording:
        return  # somebody was faster
    if recording.published:
        ctx.get(Publisher).publish(ctx, recording)
        return
    files = recording.opened
    try:
        with ExitStack() as waiting:
            closed = [
                waiting.enter_context(ctx.node(recording).waits.expect("closed", file)) for _, file in files
            ]
            ending = ctx.sound(recording).stop_recording(files)
            # the answer comes before the file is closed, and before an empty one is removed
            with Within(CLOSE_TIMEOUT_S, False):
                gevent.wait([one for one, now in zip(closed, ending, strict=True) if now])
    except SwitchUnavailable as error:
        ctx.get(Publisher).postpone(recording, error)
        ctx.timers.at(recording.id, "close", clock.now() + RETRY_S, _close_later, ctx, recording)
        return
    if recording.recorder:
        ctx.sound(recording).dismiss(recording.recorder)
    ctx.get(Publisher).publish(ctx, recording)


def _close_later(ctx: Context, recording: Recording) -> None:
    """The switch did not answer, or is away; when it is back, `readopt` may have been faster."""
    ctx.workers.submit(recording.id, _close, ctx, recording)


# -- what happens to legs and rooms ----------------------------------------------------------------------


def media_up(ctx: Context, leg: Leg) -> None:
    """The leg has media now: begin what was armed."""
    recording = ctx.get(Recordings).running(of_leg(leg.id))
    if recording is not None and recording.state == ARMED:
        ctx.workers.submit(recording.id, _begin_armed, ctx, recording, leg)


def _begin_armed(ctx: Context, recording: Recording, leg: Leg) -> None:
    if recording.state != ARMED or recording.opened:
        return
    try:
        _begin_leg(ctx, recording, leg)
    except VsiError as error:
        recording.error = error.message
        log.warning("armed recording not started", leg_id=leg.id, error=error.message)
    persistence.save(ctx, recording)


def leg_ended(ctx: Context, leg: Leg, room_id: str) -> list[AsyncResult[Recording]]:
    """The leg is gone, and the switch has closed its file. Returns what its last event is to wait for: its
    own recordings, and those of its room that ended with it."""
    reports = []
    # the switch mostly reports that it left before that it ended
    last_of = ctx.get(Recordings).ended_by(leg.id)
    if room_id and (room := ctx.rooms.find(room_id)) is not None and not room.legs:
        last_of = of_room(room_id)
    if last_of is not None:
        reports += [ctx.get(Publisher).expect(one) for one in ctx.get(Recordings).unfinished(last_of)]
    for recording in ctx.get(Recordings).unfinished(of_leg(leg.id)):
        if recording.running:
            _closing(ctx, recording, 0.0 if leg.unseen else clock.happened())
            ctx.workers.submit(recording.id, ctx.get(Publisher).publish, ctx, recording)
        reports.append(ctx.get(Publisher).expect(recording))
    return reports


def left_room(ctx: Context, room: Room, leg: Leg) -> None:
    """A participant less; the last one ends the recording."""
    recording = ctx.get(Recordings).running(of_room(room.id))
    if recording is None:
        return
    track = recording.track_of(leg.id)
    if track is not None:
        track.end_ms = recording.elapsed_ms(clock.happened())
    if not room.legs:
        ctx.get(Recordings).note_end(recording.owner, leg.id)
        stop(ctx, recording)
    elif track is not None:
        ctx.workers.submit(recording.id, tracks.stop, ctx, recording, track)


def stopped_by_switch(ctx: Context, node: Node, file: str) -> None:
    """The switch closed a file. When nobody asked for that, the recording is over."""
    if node.waits.fulfil("closed", file):
        return
    recording = ctx.get(Recordings).written_to(file)
    if recording is not None and recording.state == RUNNING:
        leg = ctx.legs.find(recording.leg_id) if recording.leg_id else None
        if recording.leg_id and (leg is None or leg.ending):
            return  # with the call, whose end is about to be reported
        log.warning("the switch ended a recording", recording=recording.id, file=recording.file)
        stop(ctx, recording)


# -- after a restart of the service, or of the connection ------------------------------------------------


def readopt(ctx: Context, node: Node, snapshot: Snapshot) -> None:
    """Know again what is being recorded, and finish what ended, or was to be ended, meanwhile."""
    of_before = set()
    for body in ctx.state.items(persistence.KIND):
        known = Recording.from_dict(body)
        if ctx.node(known) is node and ctx.get(Recordings).find(known.id) is None:
            ctx.get(Recordings).add(known)
            of_before.add(known.id)
    for recording in ctx.get(Recordings):
        if ctx.node(recording) is not node:
            continue
        if recording.beginning and recording.id in of_before and recording.state != ABANDONED:
            _tell_started(ctx, recording)  # so that its end is not the first that is heard of it
        if recording.state in (REPORTED, UNPUBLISHED):
            ctx.get(Publisher).publish(ctx, recording)
        elif recording.state == CLOSING:
            ctx.workers.submit(recording.id, _close, ctx, recording)
        elif recording.state == ABANDONED:
            ctx.workers.submit(recording.id, _abandon, ctx, recording)
        elif recording.leg_id:
            _readopt_leg(ctx, recording)
        elif recording.state != ARMED or recording.id in of_before:  # else it is being begun
            _readopt_room(ctx, recording, snapshot)


def _readopt_leg(ctx: Context, recording: Recording) -> None:
    leg = ctx.legs.find(recording.leg_id)
    if leg is None:
        _closing(ctx, recording, 0.0)
        ctx.get(Publisher).publish(ctx, recording)
    elif not leg.unseen:
        media_up(ctx, leg)  # a leg that is gone is reported in a moment, and its recording before it


def _readopt_room(ctx: Context, recording: Recording, snapshot: Snapshot) -> None:
    room = ctx.rooms.find_on(recording.room_id, recording.node)
    if recording.recorder not in snapshot.memberships:
        _closing(ctx, recording, 0.0)
        ctx.workers.submit(recording.id, _close, ctx, recording)
    elif room is None or not room.legs:
        # the tracks ended with the calls, unseen
        recording.state, recording.stopped_at = CLOSING, clock.now()
        persistence.save(ctx, recording)
        ctx.workers.submit(recording.id, _close, ctx, recording)
    else:
        for leg in room.legs.values():
            tracks.joined(ctx, room, leg)
        ctx.workers.submit(recording.id, tracks.end_of_leavers, ctx, recording, room)
