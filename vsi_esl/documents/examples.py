"""One example of each command and event, recorded from the sandbox (`python -m tests.record_examples`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from ..protocol.registry import Rest

Schema = dict[str, Any]
INSTANCE = "pbx1"


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = orjson.loads(files(__package__).joinpath("examples.json").read_bytes())
    return found


def request(name: str) -> Schema | None:
    """A command's frame; None when there is none, as for a command that was added since."""
    example = _recorded()["commands"].get(name)
    if example is None:
        return None
    payload = {"payload": example["payload"]} if example["payload"] else {}
    return {"type": name, "request_id": "7", **payload}


def result(name: str) -> Schema | None:
    """The frame that answers it."""
    example = _recorded()["commands"].get(name)
    return example and {"type": f"{name}.result", "request_id": "7", "data": example["data"]}


def event(kind: str) -> Schema | None:
    """An event's frame."""
    return _recorded()["events"].get(kind)


def body(name: str, rest: Rest, in_path: list[str]) -> Schema | None:
    """The command's body over REST: what the path does not give, under the names that it has there."""
    example = _recorded()["commands"].get(name)
    if example is None:
        return None
    if rest.within:
        inner: Schema = example["payload"][rest.within]
        return inner
    outside = {inside: name for name, inside in rest.names.items()}
    return {outside.get(key, key): value for key, value in example["payload"].items() if key not in in_path}


def answer(name: str) -> Any:
    """What the REST twin answers."""
    example = _recorded()["commands"].get(name)
    data = example and example["data"]
    return {"instance_id": INSTANCE, **data} if isinstance(data, dict) else data
