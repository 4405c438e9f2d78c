"""What `vsi-esl doctor` looks at of companions: the certificates, and whether each answers."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator

import gevent

from ...audio import MediaError
from ...calls.host import Host
from ...config import Config
from ...config.settings import CompanionLink, ListedSwitch
from ...errors import VsiError
from ...model.recording import Part, Recording
from ...ops.findings import FAIL, OK, WARN, Ask, Check, machine_check, switch_check
from ...switch.lines import audio, builder
from ..trial import LENGTH_S, RATE, wait_for

HINT = "see docs/companion.md"
HINT_FILES = "give the switch and its companion a common group: see docs/companion.md"
PATIENCE_S = 5.0
TONE = "busy"
LOOKS, LOOK_S = 3, 0.1


@machine_check("companions")
def companions(config: Config) -> Iterator[Check]:
    """Of the switches that have one."""
    for one in config.switches:
        if one.companion is not None:
            yield from _companion(config, one, one.companion)


@switch_check("files of the companion")
def files(config: Config, ask: Ask) -> Iterable[Check]:
    """What the companion lays down is played by the switch, and what that records is published there."""
    if not config.all_elsewhere:
        return
    from .remote import RemoteHost  # noqa: PLC0415  (only where there is a companion)

    one = config.switches[0]
    assert one.companion is not None  # noqa: S101  (they all have one)
    host = RemoteHost(one.name, one.companion, "doctor", counted=lambda *_: None, back=lambda: None)
    host.connect(0)
    try:
        if not host.companion.wait_connected(PATIENCE_S):
            yield Check("playback", FAIL, f"the companion: {host.companion.error}", HINT)
            return
        yield from _tried(ask, "playback", lambda channel: _play(ask, host, channel))
        yield from _tried(ask, "recording", lambda channel: _record(ask, host, channel))
    finally:
        host.stop()


def _tried(ask: Ask, name: str, what: Callable[[str], tuple[str, str]]) -> Iterator[Check]:
    """`what` is done with a channel, and says what is wrong, or nothing, and what was seen."""
    channel = f"doctor-{secrets.token_hex(6)}"
    try:
        problem, seen = what(channel)
        yield Check(name, FAIL if problem else OK, problem or seen, HINT_FILES if problem else "")
    except (VsiError, MediaError) as error:
        yield Check(name, FAIL, error.message, HINT_FILES)
    finally:
        ask(builder.kill(channel, "NORMAL_CLEARING"))


def _play(ask: Ask, host: Host, channel: str) -> tuple[str, str]:
    clip = host.tone_clip(TONE)
    answer = ask(audio.play_to_nobody(channel, clip.path))
    if not answer.startswith("+OK"):
        return f"no internal channel: {answer[:80]}", ""
    for _ in range(LOOKS):  # a file that it cannot read is over at once
        time.sleep(LOOK_S)
        if ask(builder.getvar(channel, "current_application")) != "playback":
            return f"the switch cannot read the files in {os.path.dirname(clip.path)}", ""
    return "", f"the switch plays from {os.path.dirname(clip.path)}"


def _record(ask: Ask, host: Host, channel: str) -> tuple[str, str]:
    directory = host.recordings
    one = Recording(channel, os.path.join(directory, f"{channel}.wav"), RATE, leg_id=channel)
    host.place(directory, one.file)
    one.parts.append(Part(one.part_of("part0")))
    one.started_at = 1.0
    answer = ask(builder.originate_null(channel, {"vsi_internal": "true"}))
    if not answer.startswith("+OK"):
        return f"no internal channel: {answer[:80]}", ""
    answer = ask(audio.record(channel, one.part, RATE, "both"))
    if not answer.startswith("+OK"):
        return f"the switch cannot write to {directory}: {answer[:80]}", ""
    try:
        time.sleep(LENGTH_S)
        ask(audio.recording(channel, "stop", one.part))
        ask(builder.kill(channel, "NORMAL_CLEARING"))
        wait_for(lambda: ask(builder.exists(channel)) != "true")
        return host.publish(one).error, f"recorded in {directory}, published and removed"
    finally:
        host.remove(one.file)
        host.remove(one.part)


def _companion(config: Config, one: ListedSwitch, link: CompanionLink) -> Iterator[Check]:
    from ...net.connect import reason  # noqa: PLC0415  (only where there is a companion)
    from ...wire import client, tls  # noqa: PLC0415
    from ...wire.frames import Malformed  # noqa: PLC0415
    from .remote import RemoteHost  # noqa: PLC0415

    name = f"{one.name}: companion"
    yield from certificates(name, {"CA": link.ca, "our certificate": link.certificate})
    line = RemoteHost(
        one.name, link, config.instance_id, counted=lambda *_: None, back=lambda: None
    ).companion
    began = time.monotonic()
    try:
        welcome = client.probe(line)
    except (tls.BadCertificate, Malformed) as error:
        yield Check(name, FAIL, str(error), HINT)
    except gevent.Timeout:
        yield Check(name, FAIL, f"{link.address} does not answer", "does a firewall stand between?")
    except (OSError, ValueError) as error:
        why = str(error) if type(error) is ConnectionError else reason(error)
        yield Check(name, FAIL, f"{link.address}: {why}", HINT)
    else:
        took = (time.monotonic() - began) * 1000
        text = f"{link.address} answers after {took:.0f} ms, release {welcome.get('release', 'unknown')}"
        yield Check(name, OK, text)


def certificates(name: str, files: dict[str, str]) -> Iterator[Check]:
    """Until when each of these is good."""
    from ...wire import tls  # noqa: PLC0415  (only where there is a companion)

    for what, path in files.items():
        try:
            left = tls.days_left(path)
        except tls.BadCertificate as error:
            yield Check(name, FAIL, f"{what}: {error}", HINT)
            continue
        status = FAIL if left <= 0 else WARN if left < tls.SOON_DAYS else OK
        text = f"{what} has expired" if left <= 0 else f"{what} is good for {left:.0f} more days"
        yield Check(
            name, status, f"{text} ({path})", "" if status == OK else "have a new one made and installed"
        )
