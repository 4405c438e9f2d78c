"""From the outbox to one endpoint, also when the outbox is not to be read for a while, as on a full disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gevent
import pytest

from tests.support.waiting import eventually
from vsi_esl.delivery.webhooks import sender as module
from vsi_esl.delivery.webhooks.breaker import Backoff, Breaker
from vsi_esl.delivery.webhooks.failure import ANSWERED, Undelivered
from vsi_esl.delivery.webhooks.outbox import Outbox, Waiting
from vsi_esl.delivery.webhooks.sender import Sender
from vsi_esl.delivery.webhooks.slots import Slots
from vsi_esl.work import clock


class FullDisk:
    """An outbox whose `unreadable` question is not answered the first time."""

    def __init__(self, unreadable: Callable[..., Any] | None, *keys: str) -> None:
        self._unreadable: Callable[..., Any] | None = unreadable
        self.rows = [
            Waiting(number, "x", key, "http://x/", "", str(number), "leg.muted", 0.0, clock.now(), 0, "", b"")
            for number, key in enumerate(keys, 1)
        ]

    def run(self, ask: Callable[..., Any], *values: Any) -> Any:
        gevent.sleep(0)
        if ask == self._unreadable:
            self._unreadable = None
            raise sqlite3.OperationalError("disk I/O error")
        if ask == Outbox.page:
            _, cursor, limit = values
            return [row for row in self.rows if row.id > cursor][:limit]
        assert ask == Outbox.lane
        _, key, last, limit = values
        return [row for row in self.rows if row.key == key and row.id > last][:limit]

    def delivered(self, id: int, _: str) -> None:
        self.rows = [row for row in self.rows if row.id != id]

    def failed(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("unreadable", [Outbox.page, Outbox.lane])
def test_what_waits_is_delivered_when_the_outbox_can_be_read_again(monkeypatch, unreadable):
    """Of the first leg the first attempt fails, so that its events are read once more."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    outbox = FullDisk(unreadable, "one", "one", "two")
    refused, sent = ["1"], []

    def attempt(row: Waiting) -> None:
        if row.event_id in refused:
            refused.remove(row.event_id)
            raise Undelivered("500", ANSWERED)
        sent.append(row.event_id)

    backoff = Backoff(0.01, 0.01)
    sender = Sender(
        "x",
        outbox,
        attempt,
        slots=Slots(),
        backoff=backoff,
        breaker=Breaker(backoff),
        started=clock.now(),
        give_up_after=3600,
    )
    running = gevent.spawn(sender.run)
    try:
        eventually(lambda: sorted(sent) == ["1", "2", "3"], "all are delivered")
        assert sent.index("1") < sent.index("2"), "in the order of their leg"
    finally:
        sender.stop()
        running.kill()


def test_what_may_be_taken_back_waits_with_what_follows_of_its_leg_and_holds_up_nobody_else():
    outbox = FullDisk(None, "one", "one", "two")
    first = outbox.rows[0]
    settled, sent, asked = {"2", "3"}, [], []

    def is_settled(event_id: str) -> bool:
        asked.append(event_id)
        return event_id in settled

    backoff = Backoff(0.01, 0.01)
    sender = Sender(
        "x",
        outbox,
        lambda row: sent.append(row.event_id),
        slots=Slots(),
        backoff=backoff,
        breaker=Breaker(backoff),
        started=clock.now(),
        give_up_after=3600,
        settled=is_settled,
    )
    running = gevent.spawn(sender.run)
    try:
        eventually(lambda: asked.count("1") > 3 and sent == ["3"], "it is looked at again", 20)
        settled.add("1")
        eventually(lambda: sent == ["3", "1", "2"], "it is delivered", 20)
        # taken back
        outbox.rows = [replace(first, id=number, event_id=str(number)) for number in (4, 5)]
        settled.add("5")
        sender.there_is_more()
        eventually(lambda: "4" in asked, "it is looked at", 20)
        outbox.rows = [row for row in outbox.rows if row.id != 4]
        sender.look_anew()
        eventually(lambda: sent[3:] == ["5"], "what follows is delivered", 20)
    finally:
        sender.stop()
        running.kill()
