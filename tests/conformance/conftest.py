"""A VSI server by its address, and nothing of its inside: a service of ours, or --target's.

The tests here get `server`, `client`, `connect` and `http`, and `switch` for the people at the other end of
its calls: who calls it, and whom it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.fixtures import connections
from tests.support.http import HttpClient
from tests.support.server import Server
from tests.support.service import address
from tests.support.vsi import VsiClient


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    target = request.config.getoption("--target")
    if target is None:
        return Server(address(request.getfixturevalue("service")))
    request.getfixturevalue("switch")  # it leaves the target empty for the next test
    return Server.at(target)


@pytest.fixture
def connect(request: pytest.FixtureRequest, server: Server) -> Iterator[Callable[..., VsiClient]]:
    """Connect VSI clients to the server: `connect()`, or `connect("?app_id=x")`."""
    with connections(request.config) as connect_to:
        yield lambda query="": connect_to(server.address, query)


@pytest.fixture
def client(connect: Callable[..., VsiClient]) -> VsiClient:
    return connect()


@pytest.fixture
def http(server: Server) -> HttpClient:
    return HttpClient(server.address)
