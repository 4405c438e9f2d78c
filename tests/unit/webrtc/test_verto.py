"""The client of mod_verto, and switches that do not do as they should."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from vsi_esl.errors import SwitchUnavailable
from vsi_esl.webrtc.verto import NoVerto, Verto


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_one_that_says_nothing_is_late_and_not_missing(listening):
    """Which of the two decides between 503, that passes, and 501, that asks the operator to install it."""
    one = Verto(*listening.getsockname())
    late = SwitchUnavailable("late")
    with pytest.raises(SwitchUnavailable) as raised, gevent.Timeout(0.1, late):
        one.connect()
    assert raised.value is late
    one.close()


def test_one_that_ends_the_connection_is_none(listening):
    def end():
        connection, _ = listening.accept()
        connection.close()

    ending = gevent.spawn(end)
    one = Verto(*listening.getsockname())
    with pytest.raises(NoVerto), gevent.Timeout(20):
        one.connect()
    one.close()
    ending.join()
