"""From the end of a recording to its recording.finished, and beyond: publication, merging, upload.

Nothing of this runs in the way of events: files are handled, and uploaded, by the host of the switch.
The report waits for the upload, but not for ever: after S3_UPLOAD_TIMEOUT it names the local file, which
then stays, and the upload goes on. A file that cannot be published, since the switch's user keeps it from us
or the disk is full, is reported as missing, and tried again for as long as it takes.
"""

from __future__ import annotations

import os
import time
from typing import TypeAlias

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.pool import Group

from ...calls.context import Context
from ...errors import Internal, SwitchUnavailable, VsiError
from ...later import Within
from ...model.recording import CLOSING, REPORTED, UNPUBLISHED, Recording
from ...model.sound_stores import Recordings
from ...storage.s3 import S3Target, UploadError
from ...work import clock
from . import persistence
from .events import RecordingFinished
from .failures import Failures
from .settings import S3Settings

log = structlog.get_logger(__name__)

RETRY_S = 60.0
"""Between two attempts to publish what could not be published."""

Uploading: TypeAlias = "dict[str, AsyncResult[str]]"
"""Published file -> its location, when it is uploaded."""


class Publisher:
    """The recordings on their way out of the service."""

    def __init__(self) -> None:
        self._reports: dict[str, AsyncResult[Recording]] = {}
        self._working: dict[str, gevent.Greenlet] = {}
        self._greenlets = Group()

    def __len__(self) -> int:
        return len(self._reports)

    def expect(self, recording: Recording) -> AsyncResult[Recording]:
        """The recording itself, once its recording.finished is out."""
        return self._reports.setdefault(recording.id, AsyncResult())

    def postpone(self, recording: Recording, error: VsiError) -> None:
        """It cannot be stopped now. Whoever waits is told; it is taken up again at the next resync."""
        report = self._reports.pop(recording.id, None)
        if report is not None:
            report.set_exception(error)

    def publish(self, ctx: Context, recording: Recording) -> None:
        """See the recording out. Returns at once; a second call changes nothing."""
        known = ctx.get(Recordings).find(recording.id) is recording
        if known and recording.id not in self._working:
            self._working[recording.id] = self._greenlets.spawn(self._run, ctx, recording)

    def let_go(self, recording: Recording) -> None:
        """Another service sees it out, as it has its switch now."""
        working = self._working.pop(recording.id, None)
        if working is not None:
            working.kill(block=False)
        self.postpone(recording, SwitchUnavailable("another service has the switch of this recording"))

    def discard(self, ctx: Context, recording: Recording) -> None:
        """Delete the files of a recording that will never be published. Returns at once."""
        for _, path in recording.opened:
            self._greenlets.spawn(ctx.host(recording).remove, path)

    def stop(self) -> None:
        """What is not done is taken up by the next process."""
        self._greenlets.kill(block=False)

    def _run(self, ctx: Context, recording: Recording) -> None:
        try:
            if recording.state == CLOSING:
                late = self._finish(ctx, recording)
            else:
                if recording.state == UNPUBLISHED:
                    self._publish(ctx, recording)
                late = self._submit(ctx, recording)
            self._see_late_ones(recording, late)
            if recording.unpublished:
                ctx.timers.at(recording.id, "publish", clock.now() + RETRY_S, self.publish, ctx, recording)
            else:
                persistence.forget(ctx, recording)
        except Exception:
            # its row stays, and the next process or the next resync tries again
            log.exception("recording not seen out", recording=recording.id)
        finally:
            if self._working.get(recording.id) is gevent.getcurrent():
                del self._working[recording.id]
            report = self._reports.pop(recording.id, None)
            if report is not None:
                report.set_exception(Internal("the recording was not published; see the log"))

    def _finish(self, ctx: Context, recording: Recording) -> Uploading:
        """Publish and report. Returns the uploads that the report did not wait for."""
        if not recording.published:
            self._publish(ctx, recording)
        late: Uploading = {}
        if recording.s3:
            late = self._upload(ctx, recording, ctx.config.section(S3Settings).upload_timeout)
        if recording.unpublished:
            recording.state = UNPUBLISHED
        elif recording.s3:
            recording.state = REPORTED if late else CLOSING
        persistence.save(ctx, recording)
        self._report(ctx, recording)
        return late

    def _publish(self, ctx: Context, recording: Recording) -> None:
        """One attempt. What failed for good is given up, the rest stays in `unpublished`."""
        again = recording.state == UNPUBLISHED
        result = ctx.host(recording).publish(recording)
        recording.published = not result.again
        recording.unpublished = result.again
        names = (*result.published, *result.again)
        recording.file = recording.file if recording.file in names else ""
        recording.multi_file = recording.multi_file if recording.multi_file in names else ""
        recording.error = recording.error or result.error
        recording.omitted = result.omitted
        for track in recording.tracks:
            if track.end_ms < 0:
                track.end_ms = track.start_ms + result.ends.get(track.path, 0)
        persistence.save(ctx, recording)
        if result.error:
            if not again:
                ctx.get(Failures).count("publish" if len(names) > len(result.published) else "short")
            log.error(
                "recording not as it should be",
                recording=recording.id,
                error=result.error,
                file=recording.file,
                written_to=recording.part,
                next_attempt_in=RETRY_S if result.again else None,
            )
        elif again:
            log.info("recording published after all", recording=recording.id, files=recording.files())

    def _report(self, ctx: Context, recording: Recording) -> None:
        multi = bool(recording.multi_file)
        ctx.emit(
            RecordingFinished.of(
                recording,
                file=recording.shown(recording.file),
                multi_channel_file=(recording.shown(recording.multi_file) or None) if multi else None,
                channels=recording.channels() if multi else None,
                omitted_legs=recording.omitted or None,
                error=recording.error or None,
            )
        )
        report = self._reports.pop(recording.id, None)
        if report is not None:
            report.set(recording)

    def _upload(self, ctx: Context, recording: Recording, limit: float) -> Uploading:
        """Upload and then remove the local files; those that were not done in time are returned, and stay."""
        deadline = time.monotonic() + limit
        uploading = self._submit(ctx, recording)
        late = dict(uploading)
        for path, result in uploading.items():
            try:
                with Within(max(0.0, deadline - time.monotonic()), False):
                    recording.locations[path] = result.get()
                    del late[path]
            except UploadError as error:
                log.error("upload given up", recording=recording.id, file=path, error=str(error))
                del late[path]
        if recording.locations:
            persistence.save(ctx, recording)  # before the files go, which nobody could upload again
        for path in recording.locations:
            ctx.host(recording).remove(path)
        return late

    def _see_late_ones(self, recording: Recording, late: Uploading) -> None:
        """The local files were reported, so they stay; the copies in the bucket are made all the same."""
        for path, result in late.items():
            try:
                location = result.get()
                log.info("uploaded after the report", recording=recording.id, file=path, location=location)
            except UploadError as error:
                log.error("upload given up", recording=recording.id, file=path, error=str(error))

    def _submit(self, ctx: Context, recording: Recording) -> Uploading:
        if recording.s3 is None:
            return {}
        target = S3Target.from_dict(recording.s3)
        return {
            path: ctx.host(recording).upload(
                f"{recording.id}:{os.path.basename(path)}", target, path, os.path.basename(path)
            )
            for path in recording.files()
            if path not in recording.locations
        }
