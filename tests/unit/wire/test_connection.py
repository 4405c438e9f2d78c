"""One connection, its ends and nothing behind them."""

from __future__ import annotations

import gevent
from gevent import socket

from tests.support.waiting import eventually
from vsi_esl.wire.connection import Connection
from vsi_esl.wire.frames import Message, Reader, pack


def test_nothing_is_taken_behind_its_end():
    """Whoever ends it at a message is not given those that were read with it."""
    ours, theirs = socket.socketpair()
    took: list[Message] = []
    ended: list[str] = []

    def take(message: Message) -> None:
        took.append(message)
        one.close("enough")

    one = Connection(ours, Reader(), take, ended.append)
    theirs.sendall(pack({"kind": "a"}) + pack({"kind": "b"}))
    one.start()
    eventually(lambda: ended == ["enough"], "it is ended")
    gevent.joinall(one._greenlets, timeout=20)
    assert [message["kind"] for message in took] == ["a"]
    theirs.close()
