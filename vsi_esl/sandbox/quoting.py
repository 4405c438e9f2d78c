"""How a FreeSWITCH takes its arguments apart, pass by pass, so that values arrive here as they do there."""

from __future__ import annotations

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " "}


class ParseError(Exception):
    """The argument broke apart in a way the switch answers with an error."""


def unquote_once(text: str) -> str:
    """One cleaning pass: backslash escapes are resolved and a pair of single quotes vanishes."""
    out: list[str] = []
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            following = text[index + 1]
            if following in ESCAPES:
                out.append(ESCAPES[following])
            elif following in "\\'":
                out.append(following)
            else:
                out.append(char + following)
            index += 2
            continue
        if char != "'":
            out.append(char)
        index += 1
    return "".join(out)


def split(text: str, separator: str) -> list[str]:
    """Split on a separator that is neither escaped nor within single quotes; escapes of it are resolved."""
    parts: list[str] = [""]
    quoted = False
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            following = text[index + 1]
            parts[-1] += following if following == separator else char + following
            index += 2
            continue
        if char == "'":
            quoted = not quoted
        if char == separator and not quoted:
            parts.append("")
        else:
            parts[-1] += char
        index += 1
    return parts


def originate_words(text: str) -> tuple[str, str]:
    """The dial string and what follows it: the first blank outside the braces' escapes separates them.

    This pass is the first of three over the variables: it resolves one level of escapes.
    """
    words = split(text, " ")
    if len(words) < 2 or not words[1]:
        raise ParseError("-USAGE: <call url> <exten>|&<application_name>(<app_args>)")
    return unquote_once(words[0]), " ".join(words[1:])


def braces(dial_string: str) -> tuple[dict[str, str], str]:
    """The variables of `{a=b,...}` in front of a dial string, and the rest. The second and third pass."""
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
    for pair in split(dial_string[1:end], ","):
        name, equals, value = unquote_once(pair).partition("=")
        if equals and "${" not in value:
            variables[name] = unquote_once(value)
    return variables, dial_string[end + 1 :]
