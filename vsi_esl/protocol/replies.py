"""What commands answer: the type that a handler returns, of which the documents have the JSON Schema.

An object is a TypedDict, which stands beside the command, or beside what it is a view of; several of them are
a list; a single word is a `Status`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Generic, Literal, TypedDict, TypeVar

Word = TypeVar("Word", bound=str)


class Status(TypedDict, Generic[Word]):
    """What was done, or begun: `Status[Literal["muted"]]`."""

    status: Word


def of_handler(handler: Callable[..., Any]) -> Any:
    """The type that it returns. ValueError when that is none which the documents could show."""
    reply = typing.get_type_hints(handler).get("return")
    if not typing.is_typeddict(row(reply)):
        raise ValueError("its handler does not say what it answers")
    return reply


def is_list(reply: Any) -> bool:
    """Whether several rows are answered."""
    return typing.get_origin(reply) is list


def row(reply: Any) -> Any:
    """The TypedDict: of what is answered, or of each row."""
    if is_list(reply):
        return typing.get_args(reply)[0]
    return typing.get_origin(reply) or reply


def words(reply: Any) -> tuple[str, ...]:
    """Of a Status its words, else none."""
    if row(reply) is not Status:
        return ()
    (of_words,) = typing.get_args(reply)
    return typing.get_args(of_words) if typing.get_origin(of_words) is Literal else ()


def shown(reply: Any) -> str:
    """What is answered, for people: the words, or the name of the view."""
    name = " or ".join(words(reply)) or row(reply).__name__
    return f"array of {name}" if is_list(reply) else name
