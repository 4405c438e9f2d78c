"""How a FreeSWITCH takes its arguments apart, pass by pass, so that values arrive here as they do there.

The rules are those of switch_separate_string (switch_utils.c): a separator counts unless it is escaped or in
single quotes, and each piece is then cleaned of one level of escapes and quotes.
"""

from __future__ import annotations

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
MAX_VARIABLES = 1024
ORIGINATE_USAGE = "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>]"


class ParseError(Exception):
    """The argument broke apart in a way the switch answers with an error; its text is that answer."""


def unquote_once(text: str, separator: str = "") -> str:
    """One cleaning pass.

    Escapes are resolved, a pair of single quotes vanishes, outer blanks go unless escaped or quoted. An
    unknown escape and a quote without a partner stay as they are.
    """
    text = text.lstrip(" ")
    out: list[str] = []
    end = index = 0
    quoted = False
    while index < len(text):
        char = text[index]
        following = text[index + 1 : index + 2] if char == "\\" else ""
        if following and (following in "'\"\\" or following == separator or following in ESCAPES):
            out.append(ESCAPES.get(following, following) if following != separator else following)
            end = len(out)
            index += 2
            continue
        index += 1
        if char == "'" and (quoted or text.find("'", index) >= 0):
            quoted = not quoted
            if quoted:
                end = len(out)
            continue
        out.append(char)
        if char != " " or quoted:
            end = len(out)
    return "".join(out[:end])


def separate(text: str, separator: str, limit: int = MAX_VARIABLES) -> list[str]:
    """Split on a separator and clean each piece; the last of `limit` pieces is the whole rest.

    Runs of blanks count as one separator; `^^x` in front makes x the separator.
    """
    if text.startswith("^^") and len(text) > 3:
        separator, text = text[2], text[3:]
    pieces: list[str] = []
    index = 0
    while index < len(text):
        if separator == " " and text[index] == " ":
            index += 1
            continue
        end = len(text) if len(pieces) == limit - 1 else _find(text, separator, index)
        pieces.append(unquote_once(text[index:end], separator if separator != " " else ""))
        index = end + 1
    return pieces


def _find(text: str, separator: str, index: int) -> int:
    quoted = False
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
        elif char == "'" and (quoted or separator == " " or text.find("'", index + 1) >= 0):
            quoted = not quoted
        elif char == separator and not quoted:
            return index
        index += 1
    return len(text)


def originate_words(text: str) -> tuple[str, str]:
    """The dial string, and what follows it. For the variables this is the first of three passes."""
    words = separate(text, " ", 7)
    if len(words) < 2 or not words[1]:
        raise ParseError(ORIGINATE_USAGE)
    return words[0], " ".join(words[1:])


def braces(dial_string: str) -> tuple[dict[str, str], str]:
    """The variables of `{a=b,...}` in front of a dial string, and the rest. The second and third pass.

    Braces are counted whatever is around them, and a value with `${` is dropped without a word.
    """
    if not dial_string.startswith("{"):
        return {}, dial_string
    depth = end = 0
    while end < len(dial_string):
        depth += {"{": 1, "}": -1}.get(dial_string[end], 0)
        if depth == 0:
            break
        end += 1
    if depth:
        raise ParseError("-ERR Parse Error!")
    variables: dict[str, str] = {}
    for pair in separate(dial_string[1:end], ","):
        name, value = [*separate(pair, "=", 2), "", ""][:2]
        if name and "=" in pair and "${" not in value:
            variables[name] = value
    return variables, dial_string[end + 1 :]
