"""Commands for sound: files in conferences, recordings, internal channels. Quoted or refused like all others.

Files have names of our own making; a path with anything but letters, digits and `._-/` in it is refused,
since a blank, a brace or a quote in it means something else in each of these commands.
"""

from __future__ import annotations

import re

from ...errors import BadArgument
from .builder import CONTROL, name, originate_variables, text_argument, transfer, uuid

PATH = re.compile(r"/[A-Za-z0-9._/-]{1,1024}\Z")
TEXT_LINE_END = re.compile("\r\n|[\r\n\u2028\u2029]")
LINE_SEPARATOR = "\u2028"
BACKSPACE = "\b"

FAR_END_REST_MS = 20
"""How long the far end of a pair waits before it answers. Without that, the near end's thread is sometimes
not ready to be sent on, and the channel is lost: 6 of 7,025 originates, none of as many with it. It costs
those 20 ms."""

LOOPBACK = {
    "originate_timeout": "5",
    "loopback_bowout": "false",
    "loopback_bowout_on_execute": "false",
    "ignore_early_media": "true",
    "vsi_internal": "true",
}


def path(value: str) -> str:
    """An absolute path of a file of ours."""
    if not PATH.match(value) or "/../" in value:
        raise BadArgument(f"a path the switch cannot be given: {value[:120]!r}")
    return value


def play(conference: str, playback: str, file: str, decibels: int, loop: bool) -> str:
    """Play a file into a conference, `decibels` louder. A second one waits until the first is done."""
    settings = f"vsi_playback_id={name(playback)},vol={int(decibels)}{',loops=inf' if loop else ''}"
    return f"conference {name(conference)} play '{{{settings}}}{path(file)}'"


def stop_playing(conference: str) -> str:
    return f"conference {name(conference)} stop current"


def play_volume(conference: str, decibels: int) -> str:
    """Of the file that plays: absolute, in dB, from the next frame on."""
    return f"conference {name(conference)} file-vol {int(decibels)}"


def play_from(conference: str, milliseconds: int) -> str:
    """Go on with the file that plays at another place."""
    return f"conference {name(conference)} file_seek {int(milliseconds)}"


def loopback_rate(rate: int) -> str:
    """The codec of the loopback pairs made from now on; inside `originate {}` it would be read too late."""
    return f"global_setvar loopback_initial_codec=L16@{int(rate)}h"


def whisper(channel: str, conference: str, rate: int, leg: str) -> str:
    """A pair that brings a conference to one leg only, on top of whatever else the leg hears."""
    settings = {"eavesdrop_whisper_bleg": "true", "eavesdrop_enable_dtmf": "false"}
    listener = f"conference:{name(conference)}@vsi{int(rate)}+flags{{mute}}"
    # unlike a conference, it does not answer
    return loopback(channel, f"answer^eavesdrop:{uuid(leg)}", listener, settings)


def speak_into(channel: str, room: str, conference: str, rate: int) -> str:
    """A pair that brings a conference of its own into a room's, as an ordinary member that hears nothing."""
    listener = f"conference:{name(conference)}@vsi{int(rate)}+flags{{mute}}"
    return loopback(channel, f"conference:{name(room)}@vsi{int(rate)}+flags{{deaf}}", listener)


def bridge(channel: str, room_a: str, room_b: str, rate: int, *, mute: bool, deaf: bool) -> str:
    """A pair of ordinary members, one in each room. Ghosts would carry nothing where there is one leg."""
    flags = "|".join(flag for flag, wanted in (("mute", mute), ("deaf", deaf)) if wanted)
    here = f"conference:{name(room_a)}@vsi{int(rate)}" + (f"+flags{{{flags}}}" if flags else "")
    return loopback(channel, f"conference:{name(room_b)}@vsi{int(rate)}", here)


def loopback(channel: str, far: str, near: str, more: dict[str, str] | None = None) -> str:
    """A pair of internal channels: `channel` runs the applications `near`, its other half `far`."""
    # no `|` in the dial string, where it would separate two destinations, and no `/`
    settings = {"origination_uuid": uuid(channel), **LOOPBACK, **(more or {})}
    target = f"loopback/m:^:sleep:{FAR_END_REST_MS}^{far}/default/inline"
    return f"originate {originate_variables(settings)}{target} '{near}' inline"


def listen_in(channel: str, room: str, rate: int) -> str:
    """A channel with nothing behind it in a room, to record what the room hears."""
    settings = {"origination_uuid": uuid(channel), "rate": str(int(rate)), "vsi_internal": "true"}
    target = f"conference:{name(room)}@vsi{int(rate)}+flags{{mute}}"
    return f"originate {originate_variables(settings)}null/rec '{target}' inline"


def play_to_nobody(channel: str, file: str) -> str:
    """A channel with nothing behind it that plays a file and then waits: whether the switch can read it."""
    settings = {"origination_uuid": uuid(channel), "vsi_internal": "true"}
    return f"originate {originate_variables(settings)}null/play 'playback:{path(file)},park' inline"


def record(channel: str, file: str, rate: int, layout: str) -> str:
    """Record a channel from now on. `layout`: both (left what it says, right what it hears), said or heard.

    Each frame is written at once, so that a switch that dies leaves all it has heard.
    """
    shapes = {
        "both": "RECORD_STEREO=true",
        "said": "RECORD_STEREO=false,RECORD_READ_ONLY=true",
        "heard": "RECORD_STEREO=false,RECORD_WRITE_ONLY=true",
    }
    more = f"RECORD_PRE_BUFFER_FRAMES=0,enable_file_write_buffering=false,record_sample_rate={int(rate)}"
    return f"uuid_record {uuid(channel)} start {path(file)} 0 {{{shapes[layout]},{more}}}"


def recording(channel: str, action: str, file: str) -> str:
    """stop, mask (silence from now on, the time goes on) or unmask."""
    if action not in ("stop", "mask", "unmask"):
        raise BadArgument(f"invalid recording action: {action!r}")
    return f"uuid_record {uuid(channel)} {action} {path(file)}"


def transfer_to_silence(channel: str, bond: str) -> str:
    """Have an unanswered call with media send silence, on top of which it can be played something."""
    return transfer(channel, bond, "playback:silence_stream://-1", "park")


def send_text(channel: str, line: str) -> str:
    """One line of real-time text; the switch adds CR LF. It is the rest of the line, not unquoted."""
    text_argument(line, "text")
    return f"uuid_send_text {uuid(channel)} {line}"


def text_line(text: str) -> str:
    """A text as the one line of a command: line ends within it as LINE SEPARATOR, which T.140 has for them.
    One at its end is left to the switch. Empty when there is nothing to send.

    A command for each line would lose them at a peer that tells redundancy by timestamps (RFC 2198): all that
    the switch sends within 100 ms has the same one.
    """
    lines = TEXT_LINE_END.split(text)
    if not lines[-1]:
        lines.pop()
    return LINE_SEPARATOR.join(lines) if "".join(lines).strip(" ") else ""


def readable(text: str) -> str:
    """A peer's text as it can be passed on to another: what its BACKSPACEs erase is gone (T.140, 8.2), and so
    are the other control characters that no command can have. Line ends are what they were."""
    kept: list[str] = []
    for char in text:
        if char == BACKSPACE:
            if kept and not TEXT_LINE_END.fullmatch(kept[-1]):
                kept.pop()
        elif TEXT_LINE_END.fullmatch(char) or not CONTROL.search(char):
            kept.append(char)
    return "".join(kept)
