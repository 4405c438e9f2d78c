"""Reading clients' JSON as the reference reads it, with Go's encoding/json (compared with that of Go 1.26).

orjson reads what is well-formed. What it refuses and Go reads is read here: half a surrogate pair and bytes
that are no UTF-8 become U+FFFD, a number may have any size, and behind the value of an HTTP body may stand
whatever likes to.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, NoReturn

import orjson

SPACE = " \t\r\n"
BLANK = SPACE.encode()
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape sequence, or a pair that makes one character; the group is half of such a pair."""
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
MAX_DEPTH = 1000
"""Of arrays and objects in each other. About orjson's own limit; that of json depends on its version."""
LONGEST_WHOLE = 20
"""Digits and sign of a 64-bit number; what is longer fits no member, and is not worth the arithmetic."""
WHOLE = range(-(1 << 63), 1 << 64)
"""As orjson reads them, and can write them again."""


def read(data: str | bytes, *, rest_ignored: bool = False) -> Any:
    """The value of a JSON text; with `rest_ignored` of its beginning. ValueError when there is none.

    Numbers that no member can have are floats, perhaps infinite. Nesting is limited (MAX_DEPTH).
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data if isinstance(data, str) else data.decode("utf-8", "vsi_esl.each_byte")
    text = ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], text.lstrip(SPACE))
    if _depth(text) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    try:
        value, end = _decoder.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not rest_ignored and text[end:].strip(SPACE):
        raise ValueError("something stands behind the value")
    return value


def _depth(text: str) -> int:
    """How deeply the first value of a text is nested, or would be if it were one."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
        if depth <= 0:
            break
    return deepest


def members_of(given: dict[str, Any]) -> dict[str, Any]:
    """The members of an object by their name in lower case: of spellings that differ in case the last
    counts, and null is no value."""
    return {key.lower(): value for key, value in given.items() if value is not None}


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    """Go's way: each byte that cannot be read becomes a character of its own."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


def _whole(digits: str) -> int | float:
    whole = int(digits) if len(digits) <= LONGEST_WHOLE else None
    return whole if whole is not None and whole in WHOLE else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


codecs.register_error("vsi_esl.each_byte", _each_byte)
_decoder = json.JSONDecoder(parse_int=_whole, parse_constant=_no_constant)
