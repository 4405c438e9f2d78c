"""Marshmallow schemas of payloads, and dataclasses of events, as JSON Schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection
from functools import cache
from typing import Any

import marshmallow
from apispec import APISpec
from apispec.ext.marshmallow import OpenAPIConverter  # type: ignore[attr-defined]
from marshmallow import fields

from ..protocol import schemas
from .glossary import described

Schema = dict[str, Any]


@cache
def _converter() -> OpenAPIConverter:
    """apispec's view of marshmallow fields, with ours."""
    resolve: Any = lambda schema: None  # noqa: E731 - nested schemas are written out where they are used
    converter = OpenAPIConverter("3.1.0", resolve, APISpec("", "", "3.1.0"))
    converter.add_attribute_function(_ours)  # type: ignore[no-untyped-call]
    return converter


def _ours(self: Any, field: fields.Field[Any], **_: Any) -> Schema:
    """What apispec cannot know of a field class of ours."""
    shape: Schema = field.shape() if hasattr(field, "shape") else {}
    return shape


def payload(schema: marshmallow.Schema | None) -> Schema:
    """The payload of a command."""
    if schema is None:
        return {"type": "object", "properties": {}}
    found = {field.data_key or name: field for name, field in schema.fields.items()}
    required = [name for name, field in found.items() if schemas.needed(field)]
    properties = {name: described(name, member(field)) for name, field in found.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def member(field: fields.Field[Any]) -> Schema:
    """One member of a payload."""
    if isinstance(field, fields.Nested):
        return {**payload(field.schema), **_described(field)}
    if isinstance(field, fields.List):
        limit = {"maxItems": field.limit} if isinstance(field, schemas.Rows) else {}
        return {"type": "array", "items": member(field.inner), **limit, **_described(field)}
    found: Schema = _converter().field2property(field)
    for unwanted in ("default", "nullable", "readOnly", "writeOnly", schemas.NEEDED):
        found.pop(unwanted, None)
    if isinstance(found.get("type"), list):
        found["type"] = found["type"][0]  # null is the same as absent everywhere, and not said each time
    return found


def _described(field: fields.Field[Any]) -> Schema:
    text = field.metadata.get("description")
    return {"description": text} if text else {}


def of_class(kind: type[Any], named: Collection[type[Any]] = ()) -> tuple[dict[str, Schema], list[str]]:
    """The members of a dataclass or TypedDict, and which of them are always there."""
    properties, required = {}, []
    hints = typing.get_type_hints(kind, include_extras=True)
    for hinted, hint in hints.items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        schema, always = of_type(hint, named)
        name = hinted.rstrip("_")  # from_ is "from", which is a word of Python's
        properties[name] = described(name, schema)
        if always:
            required.append(name)
    return properties, required


def of_typed_dict(kind: type[Any], named: Collection[type[Any]] = ()) -> Schema:
    """A TypedDict; those of `named` are referred to by their names."""
    properties, required = of_class(kind, named)
    return {"type": "object", "properties": properties, "required": required}


def of_type(hint: Any, named: Collection[type[Any]] = ()) -> tuple[Schema, bool]:
    """A member's type annotation, and whether the member is always there (None means left out)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        schema, always = of_type(arguments[0], named)
        for note in arguments[1:]:
            schema = {**schema, **(note if isinstance(note, dict) else {"description": note})}
        return schema, always
    if origin is typing.NotRequired:
        return of_type(arguments[0], named)[0], False
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}, True
    if hint in named:
        return {"$ref": f"#/components/schemas/{hint.__name__}"}, True
    if typing.is_typeddict(hint):
        return of_typed_dict(hint, named), True
    if origin in (types.UnionType, typing.Union):
        kinds = [one for one in arguments if one is not type(None)]
        return of_type(kinds[0], named)[0], len(kinds) == len(arguments)
    if origin is list:
        return {"type": "array", "items": of_type(arguments[0], named)[0]}, True
    if origin is dict:
        inner = of_type(arguments[1], named)[0]
        return {"type": "object", **({"additionalProperties": inner} if inner else {})}, True
    simple = {str: "string", int: "integer", float: "number", bool: "boolean"}
    return ({"type": simple[hint]} if hint in simple else {}), True
