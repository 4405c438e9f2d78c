"""The command builder: every string that reaches the switch is quoted here, or refused here.

FreeSWITCH unquotes an argument as often as the command hands it on, so each place has its own rule. The
rules were found by sending several hundred hostile strings to a real switch and comparing what arrived:

* `uuid_setvar`: backslash and quote escaped, outer blanks written `\\s` (rule A);
* `originate {...}`: three passes of unquoting, undone from the inside out (rule C); `{`, `}`, control
  characters, `${` and `:_:` have no escape and are refused;
* names, ids, codecs, digits, causes and URIs come from an allow-list.

What a client may choose freely (app_id, role, room id) is percent-encoded into its channel variable, so
that it holds nothing any parser of the switch reacts to.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import cache
from urllib.parse import quote, unquote

from ...errors import BadArgument
from .targets import Target

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
HEADER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
UUID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
PLAIN = re.compile(r"[A-Za-z0-9_.%/-]{1,1024}\Z")
"""Text that means to no parser of the switch anything but itself."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")
DIGITS = re.compile(r"[0-9*#A-D]{1,128}\Z")
CAUSE = re.compile(r"[A-Z_]{3,64}\Z")
MAX_FORWARDS = 70
"""RFC 3261 8.1.1.6; what a channel begins with."""
MAX_VALUE_BYTES = 16 * 1024
"""Longest channel variable value sent. 60 kB were seen to pass, but every event of the leg carries it."""


def _allow(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.match(value):
        raise BadArgument(f"invalid {what}: {value[:80]!r}")
    return value


def uuid(value: str) -> str:
    """A channel UUID. The switch accepts any text as one, so the check is ours."""
    return _allow(UUID, value, "channel id")


def name(value: str) -> str:
    """A conference, profile, module or global variable name."""
    return _allow(NAME, value, "name")


def variable(value: str) -> str:
    """A channel variable's name."""
    return _allow(VARIABLE, value, "variable name")


def digits(value: str) -> str:
    """DTMF digits 0-9 * # A-D; `@`, `w` and blanks have a meaning for the switch and are refused."""
    return _allow(DIGITS, value, "digits")


def cause(value: str) -> str:
    """A hangup cause name. An unknown name is NORMAL_CLEARING to the switch, without an error."""
    return _allow(CAUSE, value, "hangup cause")


def member(value: str | int) -> str:
    """A conference member id: a positive number, never `all` or `last`."""
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise BadArgument(f"invalid conference member id: {text[:40]!r}")
    return text


def header_name(value: str) -> str:
    """A SIP header's name. Narrower than RFC 3261's token: a colon or line end in it would forge a header,
    and the rest of the token characters mean something inside `originate {...}`."""
    return _allow(HEADER_NAME, value, "header name")


def text_argument(value: str, what: str = "value") -> str:
    """Free text for a channel variable: no control characters, not an array, of a size events can carry."""
    if CONTROL.search(value):
        raise BadArgument(f"{what}: control characters are not allowed")
    if value.startswith("ARRAY::"):
        raise BadArgument(f"{what}: must not begin with ARRAY::")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadArgument(f"{what}: not valid Unicode") from None
    if size > MAX_VALUE_BYTES:
        raise BadArgument(f"{what}: longer than {MAX_VALUE_BYTES} bytes")
    return value


def _escape(value: str, also: str = "") -> str:
    """One level of quoting: backslash, quote and the characters in `also`; a blank becomes `\\s`."""
    return value.translate(_escapes(also))


@cache
def _escapes(also: str) -> dict[int, str]:
    return str.maketrans({char: "\\s" if char == " " else f"\\{char}" for char in f"\\'{also}"})


def quote_setvar(value: str, what: str = "value") -> str:
    """Rule A: the last argument of `uuid_setvar`."""
    if PLAIN.match(value):
        return value
    text_argument(value, what)
    inner = value.strip(" ")
    if not inner:
        return "\\s" * len(value)
    lead = len(value) - len(value.lstrip(" "))
    trail = len(value) - len(value.rstrip(" "))
    return "\\s" * lead + _escape(inner) + "\\s" * trail


def quote_originate(value: str, what: str = "value") -> str:
    """Rule C: a value inside `originate {name=value,...}`. Refuses what no escape can carry."""
    if PLAIN.match(value):
        return value
    for forbidden in ("{", "}", "${", ":_:"):
        if forbidden in value:
            raise BadArgument(f"{what}: {forbidden!r} is not allowed")
    return _escape(_escape(quote_setvar(value, what), ","), " ")


def encode_text(value: str) -> str:
    """Free text as a channel variable holds it: percent-encoded UTF-8, read back with `decode_text`."""
    return quote(value, safe="", errors="surrogatepass")


def decode_text(value: str) -> str:
    """What `encode_text` wrote."""
    return unquote(value, errors="replace")


def setvar(channel: str, key: str, value: str) -> str:
    """`uuid_setvar`; an empty value removes the variable."""
    return f"uuid_setvar {uuid(channel)} {variable(key)} {quote_setvar(value, key)}".rstrip(" ")


def set_lines(channel: str, key: str, text: str) -> str:
    """`uuid_setvar` of text of several lines, such as a session description."""
    lines = [text_argument(line, key) for line in text.replace("\r", "").rstrip("\n").split("\n")]
    if len(text.encode()) > MAX_VALUE_BYTES:
        raise BadArgument(f"{key}: longer than {MAX_VALUE_BYTES} bytes")
    return f"uuid_setvar {uuid(channel)} {variable(key)} " + "".join(f"{_escape(line)}\\n" for line in lines)


def api(command: str) -> str:
    """The line that has a command carried out and answered at once."""
    return f"api {command}"


def to_channel(channel: str) -> str:
    """The line before the headers that tell a channel something."""
    return f"sendmsg {uuid(channel)}"


def kill(channel: str, hangup_cause: str) -> str:
    """`uuid_kill` with a cause name."""
    return f"uuid_kill {uuid(channel)} {cause(hangup_cause)}"


def answer(channel: str) -> str:
    return f"uuid_answer {uuid(channel)}"


def pre_answer(channel: str) -> str:
    return f"uuid_pre_answer {uuid(channel)}"


def ring_ready(channel: str) -> str:
    return f"uuid_ring_ready {uuid(channel)}"


def hold(channel: str, on: bool) -> str:
    return f"uuid_hold {'' if on else 'off '}{uuid(channel)}"


def send_dtmf(channel: str, tones: str) -> str:
    return f"uuid_send_dtmf {uuid(channel)} {digits(tones)}"


def getvar(channel: str, key: str) -> str:
    """`uuid_getvar`; `_undef_` when there is none."""
    return f"uuid_getvar {uuid(channel)} {variable(key)}"


def dump(channel: str) -> str:
    return f"uuid_dump {uuid(channel)} json"


def exists(channel: str) -> str:
    return f"uuid_exists {uuid(channel)}"


def cancel_schedule(channel: str) -> str:
    """Drop the hangup that the inbound dialplan scheduled for a call no service takes."""
    return f"sched_del {uuid(channel)}"


def inline(bond: str, *applications: str) -> str:
    """Dialplan applications to run one after the other. What is taken from a channel on its way to them is
    set again: the bond, and one of the 70 transfers that a call has (max_forwards), the last of which ends
    it."""
    settings = f"set:signal_bond={uuid(bond)},set:max_forwards={MAX_FORWARDS}"
    return f"'{','.join((settings, *applications))}' inline"


def transfer(channel: str, bond: str, *applications: str) -> str:
    """Leave what the channel is in, and run these."""
    return f"uuid_transfer {uuid(channel)} {inline(bond, *applications)}"


def transfer_to_conference(
    channel: str, bond: str, conference: str, rate: int, *, mute: bool = False, deaf: bool = False
) -> str:
    """Into a conference, silenced from its first frame on if asked.

    The `park` behind it keeps the call when the conference ends, whatever ended it.
    """
    flags = member_flags(mute, deaf)
    flags = f"+flags{{{flags}}}" if flags else ""
    room = f"conference:{name(conference)}@vsi{int(rate)}{flags}"
    return transfer(channel, bond, room, "park")


def member_flags(mute: bool, deaf: bool) -> str:
    """How a member comes into a conference."""
    return "|".join(flag for flag, wanted in (("mute", mute), ("deaf", deaf)) if wanted)


def dialled_into(bond: str, conference: str, rate: int, flags: str) -> str:
    """What becomes of a call that is dialled: with the first media it is in a conference, without having
    been parked. The channel variable `flags` says then whether it is silenced, however long it rang.
    """
    room = f"conference:{name(conference)}@vsi{int(rate)}+flags{{${{{variable(flags)}}}}}"
    return inline(bond, room, "park")


def conference_member(conference: str, action: str, member_id: str | int) -> str:
    """mute, unmute, deaf, undeaf; `quiet` keeps a configured sound from being played."""
    if action not in ("mute", "unmute", "deaf", "undeaf"):
        raise BadArgument(f"invalid conference action: {action!r}")
    return f"conference {name(conference)} {action} {member(member_id)} quiet"


MAX_RELATED = 100
"""Most members in one list of `relate` (mod_conference)."""


def relate(conference: str, listener: str, sources: list[str], action: str) -> str:
    """`nohear`: the listener does not hear the sources; `clear`: it does again."""
    if action not in ("nohear", "clear") or len(sources) > MAX_RELATED:
        raise BadArgument(f"invalid relation: {action!r}")
    ids = ",".join(member(source) for source in sources)
    return f"conference {name(conference)} relate {member(listener)} {ids} {action}"


def originate(target: Target, variables: dict[str, str], then: str = "&park()") -> str:
    """`originate` of a call; `then` is what becomes of it when it has media. `variables`, and those of the
    target, are quoted by rule C."""
    return f"originate {originate_variables(variables | target.variables)}{target.dial_string} {then}"


def originate_null(channel: str, variables: dict[str, str]) -> str:
    """A channel with nothing behind it (mod_loopback's null endpoint)."""
    return (
        f"originate {originate_variables({'origination_uuid': uuid(channel), **variables})}null/dummy &park()"
    )


def originate_variables(variables: dict[str, str]) -> str:
    """`{name=value,...}` in front of a dial string, quoted by rule C."""
    pairs = []
    for key, value in variables.items():
        if key.lower() == "origination_nested_vars":
            raise BadArgument("invalid variable name: 'origination_nested_vars'")
        if key.startswith("sip_h_"):
            header_name(key[6:])
        else:
            variable(key)
        pairs.append(f"{key}={quote_originate(value, key)}")
    return "{" + ",".join(pairs) + "}"


def global_getvar(key: str) -> str:
    return f"global_getvar {variable(key)}"


def sofia_profile_status(profile: str) -> str:
    """The SIP profile as XML; `Invalid Profile!` when it is not running."""
    return f"sofia xmlstatus profile {name(profile)}"


def sofia_gateways(gateway: str = "") -> str:
    """One gateway, or all of them, as XML; `Invalid Gateway!` when there is none of that name."""
    return f"sofia xmlstatus gateway {name(gateway)}" if gateway else "sofia xmlstatus gateway"


ABOUT_ITSELF = ("version", "status", "show modules", "sofia status")
"""What a switch is asked for a report of it."""


def configuration(file: str) -> str:
    """A configuration as the switch has read it, as XML."""
    return f"xml_locate configuration configuration name {name(file)}"


def sandbox(request: str) -> str:
    """A request to the people at the other end of the sandbox's calls, as JSON on one line."""
    return f"sandbox {request}"


def module_exists(module: str) -> str:
    return f"module_exists {name(module)}"


def leave_out(core: str, actions: Set[str]) -> list[str]:
    """What has a connection get all events but those of conferences with these actions.

    With a filter nothing passes that none lets pass, so the first lets all pass that are of this switch (its
    Core-UUID); and one that refuses has the last word (mod_event_socket, event_handler).
    """
    return [
        f"filter Core-UUID {uuid(core)}",
        *(f"filter Action -{name(action)}" for action in sorted(actions)),
    ]


def subscription(names: Set[str]) -> str:
    """`event json` for these events, and the subclasses, which are not in capitals, of CUSTOM ones."""
    subclasses = sorted(name for name in names if not name.isupper())
    custom = ["CUSTOM", *subclasses] if subclasses else []
    return f"event json {' '.join([*sorted(names - set(subclasses)), *custom])}"
