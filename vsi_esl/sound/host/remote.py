"""The host of a switch on another machine: a companion beside it is asked to do what must be done there."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gevent
import structlog
from gevent.event import AsyncResult

from ... import __version__
from ...audio import MediaError
from ...audio.spool import Clip
from ...calls.host import HostCounts, Published
from ...config.settings import CompanionLink
from ...errors import Internal, Invalid, Unavailable
from ...model.recording import Recording
from ...storage.s3 import S3Target, UploadError
from ...wire.client import Address, Line, Refused
from ...wire.frames import Message
from ...wire.tls import Identity
from . import asked

log = structlog.get_logger(__name__)

OUTAGE_S = 3.0
"""How long what a client waits for may wait for a companion that is away: one that is started anew is there
by then."""
PUBLISH_OUTAGE_S = 20.0
"""The same of what a client learns by an event."""
CLIP_S = 600.0
"""The companion has limits of its own for fetching and decoding, which are shorter."""
PLACE_S = 4.0
"""Before `naming.place` takes the disk for the culprit."""
PUBLISH_S = 900.0
REMOVE_S = 60.0
PROBE_MORE_S = 5.0
"""Beyond what the look at the bucket may take."""
MOST_DOOMED = 10_000
NOT_IN_RECORDING = ("s3", "locations")
"""What a companion does not need to know to publish it: there are keys in it."""


class RemoteHost:
    """A `calls.host.Host`. `service` is what the companion knows us by, of several services each its own.
    `back` is called in a greenlet of its own each time when the companion is there, `superseded` with the
    fence of another service that has the switch by now, as the companion says."""

    def __init__(
        self,
        switch: str,
        link: CompanionLink,
        service: str,
        *,
        counted: Callable[[str, str, float], None],
        back: Callable[[], object],
        superseded: Callable[[int], None] = lambda _: None,
    ) -> None:
        host, _, port = link.address.rpartition(":")
        host = host.strip("[]")
        self.companion = Line(
            switch,
            Address(host, int(port), link.name or host, Identity(link.ca, link.certificate, link.key)),
            {"service": service, "switch": switch, "release": __version__},
            came=self._came,
            superseded=superseded,
            counted=counted,
        )
        self._back = back
        self._recordings = ""
        self._held: Counter[str] = Counter()
        self._doomed: deque[str] = deque(maxlen=MOST_DOOMED)

    # -- the line --------------------------------------------------------------------------------------------

    def require(self) -> None:
        self.companion.require()

    @property
    def recordings(self) -> str:
        """As the companion has told it."""
        if not self._recordings:
            self.require()
        return self._recordings

    def connect(self, fence: int) -> None:
        """And stay connected."""
        self.companion.start(fence)

    def leave(self) -> None:
        """What plays goes on: the companion keeps what this service holds until the next one holds it."""
        self.companion.leave("another service has this switch")

    def stop(self) -> None:
        """What is not done there is done all the same, or taken up by the next process."""
        self.companion.stop()

    def _came(self, welcome: Message) -> None:
        self._recordings = str(welcome["recordings"])
        self.companion.tell({"kind": asked.HOLDING, "paths": list(self._held)})
        gevent.spawn(self._after_coming)

    def _after_coming(self) -> None:
        while self._doomed and self.companion.connected:
            self.remove(self._doomed.popleft())
        self._back()

    # -- to be played ----------------------------------------------------------------------------------------

    def tone_clip(self, name: str) -> Clip:
        return self._clip({"tone": name})

    def url_clip(self, url: str, mime_type: str, repeat: int) -> Clip:
        return self._clip({"url": url, "mime_type": mime_type, "repeat": repeat})

    def _clip(self, what: Message) -> Clip:
        try:
            return Clip(**self.companion.ask(asked.CLIP, what, CLIP_S, OUTAGE_S))
        except (Refused, Unavailable) as error:
            raise MediaError(error.message) from error

    def hold(self, clip: Clip) -> None:
        self._held[clip.path] += 1
        if self._held[clip.path] == 1:
            self.companion.tell({"kind": asked.HOLD, "path": clip.path})

    def release(self, path: str) -> None:
        if self._held[path] > 1:
            self._held[path] -= 1
            return
        del self._held[path]
        self.companion.tell({"kind": asked.RELEASE, "path": path})

    # -- recorded --------------------------------------------------------------------------------------------

    def place(self, directory: str, file: str) -> bool:
        try:
            what = {"directory": directory, "file": file}
            return bool(self.companion.ask(asked.PLACE, what, PLACE_S, OUTAGE_S))
        except Refused as error:
            raise Internal(error.message) from error

    def publish(self, recording: Recording) -> Published:
        members: dict[str, Any] = asdict(recording)
        for name in NOT_IN_RECORDING:
            del members[name]
        try:
            what = {"recording": members}
            return Published(**self.companion.ask(asked.PUBLISH, what, PUBLISH_S, PUBLISH_OUTAGE_S))
        except (Refused, Unavailable) as error:
            wanted = [recording.file] if recording.started_at else []
            wanted += [recording.multi_file] if recording.multi_file else []
            return Published(again=wanted, error=f"recording not published: {error.message}")

    def remove(self, path: str) -> None:
        try:
            self.companion.ask(asked.REMOVE, {"path": path}, REMOVE_S, OUTAGE_S)
        except Unavailable:
            self._doomed.append(path)
        except Refused as error:
            log.warning("file not deleted", file=path, error=error.message)

    # -- uploaded --------------------------------------------------------------------------------------------

    def probe(self, target: S3Target, timeout: float) -> None:
        if not timeout:
            return
        what = {"target": target.to_dict(), "timeout": timeout}
        try:
            self.companion.ask(asked.PROBE, what, timeout + PROBE_MORE_S, OUTAGE_S)
        except Refused as error:
            raise (Invalid if error.kind == asked.INVALID else Internal)(error.message) from error

    def upload(self, upload_id: str, target: S3Target, path: str, name: str) -> AsyncResult[str]:
        """The companion keeps it on its disk until it is done, whatever becomes of either of us."""
        result: AsyncResult[str] = AsyncResult()
        what = {"upload_id": upload_id, "target": target.to_dict(), "path": path, "name": name}

        def done(answer: AsyncResult[Any]) -> None:
            if answer.exception is None:
                result.set(str(answer.value))
            else:
                result.set_exception(UploadError(str(answer.exception), final=True))

        try:
            self.companion.follow(asked.UPLOAD, what, upload_id).rawlink(done)
        except Unavailable as error:
            result.set_exception(UploadError(error.message))
        return result

    @property
    def counts(self) -> HostCounts:
        """As the companion said last."""
        known = self.companion.status.get("counts", {})
        return HostCounts(**{name: int(known.get(name, 0)) for name in HostCounts.__slots__})
