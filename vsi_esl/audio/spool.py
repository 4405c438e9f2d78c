"""Audio files as the switch plays them: fetched or rendered, as 16-bit mono WAV, kept for the next time.

A fetched file is stored once under the hash of its content, and a second time with its repetitions in a row
if it is played more than once: the switch leaves a gap where it starts a file again, so it gets a file in
which that happens every ten minutes at most.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import gevent
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from ..later import Within
from . import MediaError, tones, wav
from .decode import MAX_SECONDS, Kind, decode_as, kind_of
from .fetch import Fetcher, Response
from .files import JOB_SECONDS, CacheFiles, Jobs
from .tones import Tone
from .wav import WavInfo

log = logging.getLogger(__name__)

VERSION = 1
"""Part of every file name; to be raised when the content of the files changes."""

MAX_FETCHES = 16
MAX_ENTRIES = 4096
"""URLs whose validators are remembered."""

UNROLLED_SECONDS = 60
TONE_RATE = 8000


@dataclass(slots=True, frozen=True)
class Clip:
    """A file to play: its length, how long it is to be heard (None = until stopped), both in ms, and
    whether the switch has to repeat it."""

    path: str
    duration_ms: int
    total_ms: int | None
    loop: bool


@dataclass(slots=True, frozen=True)
class _Entry:
    """What is known of a URL: its file, how to ask whether it changed, and from when to ask (monotonic)."""

    info: WavInfo
    validators: dict[str, str]
    fresh_until: float


@dataclass(slots=True)
class _Flight:
    """A fetch that several playbacks may wait for. Its file stays pinned until the last of them is done."""

    result: AsyncResult = field(default_factory=AsyncResult)
    users: int = 0
    path: str = ""


class Spool:
    """The cache directory. Clips stay on disk while held; others may be removed to keep to `max_bytes`."""

    def __init__(
        self,
        directory: str,
        fetcher: Fetcher,
        *,
        max_bytes: int = 2 << 30,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self.refused = 0
        self.fetcher = fetcher
        self.max_seconds = max_seconds
        self._jobs = Jobs()
        self._files = CacheFiles(directory, max_bytes, self._jobs)
        self._fetches = BoundedSemaphore(MAX_FETCHES)
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    # -- what callers use --

    def hold(self, clip: Clip) -> None:
        """Keep the clip's file. To be called before anything else runs after the clip was returned."""
        self._files.pin(clip.path)

    def release(self, path: str) -> None:
        """The end of one hold."""
        self._files.unpin(path)

    def url_clip(self, url: str, mime_type: str, repeat: int) -> Clip:
        """The audio at `url`, `repeat` times: 0 and 1 are once, negative is endless. Raises MediaError."""
        flight = self._join(url, mime_type)
        try:
            info = self._landed(flight)
            if repeat in (0, 1):
                return Clip(info.path, info.duration_ms, info.duration_ms, False)
            return self._repeated(info, repeat)
        finally:
            self._leave(flight)

    def tone_clip(self, name: str) -> Clip:
        """A tone, endless. Raises MediaError for an unknown one."""
        tone = tones.find(name)
        path = self._files.path(f"tone-{tone.name}-{TONE_RATE}-v{VERSION}.wav")
        info = self._made(path, _tone_file, tone)
        return Clip(path, info.duration_ms, None, True)

    def _made(self, path: str, make: Callable[..., tuple[WavInfo, bool]], *of: object) -> WavInfo:
        """The file at `path`, by `make(path, *of)` unless it is known to be there."""
        info = self._files.whole(path)
        if info is None:
            with self._files.keeping(path):
                info, written = self._jobs.run(make, path, *of)
                self._files.found_whole(info)
                if written:
                    self._files.evict()
        return info

    # -- repetitions --

    def _repeated(self, info: WavInfo, repeat: int) -> Clip:
        enough = UNROLLED_SECONDS * info.rate
        wanted = -(-enough // info.frames)
        loop = repeat < 0 or repeat * info.frames > enough
        copies = wanted if loop else repeat
        total_ms = None if repeat < 0 else repeat * info.frames * 1000 // info.rate
        if copies == 1:
            return Clip(info.path, info.duration_ms, total_ms, loop)
        path = f"{info.path.removesuffix('.wav')}-x{copies}.wav"
        unrolled = self._made(path, _unrolled_file, info, copies)
        return Clip(path, unrolled.duration_ms, total_ms, loop)

    # -- fetching once for everybody who waits --

    def _join(self, url: str, mime_type: str) -> _Flight:
        key = (url, mime_type)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(users=1)
            # a greenlet of its own: a playback that is stopped must not end the fetch of the others
            gevent.spawn(self._fly, key, flight)
        flight.users += 1
        return flight

    def _leave(self, flight: _Flight) -> None:
        flight.users -= 1
        if flight.users == 0 and flight.path:
            self._files.unpin(flight.path)

    def _landed(self, flight: _Flight) -> WavInfo:
        # the wait for a turn, the exchange, and the decoding each have their deadline
        seconds = 2 * self.fetcher.timeout + 3 * JOB_SECONDS
        with Within(seconds, self.fetcher.late()):
            info: WavInfo = flight.result.get()
            return info

    def _fly(self, key: tuple[str, str], flight: _Flight) -> None:
        try:
            flight.result.set(self._load(key, flight))
        except MediaError as error:
            flight.result.set_exception(error)
        except Exception as error:
            log.exception("a fetch failed unexpectedly")
            flight.result.set_exception(error)
        finally:
            del self._flights[key]
            self._leave(flight)

    def _load(self, key: tuple[str, str], flight: _Flight) -> WavInfo:
        """The decoded file of a URL, pinned by the flight."""
        entry = self._entries.get(key)
        if entry is None:
            return self._stored(key, self._fetch(key[0], {}), flight)
        with self._files.keeping(entry.info.path):
            if self._files.whole(entry.info.path) is None:
                if not self._jobs.run(_reusable, entry.info.path):
                    return self._stored(key, self._fetch(key[0], {}), flight)
                self._files.found_whole(entry.info)
            response = None
            if time.monotonic() >= entry.fresh_until:
                response = self._fetch(key[0], entry.validators)
            if response is not None and response.status == 200:
                return self._stored(key, response, flight)
            if response is not None:
                entry = replace(entry, fresh_until=_fresh_until(response))
            self._remember(key, entry)
            self._pin(flight, entry.info.path)
            return entry.info

    def _fetch(self, url: str, validators: dict[str, str]) -> Response:
        if not self._fetches.acquire(timeout=self.fetcher.timeout):
            self.refused += 1
            raise self.fetcher.late()
        try:
            return self.fetcher.get(url, validators)
        finally:
            self._fetches.release()

    def _stored(self, key: tuple[str, str], response: Response, flight: _Flight) -> WavInfo:
        """The file of a fetched body, written unless the same content is there already."""
        kind = kind_of(response.body, *key, response.content_type)
        path = self._files.path(f"{self._jobs.run(_digest, kind, response.body)}.wav")
        self._pin(flight, path)
        info, written = self._jobs.run(_source_file, path, kind, response.body, self.max_seconds)
        if written:
            self._files.evict()
        validators = {"If-None-Match": response.etag, "If-Modified-Since": response.last_modified}
        validators = {name: value for name, value in validators.items() if value}
        self._remember(key, _Entry(info, validators, _fresh_until(response)))
        return info

    def _pin(self, flight: _Flight, path: str) -> None:
        self._files.pin(path)
        flight.path = path

    def _remember(self, key: tuple[str, str], entry: _Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)


def _fresh_until(response: Response) -> float:
    return time.monotonic() + (response.max_age or 0)


# -- what runs in native threads --


def _reusable(path: str) -> bool:
    """Whether the file is there and whole; it counts as used now."""
    if not wav.intact(path):
        return False
    os.utime(path)
    return True


def _digest(kind: Kind, body: bytes) -> str:
    digest = hashlib.sha256(f"{VERSION} {kind.format} {kind.rate} ".encode())
    digest.update(body)
    return digest.hexdigest()[:40]


def _source_file(path: str, kind: Kind, body: bytes, max_seconds: float) -> tuple[WavInfo, bool]:
    """The decoded file, and whether it was written now."""
    if _reusable(path):
        return wav.read_info(path), False
    rate, samples = decode_as(kind, body, max_seconds=max_seconds)
    if len(samples) == 0:
        raise MediaError("audio is empty")
    wav.write_wav(path, rate, samples)
    return wav.read_info(path), True


def _unrolled_file(path: str, source: WavInfo, copies: int) -> tuple[WavInfo, bool]:
    if _reusable(path):
        return wav.read_info(path), False
    wav.write_wav(path, source.rate, wav.read_samples(source), copies)
    return wav.read_info(path), True


def _tone_file(path: str, tone: Tone) -> tuple[WavInfo, bool]:
    if _reusable(path):
        return wav.read_info(path), False
    wav.write_wav(path, TONE_RATE, tones.render(tone, TONE_RATE, UNROLLED_SECONDS))
    return wav.read_info(path), True
