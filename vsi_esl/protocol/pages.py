"""HTTP beside REST and its documents: what features have registered at paths of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..access.tokens import Access, Scope

if TYPE_CHECKING:
    from ..calls.context import Context

PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered with 200. With a `tag`, who has it already is told so (ETag)."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """What is at another path, `to`; from the one that was asked for, so that a proxy may have both below a
    prefix."""

    to: str


Handler = Callable[..., Page | Moved | dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `scope` is what a token needs; None for what anybody may have, with or without one."""

    path: str
    scope: Scope | None
    handler: Handler

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return PARAMETER.sub(r"<\1>", self.path)


_routes: dict[str, Route] = {}


def page(path: str, *, scope: Scope | None) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of GET at a path that is not below /v1.

    It is called as `handler(ctx, access, **parameters)` with the parameters of the path, raises VsiError to
    refuse, and returns a Page, where it is (Moved), or a dict for JSON, with `instance_id` as in REST.
    ValueError for a path that is taken.
    """

    def register(handler: Handler) -> Handler:
        if path in _routes or path.startswith("/v1/"):
            raise ValueError(f"{path} is taken")
        _routes[path] = Route(path, scope, handler)
        return handler

    return register


def registered() -> Mapping[str, Route]:
    """Path -> route."""
    return _routes


def is_public(rule: str) -> bool:
    """Whether what Flask knows by this rule needs no token."""
    return any(one.rule == rule and one.scope is None for one in _routes.values())


def answer(
    ctx: Context, route: Route, access: Access, parameters: Mapping[str, str]
) -> Page | Moved | dict[str, Any]:
    """What the handler answers. Raises VsiError."""
    if route.scope is not None:
        access.require(route.scope)
    return route.handler(ctx, access, **parameters)
