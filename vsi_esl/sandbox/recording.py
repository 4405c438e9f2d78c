"""Recordings of channels (uuid_record): real WAV files, with silence in them and the right length.

A file is made when the recording starts, with the header the real switch has there while it records: lengths
that are wrong. What was recorded is written when the recording ends, or when the switch crashes.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from . import quoting
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

HEADER_BYTES = 44
FRAMES_PER_SECOND = 50
PRE_BUFFER_FRAMES = 25
USAGE = "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
FAILURES = {
    "start": "-ERR Cannot record session!\n",
    "stop": "-ERR Cannot stop record session!\n",
    "mask": "-ERR Cannot mask recording session!\n",
    "unmask": "-ERR Cannot unmask recording session!\n",
    "pause": "-ERR Cannot pause recording session!\n",
    "resume": "-ERR Cannot resume recording session!\n",
}
YES = ("yes", "on", "true", "t", "enabled", "active", "allow")


@dataclass(slots=True, eq=False)
class Recording:
    """One file that grows."""

    path: str
    variables: dict[str, str]
    rate: int
    channels: int
    since: float
    """When it went on, on the monotonic clock; 0 while it is paused."""
    before: float = 0.0
    masked: bool = False
    paused: bool = False
    held: bool = False
    room: int | None = None
    """Frames that the disk has room for; None as long as it is not full."""

    @property
    def frames(self) -> int:
        """Frames of 20 ms recorded so far."""
        running = time.monotonic() - self.since if self.since else 0.0
        return int((self.before + running) * FRAMES_PER_SECOND)

    def pause(self, on: bool) -> None:
        """Cut out what comes until it is resumed. Repeating it changes nothing."""
        self.paused = on
        self._go_on()

    def hold(self, on: bool) -> None:
        """Nothing is written of a channel on hold."""
        self.held = on
        self._go_on()

    def _go_on(self) -> None:
        running = not (self.paused or self.held)
        if self.since and not running:
            self.before += time.monotonic() - self.since
            self.since = 0.0
        elif running and not self.since:
            self.since = time.monotonic()

    def create(self) -> None:
        """Make the file. OSError if that is impossible."""
        folder = os.path.dirname(self.path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(self.path, "wb") as file:
            # what libsndfile writes before it knows any length
            file.write(self._header(8, 0))

    def write(self, frames: int, finished: bool) -> int:
        """Write the silence; with `finished` the header too, else it stays wrong. Returns the file's size."""
        kept = frames if self.room is None else min(frames, self.room)
        data = kept * self.rate // FRAMES_PER_SECOND * self.channels * 2
        # a file that somebody has removed meanwhile stays away
        with suppress(OSError), open(self.path, "r+b") as file:
            file.truncate(HEADER_BYTES + data)
            if finished:
                file.write(self._header(HEADER_BYTES - 8 + data, data))
        return HEADER_BYTES + data

    def _header(self, riff: int, data: int) -> bytes:
        frame = self.channels * 2
        shape = struct.pack("<IHHIIHH", 16, 1, self.channels, self.rate, self.rate * frame, frame, 16)
        return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + shape + b"data" + struct.pack("<I", data)


class Recordings:
    """All recordings of the switch; each channel keeps its own, by path."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self._full = False

    @property
    def disk_full(self) -> bool:
        """While the disk is full no file grows; what is in it by then stays."""
        return self._full

    @disk_full.setter
    def disk_full(self, full: bool) -> None:
        self._full = full
        for recording in self._all():
            if full and recording.room is None:
                recording.room = recording.frames
                recording.write(recording.frames, finished=False)

    def start(self, channel: Channel, path: str, variables: dict[str, str]) -> bool:
        """Begin to record. Needs media: an inbound call that rings is given a 183 first."""
        if not channel.alive or not self._switch.calls.pre_answer(channel) or not channel.read_rate:
            return False
        if path in channel.recordings:
            return True
        stereo = _true(variables.get("RECORD_STEREO", channel.variables.get("RECORD_STEREO", "")))
        rate = variables.get("record_sample_rate", channel.variables.get("record_sample_rate", ""))
        recording = Recording(
            path,
            variables,
            int(rate[:6]) if rate.isascii() and rate.isdigit() and int(rate[:6]) else channel.read_rate,
            2 if stereo else 1,
            time.monotonic(),
            room=0 if self._full else None,
        )
        try:
            recording.create()
        except (OSError, ValueError):
            return False
        recording.hold(bool(channel.held))
        channel.recordings[path] = recording
        self._fire("RECORD_START", channel, recording)
        self._fire_bug("MEDIA_BUG_START", channel, recording)
        return True

    def stop(self, channel: Channel, path: str) -> bool:
        """Stop one recording, or `all`."""
        if path.lower() == "all":
            chosen = list(channel.recordings.values())
        else:
            chosen = [channel.recordings[path]] if path in channel.recordings else []
        for recording in chosen:
            self._end(channel, recording, "success-maxtime")
        return bool(chosen)

    def hold(self, channel: Channel) -> None:
        """The channel is on hold, or not any more."""
        for recording in channel.recordings.values():
            recording.hold(bool(channel.held))

    def hung_up(self, channel: Channel) -> None:
        """The channel is over, and all its recordings with it."""
        for recording in list(channel.recordings.values()):
            self._end(channel, recording, "success-silence")

    def close(self, finished: bool) -> None:
        """The switch stops: the files are closed, or left as they are after a crash. No events."""
        for recording in self._all():
            recording.write(recording.frames, finished)
        for channel in self._switch.channels.values():
            channel.recordings.clear()

    def _end(self, channel: Channel, recording: Recording, cause: str) -> None:
        frames = recording.frames
        if channel.application == "park":
            # the frames held back are lost where nothing is sent to the channel
            held_back = recording.variables.get(
                "RECORD_PRE_BUFFER_FRAMES", channel.variables.get("RECORD_PRE_BUFFER_FRAMES", "")
            )
            held = int(held_back[:4]) if held_back.isascii() and held_back.isdigit() else PRE_BUFFER_FRAMES
            frames = max(0, frames - held)
        size = recording.write(frames, finished=True)
        milliseconds = frames * 1000 // FRAMES_PER_SECOND
        del channel.recordings[recording.path]
        # samples are counted at the channel's rate, whatever the file's
        channel.variables |= {
            "record_file_size": str(size),
            "record_samples": str(frames * channel.read_rate // FRAMES_PER_SECOND),
            "record_seconds": str(milliseconds // 1000),
            "record_ms": str(milliseconds),
            "record_completion_cause": cause,
        }
        self._fire("RECORD_STOP", channel, recording, {"Record-Completion-Cause": cause})
        self._fire_bug("MEDIA_BUG_STOP", channel, recording)

    def _all(self) -> list[Recording]:
        return [one for channel in self._switch.channels.values() for one in channel.recordings.values()]

    def _fire(
        self, name: str, channel: Channel, recording: Recording, more: dict[str, str] | None = None
    ) -> None:
        if not self._switch.wanted(name):
            return
        headers = channel.with_variables() | {"Record-File-Path": recording.path}
        headers |= {f"Recording-Variable-{key}": value for key, value in recording.variables.items()}
        self._switch.fire(name, headers | (more or {}))

    def _fire_bug(self, name: str, channel: Channel, recording: Recording) -> None:
        target = recording.path
        self._switch.calls.fire(name, channel, Media_Bug_Function="session_record", Media_Bug_Target=target)


def uuid_record(switch: SandboxSwitch, rest: str) -> str:
    """`uuid_record UUID start|stop|mask|unmask|pause|resume PATH [LIMIT [{VARIABLES}]]`. No limits here."""
    words = quoting.separate(rest, " ", 5)
    if len(words) < 3 or not all(words[:3]):
        return USAGE
    channel_id, action, path = words[0], words[1].lower(), words[2]
    channel = switch.channels.get(channel_id)
    if channel is None:
        return "-ERR Cannot locate session!\n"
    if action not in FAILURES:
        return USAGE
    if action == "start":
        done = switch.recordings.start(channel, path, _variables(words[4] if len(words) > 4 else ""))
    elif action == "stop":
        done = switch.recordings.stop(channel, path)
    else:
        done = _change(channel.recordings.get(path), action)
    return "+OK Success\n" if done else FAILURES[action]


def _change(recording: Recording | None, action: str) -> bool:
    if recording is None:
        return False
    if action in ("mask", "unmask"):
        recording.masked = action == "mask"
    else:
        recording.pause(action == "pause")
    return True


def _variables(text: str) -> dict[str, str]:
    try:
        return quoting.braces(unquote(text))[0]
    except quoting.ParseError:
        return {}


def _true(text: str) -> bool:
    return text.lower() in YES or (text.isascii() and text.isdigit() and int(text[:9]) != 0)
