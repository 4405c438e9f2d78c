"""What services can ask about files; each is harmless when it is asked twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gevent
from gevent.event import AsyncResult

from ..audio import MediaError
from ..errors import Invalid
from ..model.recording import Recording
from ..sound.host import asked
from ..sound.host.local import LocalHost
from ..storage.s3 import S3Target
from ..wire.frames import Message
from ..wire.server import Failed, Operation, Peer
from .held import Held
from .places import Places
from .uploads import Desk

LONGEST_PROBE_S = 30.0
MOST_PUBLISHED = 1000
"""Recordings at the same time; more are to be asked for again."""


class Operations:
    """On the host of this machine, in these places."""

    def __init__(self, host: LocalHost, places: Places, held: Held, desk: Desk) -> None:
        self._host, self._places, self._held, self._desk = host, places, held, desk
        self._publishing: dict[str, AsyncResult[Message]] = {}

    def all(self) -> dict[str, Operation]:
        """By what is asked."""
        found: dict[str, Callable[[Message], Any]] = {
            asked.CLIP: self._clip,
            asked.PLACE: self._place,
            asked.PUBLISH: self._publish,
            asked.REMOVE: self._remove,
            asked.PROBE: self._probe,
            asked.UPLOAD: self._upload,
        }
        return {name: _of(operation) for name, operation in found.items()}

    def told(self, peer: Peer, message: Message) -> bool:
        """What is said about files without asking; false for what is about something else."""
        match message["kind"]:
            case asked.HOLD:
                self._held.hold(peer.holder, message["path"])
            case asked.RELEASE:
                self._held.release(peer.holder, message["path"])
            case asked.HOLDING:
                self._held.all_of(peer.holder, list(message["paths"]))
            case "settled":
                self._desk.settled(str(message["id"]))
            case _:
                return False
        return True

    def _clip(self, args: Message) -> Message:
        try:
            if "tone" in args:
                clip = self._host.tone_clip(str(args["tone"]))
            else:
                clip = self._host.url_clip(str(args["url"]), str(args["mime_type"]), int(args["repeat"]))
        except MediaError as error:
            raise Failed(asked.MEDIA, error.message) from error
        self._held.for_a_while(clip, asked.GRACE_S)
        return asdict(clip)

    def _place(self, args: Message) -> bool:
        directory, file = str(args["directory"]), str(args["file"])
        self._places.check([directory, file])
        return self._host.place(directory, file)

    def _publish(self, args: Message) -> AsyncResult[Message]:
        """A service that had no answer in time, or is another process now, asks again while it is being
        done."""
        recording = Recording.from_dict(dict(args["recording"]))
        self._places.check_recording(recording)
        going = self._publishing.get(recording.id)
        if going is None and len(self._publishing) >= MOST_PUBLISHED:
            raise Failed(asked.INTERNAL, "too many recordings are being published")
        if going is None:
            going = self._publishing[recording.id] = AsyncResult()
            gevent.spawn(self._publish_now, recording, going)
        return going

    def _publish_now(self, recording: Recording, going: AsyncResult[Message]) -> None:
        try:
            done = asdict(self._host.publish(recording))
        except Exception as error:
            going.set_exception(Failed(asked.INTERNAL, f"not published: {type(error).__name__}"))
        else:
            going.set(done)
        finally:
            del self._publishing[recording.id]

    def _remove(self, args: Message) -> None:
        path = str(args["path"])
        self._places.check([path])
        self._host.remove(path)

    def _probe(self, args: Message) -> None:
        try:
            timeout = min(float(args["timeout"]), LONGEST_PROBE_S)
            self._host.probe(S3Target.from_dict(dict(args["target"])), timeout)
        except Invalid as error:
            raise Failed(asked.INVALID, error.message) from error

    def _upload(self, args: Message) -> AsyncResult[str]:
        path, name = str(args["path"]), str(args["name"])
        self._places.check([path])
        return self._desk.upload(str(args["upload_id"]), S3Target.from_dict(dict(args["target"])), path, name)


def _of(operation: Callable[[Message], Any]) -> Operation:
    return lambda _, args: operation(args)
