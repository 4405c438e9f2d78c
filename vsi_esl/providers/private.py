"""What must not be seen in an error: a provider's answer may quote the request, its key among it."""

from __future__ import annotations

import html
import re

HIDDEN = "..."
WINDOW = 8
"""So many characters in a row are enough to be a part of what is private."""
SHORTEST = 3
"""What is shorter is too common to be told from other text."""
BLANKS = re.compile(r"\s+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def without(answer: str, *privates: str) -> str:
    """`answer` on one line, without any part of `privates`, whatever their case, in JSON and XML as well."""
    shown = CONTROL.sub(" ", _plain(answer))
    hidden = bytearray(len(shown))
    for private in privates:
        _mark(shown, BLANKS.sub(" ", private), hidden)
    return _cut(shown, hidden)


def _plain(answer: str) -> str:
    """With characters in place of the escapes of JSON and XML."""
    pairs = ESCAPED.sub(lambda found: chr(int(found[1], 16)), html.unescape(answer))
    return pairs.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mark(shown: str, private: str, hidden: bytearray) -> None:
    """Mark the characters of `shown` that are in a part of `private`."""
    size = min(WINDOW, len(private))
    if size < SHORTEST:
        return
    private = private.lower()
    parts = {private[at : at + size] for at in range(len(private) - size + 1)}
    # character by character: lower() may make two of one
    folded = "".join(one.lower() if len(one.lower()) == 1 else one for one in shown)
    for at in range(len(folded) - size + 1):
        if folded[at : at + size] in parts:
            hidden[at : at + size] = b"\1" * size


def _cut(shown: str, hidden: bytearray) -> str:
    pieces, before = [], 0
    for one, mark in zip(shown, hidden, strict=True):
        if not mark:
            pieces.append(one)
        elif not before:
            pieces.append(HIDDEN)
        before = mark
    return "".join(pieces).strip()
