"""Which series and labels a PromQL expression names: enough of the language for that, and an error for what
is not of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""(?x) \s* (?:
      (?P<string>  "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*` )
    | (?P<range>   \[ [^\]]* \] )
    | (?P<number>  (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?:ms|[smhdwy])? (?![\w:]) )
    | (?P<name>    [A-Za-z_:][A-Za-z0-9_:]* )
    | (?P<sign>    =~ | !~ | != | == | <= | >= | [-+*/%^<>=(){},] )
    )"""
)
GROUPING = frozenset("by without on ignoring group_left group_right".split())
AGGREGATED = frozenset("by without".split())
"""What may stand between the name of an aggregation and its parenthesis."""
WORDS = frozenset("and or unless bool offset inf nan".split())


@dataclass(slots=True)
class Named:
    """What an expression names. `series` are those it reads, with the labels it selects by."""

    series: dict[str, set[str]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    """Those it groups or matches by."""


def named(expression: str) -> Named:
    """What an expression names. ValueError for what cannot be read."""
    tokens = list(_tokens(expression.replace("$__rate_interval", "5m").replace("$__range", "1h")))
    found = Named()
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        following = tokens[position + 1][1] if position + 1 < len(tokens) else ""
        position += 1
        if kind != "name" or text.lower() in WORDS:
            continue
        if text in GROUPING:
            if following == "(":
                position += 1
                while tokens[position][1] != ")":
                    if tokens[position][0] == "name":
                        found.labels.add(tokens[position][1])
                    position += 1
        elif following != "(" and following not in AGGREGATED:
            labels = found.series.setdefault(text, set())
            if following == "{":
                position += 1
                while tokens[position][1] != "}":
                    if tokens[position][0] == "name":
                        labels.add(tokens[position][1])
                    position += 1
    return found


def _tokens(text: str):
    position = 0
    while text[position:].strip():
        match = TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"not PromQL: {text[position : position + 40]!r} in {text!r}")
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()
