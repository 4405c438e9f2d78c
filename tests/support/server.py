"""A VSI server as everybody sees it: an address."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import quote, urlsplit

from .http import HttpClient


class Server:
    """`address` is host:port."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    def at(cls, url: str) -> Server:
        """By its URL, http://host:port."""
        return cls(urlsplit(url).netloc)

    @cached_property
    def instance_id(self) -> str:
        """What it calls itself."""
        return HttpClient(self.address)("GET", "/v1/legs/nobody").body["instance_id"]

    def empty(self) -> None:
        """End everything on it."""
        http = HttpClient(self.address)
        for kind in ("legs", "rooms"):
            for one in http("GET", f"/v1/{kind}").body or []:
                http("DELETE", f"/v1/{kind}/{quote(one['id'], safe='')}")

    @property
    def is_empty(self) -> bool:
        http = HttpClient(self.address)
        return not any(http("GET", f"/v1/{kind}").body for kind in ("legs", "rooms"))
