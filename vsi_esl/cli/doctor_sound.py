"""What `vsi-esl doctor` tries of recording and playback: whether files get from the switch to us and back."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator

import numpy as np

from ..audio import MediaError
from ..audio.wav import read_info, write_wav
from ..config import Config
from ..errors import BadArgument
from ..model.recording import Part, Recording
from ..sound.recording import files
from ..storage import folders
from ..switch.esl.client import EslClient
from ..switch.lines import audio, builder
from .findings import FAIL, OK, WARN, Check

RATE = 8000
RECORDED_S = 0.2
ENOUGH_MS = 100
PATIENCE_S = 3.0
POLL_S = 0.02
HINT = "give the switch and the service a common group: see Files in README.md"

Api = Callable[[str], str]


def sound_checks(config: Config, client: EslClient) -> Iterator[Check]:
    """Record and play through an internal channel, without a call. Leaves nothing behind."""

    def api(command: str) -> str:
        return client.send("api " + command)

    for name, directory, attempt in (
        ("recording", config.recording.dir, _record),
        ("playback", config.playback.spool_dir, _play),
    ):
        channel = f"doctor-{secrets.token_hex(6)}"
        try:
            folders.make(directory)
            yield attempt(api, name, channel, directory)
        except (OSError, MediaError, BadArgument) as error:
            yield Check(name, FAIL, _reason(error), f"make {directory} writable for the service")
        finally:
            api(builder.kill(channel, "NORMAL_CLEARING"))


def folder_checks(config: Config) -> Iterator[Check]:
    """Where recordings and the spool are, and who else can get there."""
    for name, directory in (
        ("recording directory", config.recording.dir),
        ("audio spool", config.playback.spool_dir),
    ):
        for risk in folders.risks(directory):
            hint = "move it, or give it to the service with mode 2770: see Files in README.md"
            yield Check(name, WARN, f"{directory}: {risk}", hint)


def _record(api: Api, name: str, channel: str, directory: str) -> Check:
    """200 ms of silence, published as any recording is."""
    answer = api(builder.originate_null(channel, {"vsi_internal": "true"}))
    if not answer.startswith("+OK"):
        return Check(name, WARN, f"no internal channel: {answer[:80]}", "is mod_loopback loaded?")
    recording = Recording(channel, os.path.join(directory, f"{channel}.wav"), RATE, leg_id=channel)
    part = os.path.abspath(recording.part_of("part0"))
    recording.parts.append(Part(part))
    recording.started_at = 1.0
    try:
        answer = api(audio.record(channel, part, RATE, "both"))
        if not answer.startswith("+OK"):
            return Check(name, FAIL, f"the switch cannot write to {directory}: {answer[:80]}", HINT)
        time.sleep(RECORDED_S)
        api(audio.recording(channel, "stop", part))
        api(builder.kill(channel, "NORMAL_CLEARING"))
        _wait(lambda: api(builder.exists(channel)) != "true")
        result = files.publish(recording)
        if result.error:
            return Check(name, FAIL, f"{directory}: {result.error}", HINT)
        length = read_info(recording.file).duration_ms
        if length < ENOUGH_MS:
            return Check(
                name, WARN, f"{length} ms of {RECORDED_S * 1000:g} were recorded", "is mod_sndfile loaded?"
            )
        return Check(name, OK, f"{length} ms recorded, published and removed")
    finally:
        files.remove(recording.file)
        files.remove(part)


def _play(api: Api, name: str, channel: str, directory: str) -> Check:
    """The switch plays a file of the spool to nobody."""
    path = os.path.join(os.path.abspath(directory), f"{channel}.wav")
    write_wav(path, RATE, np.zeros(round(RATE * RECORDED_S), np.int16))
    try:
        answer = api(audio.play_to_nobody(channel, path))
        if not answer.startswith("+OK"):
            return Check(name, WARN, f"no internal channel: {answer[:80]}", "is mod_loopback loaded?")
        _wait(lambda: api(builder.getvar(channel, "current_application")) == "park")
        played = api(builder.getvar(channel, "playback_ms"))
        if not played.isdigit() or int(played) < ENOUGH_MS:
            return Check(name, FAIL, f"the switch cannot read the files in {directory}", HINT)
        return Check(name, OK, f"the switch played {played} ms from the spool")
    finally:
        files.remove(path)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _reason(error: OSError | MediaError | BadArgument) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return error.message
