"""What a conference plays: one file after the other, and beside them one `async` (mod_conference).

Everything takes the time it takes: the length of a WAV file is read from the file. Its samples are read when
somebody listens.
"""

from __future__ import annotations

import re
import struct
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import quoting, speech
from .calls import STEP_S
from .samples import FRAMES_PER_SECOND, Samples, Voice, added, louder, silence, tones
from .timers import Timers

COMMANDS = frozenset("play stop file-vol file_seek pause_play".split())
TURN_GAP_S = 0.04
"""Between two turns of a file that is repeated."""
ENDLESS = -1
NUMBER = re.compile(r"\s*([+-]?[0-9]{1,9})")
TONE = re.compile(r"%\(([0-9]{1,9}),([0-9]{1,9})")
PIECE = re.compile(r"%\(([0-9]{1,9}),([0-9]{1,9})((?:,[0-9.]{1,9})*)\)")
HERTZ = re.compile(r"[0-9]+")
TONE_LOOPS = re.compile(r";loops=(-?[0-9]{1,9})\Z")


class Sound(NamedTuple):
    """How long a file is, in seconds, and its sample rate."""

    length: float
    rate: int
    turns: int = 1


@dataclass(slots=True, eq=False)
class Playing:
    """A file that plays, or waits until those before it are done."""

    file: str
    path: str
    params: dict[str, str]
    sound: Sound
    beside: bool
    turns: int
    volume: int
    position: float = 0.0
    played: float = 0.0
    since: float = 0.0
    """When it went on, on the monotonic clock; 0 while it does not run."""
    begun: bool = False
    paused: bool = False
    done: bool = False
    timer: Any = None
    voice: Voice | None = None
    """Its samples, once somebody has asked for them."""

    def frame(self, tick: int, rate: int) -> Samples | None:
        """What is heard of it in a frame."""
        if not self.since:
            return None
        if self.voice is None:
            self.voice = load(self.path) or Voice(silence(rate), rate)
        # counted in whole frames since it went on, so that none is left out or heard twice
        gone = tick - round(self.since * FRAMES_PER_SECOND) + round(self.position * FRAMES_PER_SECOND)
        if self.turns == ENDLESS:
            gone %= max(1, round(self.sound.length * FRAMES_PER_SECOND))
        self.voice.began = 0
        return louder(self.voice.frame(gone, rate, rate), self.volume)

    def end_of_turn(self) -> None:
        """All of it that was left has been played: as much as there is, however late the timer came."""
        self.timer = None
        self.played += max(0.0, self.sound.length - self.position)
        self.position = self.since = 0.0

    def halt(self) -> None:
        """Stand still."""
        if self.timer is not None:
            self.timer.kill(block=False)
            self.timer = None
        if self.since:
            gone = time.monotonic() - self.since
            self.played += gone
            self.position += gone
            self.since = 0.0
            if self.turns == ENDLESS and self.sound.length > 0:
                self.position %= self.sound.length

    def figures(self) -> dict[str, str]:
        """The time that `play-file-done` reports: twice what was played, as on the real switch."""
        milliseconds = round(self.played * 2 * 50) * 20
        return {
            "seconds": str(milliseconds // 1000),
            "milliseconds": str(milliseconds),
            "samples": str(milliseconds * self.sound.rate // 1000),
        }


class Files:
    """The files of one conference.

    `fire` is called with an action and its headers, `sounding` with whether anything plays.
    """

    def __init__(
        self,
        rate: int,
        timers: Timers,
        fire: Callable[[str, dict[str, str]], None],
        sounding: Callable[[bool], None],
    ) -> None:
        self._rate = rate
        self._timers = timers
        self._fire = fire
        self._sounding = sounding
        self._queue: list[Playing] = []
        self._beside: Playing | None = None

    def frame(self, tick: int) -> Samples | None:
        """What is heard of them in a frame, at the conference's rate."""
        heard = (one.frame(tick, self._rate) for one in (self.current, self._beside) if one is not None)
        return added(*heard)

    @property
    def current(self) -> Playing | None:
        """The file whose turn it is."""
        return self._queue[0] if self._queue else None

    def command(self, action: str, words: list[str]) -> str:
        """`conference NAME <action> <words>`."""
        if action == "play":
            return self._play_command(words)
        if action == "stop":
            return self._stop(words[0].lower() if words else "all")
        if action == "file-vol":
            return self._change_volume(words)
        if action == "file_seek":
            return self._seek(words[0]) if words else "file_seek [+-]<val> [<member_id>]"
        return self._toggle_pause()

    def close(self) -> None:
        """The conference is over, and so is all that it plays."""
        for playing in self._queue:
            self._report(playing)
        if self._beside is not None:
            self._report(self._beside)
        self._queue, self._beside = [], None

    # -- commands --------------------------------------------------------------------------------------------

    def _play_command(self, words: list[str]) -> str:
        beside = len(words) > 1 and words[-1].lower() == "async"
        if beside:
            words = words[:-1]
        if not words:
            return "play <file_path> [async|<member_id> [nomux]]"
        if len(words) > 1:
            # the real switch prints a pointer here; playing to one member is not simulated
            return "-ERR Member: 0 not found.\nplay <file_path> [async|<member_id> [nomux]]"
        return self._play(words[0], beside)

    def _play(self, file: str, beside: bool) -> str:
        said = {"File": file, "Async": "true" if beside else "false"}
        try:
            params, path = quoting.braces(file)
        except quoting.ParseError:
            params, path = {}, ""
        sound = measure(path, self._rate)
        if sound is None:
            self._fire("play-file", said | {"Error": "File could not be played"})
            return f"-ERR (play) File: {file} not found."
        turns = _turns(params["loops"]) if "loops" in params else sound.turns
        playing = Playing(file, path, params, sound, beside, turns, _number(params.get("vol", "")))
        if beside:
            self._put_beside(playing)
        else:
            self._queue.append(playing)
            if len(self._queue) == 1:
                self._run(playing)
        # the parameters are those of the file whose turn it is, whichever was queued
        first = self._queue[0].params if self._queue else {}
        self._fire("play-file", first | said)
        return f"+OK (play) Playing file {file}"

    def _put_beside(self, playing: Playing) -> None:
        before, self._beside = self._beside, playing
        if before is not None:
            self._report(before)
        self._run(playing)

    def _stop(self, which: str) -> str:
        if which not in ("current", "all", "async"):
            return "stop <[current|all|async|last]> [<member_id>]"
        chosen = self._queue[:1] if which == "current" else []
        if which == "all":
            chosen = list(self._queue)
        if self._beside is not None and which != "current":
            chosen.append(self._beside)
        for playing in chosen:
            playing.done = True
        # the answer goes first: the conference's thread looks for what is done once in 20 ms
        self._timers.later(STEP_S, self._sweep)
        return f"+OK Stopped {len(chosen)} files."

    def _change_volume(self, words: list[str]) -> str:
        if not words:
            return "-ERR missing args\nfile-vol <vol#>"
        playing = self.current
        if playing is None:
            return "-ERR File not playing\nfile-vol <vol#>"
        playing.volume = _number(words[0])
        return "+OK volume changed"

    def _seek(self, where: str) -> str:
        playing = self.current
        if playing is None:
            return "-ERR no reply"
        per_millisecond = max(1, playing.sound.rate // 1000)
        playing.halt()
        target = _number(where) * per_millisecond
        if where[:1] in ("+", "-"):
            step = _number(where) or 1000
            target = max(0, round(playing.position * playing.sound.rate) + step * per_millisecond)
        # past the end is the end
        playing.position = min(target / playing.sound.rate, playing.sound.length)
        self._run(playing)
        return f"+OK seek to position {target}"

    def _toggle_pause(self) -> str:
        playing = self.current
        if playing is None:
            return "-ERR no reply"
        playing.paused = not playing.paused
        if playing.paused:
            playing.halt()
            self._sounding(False)
            return "+OK Pause"
        self._run(playing)
        return "+OK Resume"

    # -- time ------------------------------------------------------------------------------------------------

    def _run(self, playing: Playing) -> None:
        """Go on from where it is."""
        playing.begun = True
        if playing.paused:
            return
        playing.since = time.monotonic()
        if playing.turns != ENDLESS:
            left = max(0.0, playing.sound.length - playing.position)
            playing.timer = self._timers.later(left, self._turn_over, playing)
        self._sounding(True)

    def _turn_over(self, playing: Playing) -> None:
        playing.end_of_turn()
        playing.turns -= 1
        if playing.turns > 0:
            playing.timer = self._timers.later(TURN_GAP_S, self._run, playing)
            return
        playing.done = True
        self._sweep()

    def _sweep(self) -> None:
        """Put away what is done, and begin what comes next."""
        if self._beside is not None and self._beside.done:
            beside, self._beside = self._beside, None
            self._report(beside)
        while self._queue and self._queue[0].done:
            self._report(self._queue.pop(0))
        if self._queue and not self._queue[0].begun:
            self._run(self._queue[0])
        if not self._queue and self._beside is None:
            self._sounding(False)

    def _report(self, playing: Playing) -> None:
        playing.halt()
        more = {"Async": "true"} if playing.beside else {}
        self._fire("play-file-done", playing.figures() | playing.params | {"File": playing.file} | more)


def _number(text: str) -> int:
    """As C reads a number: what follows it does not matter, and no number is 0."""
    found = NUMBER.match(text)
    return int(found[1]) if found else 0


def _turns(loops: str) -> int:
    """How often `{loops=N}` plays a file: an empty read after each turn counts as one too."""
    if loops.lower() in ("inf", "infinite"):
        return ENDLESS
    number = _number(loops)
    return ENDLESS if number < 0 else max(1, (number + 1) // 2)


def measure(path: str, rate: int) -> Sound | None:
    """How long this plays; None if it cannot be played. `rate` is the conference's."""
    if path.startswith("tone_stream://"):
        pieces = TONE.findall(path)
        loops = TONE_LOOPS.search(path)
        turns = 1 if loops is None else max(ENDLESS, int(loops[1])) or 1
        length = sum(int(on) + int(off) for on, off in pieces) / 1000
        return Sound(length, rate, turns) if pieces else None
    if path.startswith("silence_stream://"):
        milliseconds = _number(path.removeprefix("silence_stream://"))
        return Sound(0.0, rate, ENDLESS) if milliseconds < 0 else Sound(milliseconds / 1000, rate)
    path = path.removeprefix("file://")
    if not path.startswith("/"):
        return None
    try:
        return _measure_wav(path)
    except (OSError, ValueError, struct.error):
        return None


def _measure_wav(path: str) -> Sound | None:
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        rate = frame = 0
        while len(head := file.read(8)) == 8:
            size = int(struct.unpack_from("<I", head, 4)[0])
            begin = file.tell()
            if head[:4] == b"fmt ":
                _, _, rate, _, frame = struct.unpack("<HHIIH", file.read(14))
            elif head[:4] == b"data":
                there = end - begin
                # a length of 0 is a file that nobody closed: it plays up to its end
                data = min(size, there) if size else there
                return Sound(data / frame / rate, rate) if frame and rate else None
            file.seek(begin + size + size % 2)
    return None


def load(path: str) -> Voice | None:
    """The samples of what `measure` measures; None where they cannot be read (they are silence then)."""
    if path.startswith("tone_stream://"):
        pieces = [
            (int(on), int(off), [int(hz) for hz in HERTZ.findall(more)])
            for on, off, more in PIECE.findall(path)
        ]
        return tones(pieces)
    try:
        with open(path.removeprefix("file://"), "rb") as file:
            return Voice(*speech.read(file))
    except (OSError, EOFError, wave.Error):
        return None
