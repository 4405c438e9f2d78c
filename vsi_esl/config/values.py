"""Parsers of setting values. Each takes a string or a list of strings, as YAML or the environment gave it,
and raises ValueError with what would be allowed. A few return a part of it with a warning (`Partly`)."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Any

from ..access.tokens import Tokens, shown
from ..errors import BadArgument
from ..model.codecs import CLOCK_RATES, codec_name
from ..model.sipuri import parse, sip_uri

DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h)?\Z")
SECONDS = {None: 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
LONGEST_S = 366 * 24 * 3600.0
SIZE = re.compile(r"([0-9]{1,12})\s*(KiB|MiB|GiB)?\Z")
BYTES = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SMALLEST_DISK_BYTES, LARGEST_DISK_BYTES = 1 << 20, 1 << 40
LARGEST_BYTES = 1 << 30
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

EVENT_BUFFER_LOW, EVENT_BUFFER_HIGH = 16, 1_000_000


@dataclass(frozen=True, slots=True)
class Partly:
    """A value of which something was left out; `warning` says what."""

    value: Any
    warning: str


def text(value: Any) -> str:
    """Text of one line, perhaps empty."""
    if not isinstance(value, str):
        raise ValueError("must be a single value")
    if CONTROL.search(value):
        # a line break in a password would end the `auth` command and start another one
        raise ValueError("must not contain line breaks or other control characters")
    return value


def some_text(value: Any) -> str:
    """Text of one line, not empty."""
    word = text(value)
    if not word:
        raise ValueError("must not be empty")
    return word


def boolean(value: Any) -> bool:
    """true/1/yes/on or false/0/no/off, in any case."""
    word = text(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true/yes/on/1 or false/no/off/0")


def integer(low: int, high: int) -> Any:
    """A whole number between two bounds, both allowed."""

    def parse(value: Any) -> int:
        word = text(value).strip()
        if not WHOLE_NUMBER.match(word) or not low <= int(word) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(word)

    return parse


def event_buffer(value: Any) -> int:
    """The reference's rule: below 16 is 16, above 1,000,000 is 1,000,000."""
    word = text(value).strip()
    if not WHOLE_NUMBER.match(word):
        raise ValueError("must be a whole number")
    return min(EVENT_BUFFER_HIGH, max(EVENT_BUFFER_LOW, int(word)))


def sample_rate(value: Any) -> int:
    """8000, 16000 or 48000 Hz."""
    word = text(value).strip()
    if word not in ("8000", "16000", "48000"):
        raise ValueError("must be 8000, 16000 or 48000")
    return int(word)


def duration_or_zero(value: Any) -> float:
    """Seconds: a plain number, or one with ms, s, m or h behind it. At most 366 days."""
    match = DURATION.match(text(value).strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else LONGEST_S + 1
    if seconds > LONGEST_S:
        raise ValueError('must be a duration such as 5, "250ms", "5s", "2m" or "1h", at most 8784h')
    return seconds


def duration(value: Any) -> float:
    """A duration that is not zero: a limit of 0 would fail everything, an interval of 0 never sleep."""
    seconds = duration_or_zero(value)
    if seconds == 0:
        raise ValueError("must be a duration above 0")
    return seconds


def speech_lead(value: Any) -> float:
    """Of a frame of 20 ms, or up to the three that an internal channel of the switch has room for."""
    seconds = duration(value)
    if not 0.02 <= seconds <= 0.06:
        raise ValueError("must be from 20ms to 60ms")
    return seconds


def size(value: Any) -> int:
    """Bytes: a plain number, or one with KiB, MiB or GiB behind it. From 1 byte to 1 GiB."""
    number = _bytes(value)
    if not 0 < number <= LARGEST_BYTES:
        raise ValueError('must be a size such as 65536, "64KiB" or "1MiB", at most 1GiB')
    return number


def disk_size(value: Any) -> int:
    """Bytes of a file that is meant to hold much: from 1 MiB to 1024 GiB."""
    number = _bytes(value)
    if not SMALLEST_DISK_BYTES <= number <= LARGEST_DISK_BYTES:
        raise ValueError('must be a size such as "256MiB" or "1GiB", from 1MiB to 1024GiB')
    return number


def _bytes(value: Any) -> int:
    match = SIZE.match(text(value).strip())
    return int(match[1]) * BYTES[match[2]] if match else 0


def _is_ip(word: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(word).version == version
    except ValueError:
        return False


def host(value: Any) -> str:
    """A host name, an IPv4 address, or an IPv6 address (brackets are taken off)."""
    word = text(value).strip()
    bare = word[1:-1] if word.startswith("[") and word.endswith("]") else word
    if not (_is_ip(bare, 6) or (bare == word and HOST_NAME.match(word))):
        raise ValueError("must be a host name or an IP address")
    return bare


def address(value: Any) -> str:
    """host:port, :port for all interfaces, or [IPv6]:port. Port 0 takes any free one."""
    word = text(value).strip()
    name, colon, port = word.rpartition(":")
    good_port = re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535
    bracketed = name.startswith("[") and name.endswith("]")
    good_name = _is_ip(name[1:-1], 6) if bracketed else not name or HOST_NAME.match(name)
    if not (colon and good_port and good_name):
        raise ValueError('must be "host:port", ":port" or "[IPv6]:port", the port from 0 to 65535')
    return word


def host_or_none(value: Any) -> str:
    """As `host`, or nothing."""
    return host(value) if text(value).strip() else ""


def address_or_none(value: Any) -> str:
    """As `address`, or nothing."""
    return address(value) if text(value).strip() else ""


def remote_address(value: Any) -> str:
    """host:port or [IPv6]:port of another program: both have to be said."""
    word = address(value)
    if word.startswith(":") or word.endswith(":0"):
        raise ValueError('must be "host:port" or "[IPv6]:port", the port from 1 to 65535')
    return word


def ip_and_port(value: Any) -> str:
    """An IP address and a port, as 10.0.0.11:5072 or [IPv6]:port; or empty."""
    word = text(value).strip()
    name, _, port = word.rpartition(":")
    bracketed = name.startswith("[") and name.endswith("]")
    good_name = _is_ip(name[1:-1], 6) if bracketed else _is_ip(name, 4)
    if word and not (good_name and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= 65535):
        raise ValueError("must be an IP address and a port, as 10.0.0.11:5072")
    return word


def sip_domain(value: Any) -> str:
    """The host part of a SIP URI (RFC 3261: IPv6 in brackets, perhaps a port), or empty."""
    word = text(value).strip()
    if not word:
        return ""
    name, colon, port = word.rpartition(":")
    if not (colon and port.isdigit()):
        name, port = word, "5060"
    try:
        address(f"{name}:{port}")
    except ValueError:
        name = ""
    if not name:
        raise ValueError("must be a host name, an IPv4 address or an [IPv6] address")
    return word


def sip_proxy(value: Any) -> str:
    """The SIP URI of a proxy, or empty."""
    word = text(value).strip()
    try:
        if word:
            sip_uri(word)
    except BadArgument:
        raise ValueError("must be a sip: or sips: URI, such as sip:proxy.example.com:5060") from None
    return word


def tls_target(value: Any) -> str:
    """Host, port and parameters of a SIP URI that is reached over TLS."""
    target = some_text(value).strip()
    try:
        good = parse(f"sip:user@{target}").transport == "tls"
    except BadArgument:
        good = False
    if not good:
        raise ValueError("must be host:port;parameters;transport=tls")
    return target


def choice(*allowed: str) -> Any:
    """One of these words, in any case."""

    def parse(value: Any) -> str:
        word = text(value).strip().lower()
        if word not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return word

    return parse


def codecs(default: tuple[str, ...]) -> Any:
    """Codec names, as a list or separated by commas, in order of preference.

    As in the reference, unknown ones are left out, and the default takes the place of a list of unknown ones
    only; here with a warning.
    """

    def parse(value: Any) -> tuple[str, ...] | Partly:
        words = value if isinstance(value, list) else text(value).split(",")
        found = {word: codec_name(word) for one in words if (word := str(one).strip())}
        if not found:
            raise ValueError(f"must name codecs of {', '.join(CLOCK_RATES)}")
        known = tuple(dict.fromkeys(name for name in found.values() if name)) or default
        unknown = [word for word, name in found.items() if name is None]
        if not unknown:
            return known
        left_out = ", ".join(map(shown, unknown))
        return Partly(known, f"{left_out} left out: the codecs are {', '.join(CLOCK_RATES)}")

    return parse


def name(value: Any) -> str:
    """A FreeSWITCH name: letters, digits, dot, dash and underscore."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", text(value)):
        raise ValueError("must consist of letters, digits, dot, dash and underscore")
    return str(value)


def file_path(value: Any) -> str:
    """The path of a file, existing or not; `~` is the home directory. `:memory:` is SQLite's own."""
    path = os.path.expanduser(some_text(value))
    if path.endswith("/") or os.path.isdir(path):
        raise ValueError("is a directory, must be a file")
    return path


def file_path_or_none(value: Any) -> str:
    """The path of a file, or nothing."""
    return file_path(value) if text(value) else ""


def directory(value: Any) -> str:
    """The absolute path of a directory, existing or not: the switch, which writes there, runs elsewhere."""
    path = os.path.expanduser(some_text(value))
    if not os.path.isabs(path):
        raise ValueError("must be an absolute path")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError("is a file, must be a directory")
    return path


SWITCH_PATH = re.compile(r"/[A-Za-z0-9._/-]{0,512}\Z")


def switch_directory(value: Any) -> str:
    """A directory whose files the switch is told the names of: a blank in one would end the name."""
    path = directory(value)
    if not SWITCH_PATH.match(path):
        raise ValueError("must have only letters, digits and ._-/ in it: the switch is told this path")
    return path


def http_url(value: Any) -> str:
    """An http or https URL, or nothing."""
    word = text(value).strip()
    if word and not re.match(r"https?://[^/?#\s@]+(?:[/?#]\S*)?\Z", word):
        raise ValueError("must be an http:// or https:// URL, without a user name")
    return word


def words(value: Any) -> tuple[str, ...]:
    """A list, or a text with commas between its entries."""
    entries = value if isinstance(value, list) else text(value).split(",")
    return tuple(word for entry in entries if (word := text(entry).strip()))


def tokens(value: Any) -> tuple[str, ...]:
    """Bearer tokens, each NAME:SCOPE:HASH[:APP_ID_PATTERN]; in a text, with commas or line ends between."""
    lines = words(value.replace("\n", ",") if isinstance(value, str) else value)
    Tokens(lines)
    return lines


def networks(value: Any) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Networks in CIDR notation: a list, or a text with commas between them."""
    words = value if isinstance(value, list) else text(value).split(",")
    found = []
    for number, word in enumerate(words, 1):
        if not text(word).strip():
            continue
        try:
            found.append(ipaddress.ip_network(text(word).strip()))
        except ValueError:  # the word is not said: it may be a secret that belongs elsewhere
            raise ValueError(f"must be networks such as 10.0.0.0/8, which entry {number} is not") from None
    return tuple(found)
