"""What `vsi-esl doctor` looks at of recordings: whether files get from the switch to us, and on to S3."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from ...audio.wav import read_info
from ...config import Config
from ...errors import VsiError
from ...model.recording import Part, Recording
from ...ops.findings import FAIL, OK, WARN, Ask, Check, machine_check, switch_check, writable
from ...storage import s3
from ...switch.lines import audio, builder
from ..host import files
from ..trial import ENOUGH_MS, HINT, LENGTH_S, RATE, attempt, folder, wait_for
from . import buckets
from .settings import RecordingSettings, S3Settings

PROBE_S = 10.0
"""For the S3 bucket, when recordings do not look at it."""


@switch_check("recording")
def recording(config: Config, ask: Ask) -> Iterable[Check]:
    """Silence is recorded and published."""
    if config.all_elsewhere:
        return ()  # `sound.host.doctor` has it done there
    return attempt(ask, "recording", config.section(RecordingSettings).dir, _record)


@machine_check("recording directory")
def directory(config: Config) -> Iterator[Check]:
    """It can be written, and by nobody else."""
    if config.all_elsewhere:
        return
    path = config.section(RecordingSettings).dir
    yield writable("recording directory", path, WARN)
    yield from folder("recording directory", path)


@machine_check("S3 bucket")
def bucket(config: Config) -> Iterator[Check]:
    """Whether it is there. Only one that does not exist is an error, as for a recording."""
    settings = config.section(S3Settings)
    target = buckets.configured(settings)
    if target is None:
        return
    try:
        s3.check(target, allow_insecure=settings.allow_insecure_endpoint)
        problem = s3.probe(target, settings.request_preflight_timeout or PROBE_S, settings.guard())
    except VsiError as error:
        yield Check("S3 bucket", FAIL, error.message.removeprefix("create S3 backend: "), "see S3_BUCKET")
        return
    if problem:
        hint = "recordings begin all the same; fine if the credentials may only put objects"
        yield Check("S3 bucket", WARN, f"{target.bucket}: {problem}", hint)
    else:
        yield Check("S3 bucket", OK, target.bucket)


def _record(ask: Ask, name: str, channel: str, directory: str) -> Check:
    """200 ms of silence, published as any recording is."""
    answer = ask(builder.originate_null(channel, {"vsi_internal": "true"}))
    if not answer.startswith("+OK"):
        return Check(name, WARN, f"no internal channel: {answer[:80]}", "is mod_loopback loaded?")
    one = Recording(channel, os.path.join(directory, f"{channel}.wav"), RATE, leg_id=channel)
    part = os.path.abspath(one.part_of("part0"))
    one.parts.append(Part(part))
    one.started_at = 1.0
    try:
        answer = ask(audio.record(channel, part, RATE, "both"))
        if not answer.startswith("+OK"):
            return Check(name, FAIL, f"the switch cannot write to {directory}: {answer[:80]}", HINT)
        time.sleep(LENGTH_S)
        ask(audio.recording(channel, "stop", part))
        ask(builder.kill(channel, "NORMAL_CLEARING"))
        wait_for(lambda: ask(builder.exists(channel)) != "true")
        result = files.publish(one)
        if result.error:
            return Check(name, FAIL, f"{directory}: {result.error}", HINT)
        length = read_info(one.file).duration_ms
        if length < ENOUGH_MS:
            return Check(
                name, WARN, f"{length} ms of {LENGTH_S * 1000:g} were recorded", "is mod_sndfile loaded?"
            )
        return Check(name, OK, f"{length} ms recorded, published and removed")
    finally:
        files.remove(one.file)
        files.remove(part)
