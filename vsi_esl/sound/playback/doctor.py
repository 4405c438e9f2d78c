"""What `vsi-esl doctor` looks at of playback: whether the switch gets to our files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np

from ...audio.wav import write_wav
from ...config import Config
from ...ops.findings import FAIL, OK, WARN, Ask, Check, machine_check, switch_check, writable
from ...switch.lines import audio, builder
from ..trial import ENOUGH_MS, HINT, LENGTH_S, RATE, attempt, folder, wait_for
from .settings import PlaybackSettings


@switch_check("playback")
def playback(config: Config, ask: Ask) -> Iterable[Check]:
    """A file of the spool is played."""
    if config.all_elsewhere:
        return ()  # `sound.host.doctor` has it done there
    return attempt(ask, "playback", config.section(PlaybackSettings).spool_dir, _play)


@machine_check("audio spool")
def spool(config: Config) -> Iterator[Check]:
    """The spool can be written, and by nobody else."""
    if config.all_elsewhere:
        return
    directory = config.section(PlaybackSettings).spool_dir
    yield writable("audio spool", directory, FAIL)
    yield from folder("audio spool", directory)


def _play(ask: Ask, name: str, channel: str, directory: str) -> Check:
    """The switch plays a file of the spool to nobody."""
    path = os.path.join(os.path.abspath(directory), f"{channel}.wav")
    write_wav(path, RATE, np.zeros(round(RATE * LENGTH_S), np.int16))
    try:
        answer = ask(audio.play_to_nobody(channel, path))
        if not answer.startswith("+OK"):
            return Check(name, WARN, f"no internal channel: {answer[:80]}", "is mod_loopback loaded?")
        wait_for(lambda: ask(builder.getvar(channel, "current_application")) == "park")
        played = ask(builder.getvar(channel, "playback_ms"))
        if not played.isdigit() or int(played) < ENOUGH_MS:
            return Check(name, FAIL, f"the switch cannot read the files in {directory}", HINT)
        return Check(name, OK, f"the switch played {played} ms from the spool")
    finally:
        with suppress(OSError):
            os.remove(path)
