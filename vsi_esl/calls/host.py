"""What must happen where the files and the audio of a switch are: its host, one for each switch.

A service on the switch's machine does it itself (`sound.host.local`); on another one there is a companion
beside the switch, which is asked to (`sound.host.remote`). What a switch plays is there when it is told to,
and what it writes is taken up there: nothing else of the service opens such a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gevent.event import AsyncResult

from ..audio.spool import Clip
from ..model.recording import Recording
from ..storage.s3 import S3Target

if TYPE_CHECKING:
    from ..wire.client import Line


@dataclass(slots=True)
class Published:
    """What became of a recording's files."""

    published: list[str] = field(default_factory=list)
    """The final names under which there are files now."""
    again: list[str] = field(default_factory=list)
    """Final names that can be tried again: what failed may be mended, such as a file that cannot be read."""
    ends: dict[str, int] = field(default_factory=dict)
    """Track file -> its length in ms, for tracks whose end nobody saw."""
    omitted: list[str] = field(default_factory=list)
    """Legs whose track could not be read."""
    error: str = ""


@dataclass(slots=True, frozen=True)
class HostCounts:
    """For /metrics: how much is under way, and what happened since the start."""

    fetches_refused: int
    uploads: int
    """Not done."""
    upload_attempts: int
    upload_failures: int
    uploads_refused: int
    buckets_unverified: int


class Host(Protocol):
    """All paths are those of the switch. What waits does so without holding up the event loop, and may raise
    Unavailable (503) where a companion is away."""

    @property
    def companion(self) -> Line | None:
        """The line to the companion; None where the switch is on the service's machine."""

    def connect(self, fence: int) -> None:
        """This service has the switch from now on: be there for it. `fence` is that of its turn, where
        several have it one after the other; else 0."""

    def leave(self) -> None:
        """Another service has the switch from now on: do nothing for it any more."""

    def require(self) -> None:
        """Raise CompanionAway (503) when nothing can be done there at the moment."""

    @property
    def recordings(self) -> str:
        """The directory of recordings."""

    # -- to be played --

    def tone_clip(self, name: str) -> Clip:
        """A tone, endless. Raises MediaError for an unknown one. May wait."""

    def url_clip(self, url: str, mime_type: str, repeat: int) -> Clip:
        """The audio at `url`, fetched and decoded, `repeat` times: 0 and 1 are once, negative is endless.
        Raises MediaError. Waits."""

    def hold(self, clip: Clip) -> None:
        """Keep the clip's file. To be called before anything else runs after the clip was returned."""

    def release(self, path: str) -> None:
        """The end of one hold."""

    # -- recorded --

    def place(self, directory: str, file: str) -> bool:
        """Make ready to record to `file`: whether there is one of this name already. Internal when nothing
        can be written in the directory. Waits."""

    def publish(self, recording: Recording) -> Published:
        """Give the files of a recording their final names, whole and never over another file. Repeating it
        after a failure completes it. Waits. Raises nothing: what is away is to be tried again."""

    def remove(self, path: str) -> None:
        """Delete a file, if it is there. Waits."""

    # -- uploaded --

    def probe(self, target: S3Target, timeout: float) -> None:
        """See that a bucket is there, for at most `timeout` seconds; 0 for not. Raises Invalid for one that
        is not. Waits."""

    def upload(self, upload_id: str, target: S3Target, path: str, name: str) -> AsyncResult[str]:
        """Have a file uploaded as the target's prefix + `name`, repeated until it has arrived. The file
        stays. The result is the location, or UploadError."""

    @property
    def counts(self) -> HostCounts: ...
