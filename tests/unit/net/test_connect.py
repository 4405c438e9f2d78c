"""Connections to hosts that somebody else named: what is left of those that came to nothing."""

from __future__ import annotations

import gc
import sys

import gevent
import pytest

from tests.support.s3server import hung, unheard
from vsi_esl.net.connect import Connector
from vsi_esl.net.guard import AddressGuard
from vsi_esl.net.url import parsed


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.1"]])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("server", [unheard, hung])
def test_an_attempt_that_is_ended_leaves_no_socket_open(server, scheme, addresses, monkeypatch):
    left: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: left.append(repr(one.exc_value)))
    with server() as url:
        host = parsed(url.replace("http", scheme), "test")
        connector = Connector(AddressGuard(True), 30.0, "test", resolver=lambda *_: addresses)
        with gevent.Timeout(0.4, False):
            connector.connect(host).close()
        gevent.sleep(0)
        gc.collect()
    assert left == []
