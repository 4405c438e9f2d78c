"""What one service asks another."""

from __future__ import annotations

from types import SimpleNamespace

import gevent
import orjson

from tests.support.fakes import settle
from tests.support.stalls import comes_while_still
from vsi_esl.sharing.asking import Asking


def test_an_answer_that_came_while_we_stood_still_is_taken():
    """It is nowhere else any more: whoever asked would be told that it may have been done."""
    redis = SimpleNamespace(
        key=lambda *words: ":".join(words), run=lambda *_: True, command=lambda *_: 0, available=True
    )
    asking = Asking(redis, "a", serve=lambda message: None, there=lambda name: True)
    asked = gevent.spawn(asking.ask, "b", {"op": "x"}, 0.3)
    settle()
    (id,) = asking._waiting
    comes_while_still(0.6, lambda: asking._answered([orjson.dumps({"id": id, "data": "done"})]))
    assert asked.get(timeout=20) == "done"
    assert asking.timeouts == 0
