"""A VSI server as everybody sees it: an address."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import urlsplit

import gevent

from .http import HttpClient
from .vsi import VsiClient

EMPTY_TIMEOUT_S = 20.0


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
        """End everything on it, and wait until it is gone. By VSI, as it takes every id."""
        client = VsiClient(self.address)
        try:
            with gevent.Timeout(EMPTY_TIMEOUT_S, AssertionError("legs or rooms are left on the server")):
                while there := [
                    *(
                        (f"delete_{kind}", one["id"])
                        for kind in ("leg", "room")
                        for one in client.ok(f"list_{kind}s")
                    )
                ]:
                    for command, id in there:
                        client.reply(client.send(command, id=id))
        finally:
            client.close()
