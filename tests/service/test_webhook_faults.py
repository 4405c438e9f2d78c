"""Receivers that are down, slow, broken or hostile: nothing is lost or reordered, and nobody else waits."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.support.drivers import eventually
from tests.support.ports import free_port
from tests.support.receiver import Received, Receiver
from vsi_esl import lasting
from vsi_esl.config.web import WebhookSettings
from vsi_esl.delivery.bus import EventBus
from vsi_esl.delivery.webhooks import best_effort, outbox_client
from vsi_esl.delivery.webhooks import durable as delivering
from vsi_esl.delivery.webhooks import post as posting
from vsi_esl.delivery.webhooks import sender as receiving
from vsi_esl.delivery.webhooks.outbox import BUSY_TIMEOUT_S
from vsi_esl.delivery.webhooks.post import signature
from vsi_esl.delivery.webhooks.sender import Sender
from vsi_esl.delivery.webhooks.targets import GLOBAL, Router, endpoint_of
from vsi_esl.delivery.webhooks.webhooks import Webhooks
from vsi_esl.events.legs import LegDisconnected
from vsi_esl.events.text import DtmfReceived
from vsi_esl.model.leg import Leg, Webhook
from vsi_esl.model.legtypes import SIP_INBOUND
from vsi_esl.model.stores import Legs, Rooms
from vsi_esl.net.connect import resolve
from vsi_esl.storage.database import StateError

QUICK = {"backoff_min": 0.02, "backoff_max": 0.1, "timeout": 5.0}
SHORT = 0.3
"""For a receiver that hangs: no test waits longer than it must."""


class Publisher:
    """A bus with webhooks, as in the service, and legs by name."""

    def __init__(self, path: Path, resolver: Callable[..., list[str]] = resolve, **settings: Any) -> None:
        self.legs, self.rooms = Legs(), Rooms()
        self.bus = EventBus("test")
        settings = {"secret": "g", "allow_private_urls": True, **QUICK, **settings}
        router = Router(self.legs, self.rooms, bool(settings.get("url")))
        self.webhooks = Webhooks(WebhookSettings(**settings), str(path), router, resolver)
        self.bus.add_sink(self.webhooks.offer)
        self.webhooks.start()

    def leg(self, name: str, url: str, secret: str = "") -> None:
        self.legs.add(Leg(name, SIP_INBOUND, 0.0, webhook=Webhook(url, secret)))

    def digits(self, leg: str, *numbers: int) -> None:
        for number in numbers:
            self.bus.publish(DtmfReceived(leg_id=leg, digit="1", seq=number))


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Callable[..., Publisher]]:
    made: list[Publisher] = []

    def make(resolver: Callable[..., list[str]] = resolve, **settings: Any) -> Publisher:
        made.append(Publisher(tmp_path / "webhooks.sqlite3", resolver, **settings))
        return made[-1]

    yield make
    for one in made:
        one.webhooks.stop(1)


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(port: int = 0) -> Receiver:
        # one that stops may come back: nobody else is to get its port meanwhile
        made.append(Receiver(port or free_port()))
        return made[-1]

    yield make
    for one in made:
        one.released.set()
        one.stop()


@pytest.fixture
def receiver(receivers) -> Receiver:
    return receivers()


def numbers(requests: list[Received], leg: str) -> list[int]:
    """The digits' numbers in the order of their first arrival."""
    return list(dict.fromkeys(one.event["seq"] for one in requests if one.event["leg_id"] == leg))


FAULTS = ["500", "503", "404", "redirect", "hang", "cut", "reset", "slow"]


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_or_reordered(publisher, receiver, fault):
    left = 6

    def at_first(_: Received) -> str:
        nonlocal left
        left -= 1
        return fault if left >= 0 else "ok"

    receiver.behave[""] = at_first
    one = publisher(url=receiver.url(), timeout=SHORT if fault == "hang" else 5.0)
    for number in range(1, 6):
        one.digits("a", number)
        one.digits("b", number)
    receiver.wait(lambda: not one.webhooks.pending, "delivery")
    for leg in "ab":
        assert numbers(receiver.received, leg) == numbers(receiver.taken, leg) == [1, 2, 3, 4, 5]
    ids = {(one.event["leg_id"], one.event["seq"]): one.id for one in receiver.received}
    assert all(ids[one.event["leg_id"], one.event["seq"]] == one.id for one in receiver.received)
    assert not [request for request in receiver.received if request.path == "/elsewhere"]
    assert one.webhooks.delivered == 10
    assert (one.webhooks.failed_attempts > 0) is (fault != "slow")


def test_an_error_that_nobody_foresaw_delays_what_waits_and_no_more(publisher, receiver, monkeypatch, log):
    monkeypatch.setattr(lasting, "LONGEST_PAUSE_S", 0.1)
    load, failed = Sender._load, []

    def fail_once(self: Sender) -> None:
        if not failed:
            failed.append(self)
            raise ValueError("a fault")
        load(self)

    monkeypatch.setattr(Sender, "_load", fail_once)
    one = publisher(url=receiver.url())
    one.digits("a", 1, 2)
    receiver.wait(lambda: not one.webhooks.pending, "delivery")
    assert numbers(receiver.taken, "a") == [1, 2]
    assert len(log.named("webhooks of an endpoint not delivered")) == len(failed) == 1


def test_a_receiver_that_comes_up_later_gets_everything(publisher, receivers):
    receiver = receivers()
    receiver.stop()
    one = publisher(url=receiver.url())
    one.digits("a", *range(1, 1001))
    eventually(lambda: one.webhooks.failed_attempts >= 3, "attempts")
    assert one.webhooks.pending == 1000
    again = receivers(receiver.port)
    again.wait(lambda: not one.webhooks.pending, "delivery")
    assert numbers(again.taken, "a") == list(range(1, 1001))
    assert again.connections < 20


def test_a_dead_receiver_delays_no_other_and_holds_nothing(publisher, receivers):
    hanging, refusing, healthy = receivers(), receivers(), receivers()
    hanging.behave[""] = "hang"
    refusing.stop()
    one = publisher(url=healthy.url(), timeout=1.0, backoff_max=60.0)
    for number in range(300):
        one.leg(f"h{number}", hanging.url())
        one.leg(f"r{number}", refusing.url())
        one.digits(f"h{number}", 1, 2)
        one.digits(f"r{number}", 1, 2)
    one.digits("fine", *range(1, 51))
    # in a queue behind 300 legs of the one that hangs it would take minutes
    all_of_them = list(range(1, 51))
    healthy.wait(lambda: numbers(healthy.taken, "fine") == all_of_them, "the healthy receiver's events")
    durable = one.webhooks._delivery
    dead = [endpoint_of(url) for url in (hanging.url(), refusing.url())]
    eventually(lambda: all(durable.left_alone(each) for each in dead), "left alone")
    assert len(hanging.received) <= 3
    eventually(lambda: one.webhooks.pending == 1200, "what is delivered waits no more")


def test_one_event_that_fails_holds_up_its_own_leg_only(publisher, receiver):
    bad = {"poison"}
    receiver.behave[""] = lambda request: "500" if request.event["leg_id"] in bad else "ok"
    one = publisher(url=receiver.url(), backoff_max=1.0)
    one.digits("poison", *range(1, 800))  # more than is kept in memory
    for leg in range(100):
        one.digits(f"leg{leg}", 1, 2, 3)
    receiver.wait(lambda: len(receiver.taken) == 300, "the other legs' events")
    assert len(receiver.received) - len(receiver.taken) < 20
    bad.clear()
    receiver.wait(lambda: not one.webhooks.pending, "the rest")
    assert numbers(receiver.taken, "poison") == list(range(1, 800))


def test_a_path_that_fails_does_not_stop_the_others_of_the_host(publisher, receiver):
    receiver.behave["/bad"] = "503"
    one = publisher(url=receiver.url("/good"), backoff_min=30.0, backoff_max=30.0)
    for leg in range(40):
        one.leg(f"bad{leg}", receiver.url("/bad"))
        one.digits(f"bad{leg}", 1)
    one.leg("good", receiver.url("/other"))
    one.digits("good", 1, 2, 3)
    receiver.wait(lambda: len(receiver.taken) == 3, "the other path")


def test_a_path_that_never_answers_does_not_hold_up_the_others_of_the_host(publisher, receiver):
    receiver.behave["/hung"] = "hang"
    one = publisher(url="", timeout=60.0)
    for leg in range(30):
        one.leg(f"hung{leg}", receiver.url("/hung"))
        one.digits(f"hung{leg}", 1, 2)
    receiver.wait(lambda: receiver.received, "the first request of the path that hangs")
    for leg in range(9):
        one.leg(f"fine{leg}", receiver.url(f"/tenant{leg % 3}"))
        one.digits(f"fine{leg}", 1, 2, 3, 4, 5)
    receiver.wait(lambda: len(receiver.taken) == 45, "all 45 events of the other paths")
    assert all(numbers(receiver.taken, f"fine{leg}") == [1, 2, 3, 4, 5] for leg in range(9))


def test_many_paths_that_never_answer_leave_room_for_one_that_does(publisher, receiver, monkeypatch):
    monkeypatch.setattr(delivering, "MAX_PER_HOST", 40)
    receiver.behave[""] = lambda request: "ok" if request.path == "/fine" else "hang"
    # long enough for a request to arrive on a busy machine: it would not be repeated within the test
    one = publisher(url="", timeout=1.0, backoff_min=60.0, backoff_max=60.0)
    one.leg("fine", receiver.url("/fine"))
    one.digits("fine", 1)
    receiver.wait(lambda: receiver.taken, "the first event")
    for leg in range(200):  # more than there are places, and more than there may be receivers
        one.leg(f"hung{leg}", receiver.url(f"/call/{leg}"))
        one.digits(f"hung{leg}", 1)
    receiver.wait(lambda: len(receiver.received) > 10, "requests that hang")
    one.digits("fine", *range(2, 101))
    receiver.wait(lambda: len(receiver.taken) == 100, "the events of the path that answers")
    receiver.wait(lambda: len({request.path for request in receiver.received}) == 201, "a turn for each", 60)


def test_paths_that_are_dead_for_long_hold_nothing(publisher, receivers, monkeypatch):
    monkeypatch.setattr(delivering, "MAX_PER_HOST", 10)
    gone = receivers()
    gone.stop()
    one = publisher(url="", backoff_min=60.0, backoff_max=60.0)
    for leg in range(50):
        one.leg(f"dead{leg}", gone.url(f"/call/{leg}"))
        one.digits(f"dead{leg}", 1)
    durable = one.webhooks._delivery
    dead = [endpoint_of(gone.url(f"/call/{leg}")) for leg in range(50)]
    eventually(lambda: all(durable.left_alone(each) for each in dead), "all left alone")
    again = receivers(gone.port)
    one.leg("new", again.url("/new"))
    one.digits("new", 1)
    again.wait(lambda: numbers(again.taken, "new") == [1], "the new one's turn")


def test_paths_of_a_host_share_its_connections(publisher, receiver):
    one = publisher(url="")
    for leg in range(5):
        one.leg(f"leg{leg}", receiver.url(f"/call/{leg}"))
        one.digits(f"leg{leg}", 1)
        # not when the receiver has answered, but when that is known here: the connection is free then
        receiver.wait(lambda: not one.webhooks.pending, "delivery")
    assert len(receiver.taken) == 5
    assert receiver.connections == 1


def test_connections_outlive_the_pauses_between_events_but_not_long_ones(publisher, receiver, monkeypatch):
    monkeypatch.setattr(receiving, "IDLE_S", 0.05)
    monkeypatch.setattr(delivering, "LOOK_EVERY_S", 0.05)
    one = publisher(url=receiver.url())
    for number in (1, 2):
        one.digits("a", number)
        receiver.wait(lambda: not one.webhooks.pending, "delivery")
        eventually(lambda: not one.webhooks._delivery._senders, "nothing to do")
    assert receiver.connections == 1
    monkeypatch.setattr(posting, "IDLE_S", 0.05)
    eventually(lambda: not receiver._sockets, "closed")


def test_an_interim_answer_is_not_the_answer(publisher, receiver):
    receiver.behave[""] = "early"
    one = publisher(url=receiver.url())
    one.digits("a", 1, 2, 3)
    receiver.wait(lambda: not one.webhooks.pending, "delivery")
    assert [request.event["seq"] for request in receiver.received] == [1, 2, 3]
    assert one.webhooks.failed_attempts == 0


def test_a_url_goes_out_as_it_was_written(publisher, receiver):
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    one = publisher(resolver, url="")
    one.leg("a", f"http://us%65r:p%3As@Bücher.example:{receiver.port}/%2fé/../x;y?sig=a%2fb+c#part")
    one.digits("a", 1)
    receiver.wait(lambda: receiver.taken, "delivery")
    (request,) = receiver.taken
    assert request.path == "/%2f%C3%A9/../x;y?sig=a%2fb+c"
    assert request.headers["host"] == f"xn--bcher-kva.example:{receiver.port}"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"user:p:s").decode()
    assert asked == ["xn--bcher-kva.example"]


def test_too_many_failing_legs_are_left_alone_too(publisher, receiver, monkeypatch):
    monkeypatch.setattr(receiving, "MAX_PARKED", 10)
    receiver.behave[""] = "500"
    one = publisher(url=receiver.url(), backoff_min=0.5, backoff_max=0.5)
    for leg in range(50):
        one.digits(f"leg{leg}", 1)
    durable = one.webhooks._delivery
    eventually(lambda: durable.left_alone(GLOBAL), "left alone")
    assert len(receiver.received) < 20
    receiver.behave.clear()
    receiver.wait(lambda: not one.webhooks.pending, "delivery")


def test_what_is_too_old_becomes_a_dead_letter_and_can_be_replayed(publisher, receiver, tmp_path):
    receiver.behave[""] = "500"
    one = publisher(url=receiver.url("/secret-path"), give_up_after=2.0)
    one.digits("a", 1, 2, 3)
    one.digits("b", 1)
    eventually(lambda: one.webhooks.dead == 4, "given up")
    assert one.webhooks.pending == 0
    receiver.behave.clear()
    one.digits("a", 4)
    receiver.wait(lambda: len(receiver.taken) == 1, "what came later")
    listed = vsi_esl(tmp_path, "list", "--json")
    rows = [json.loads(line) for line in listed.splitlines()]
    assert [(row["state"], row["key"], row["error"]) for row in rows] == [
        ("dead", row["key"], "status 500") for row in rows
    ]
    assert "secret-path" not in listed
    ids = {row["key"]: row["id"] for row in rows}
    assert "to be delivered again: 1" in vsi_esl(tmp_path, "replay", str(ids["b"]))
    receiver.wait(lambda: len(receiver.taken) == 2, "the one replayed")
    assert "to be delivered again: 3" in vsi_esl(tmp_path, "replay", "--all")
    receiver.wait(lambda: len(receiver.taken) == 5, "all of them")
    assert numbers(receiver.taken, "a") == [4, 1, 2, 3]
    assert {one.id for one in receiver.taken} == {one.id for one in receiver.received}
    assert "dead: 0" in vsi_esl(tmp_path, "list")


def test_old_events_of_a_dead_receiver_are_given_up_too(publisher, receivers):
    gone = receivers()
    gone.stop()
    one = publisher(url=gone.url(), give_up_after=0.3)
    one.digits("a", *range(1, 301))
    eventually(lambda: one.webhooks.dead == 300, "given up")
    assert one.webhooks.pending == 0


def test_the_outbox_is_bounded(publisher, receivers):
    gone = receivers()
    gone.stop()
    one = publisher(url=gone.url(), max_pending=100)
    one.digits("a", *range(150))
    assert (one.webhooks.enqueued, one.webhooks.dropped, one.webhooks.pending) == (100, 50, 100)
    assert 0 <= one.webhooks.oldest_age < 60


def test_what_a_full_disk_does_not_take_is_delivered_later(publisher, receiver, monkeypatch, tmp_path):
    one = publisher(url=receiver.url())
    other = sqlite3.connect(tmp_path / "webhooks.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # nor does the outbox take it
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    one.digits("a", 1, 2)
    monkeypatch.undo()
    one.digits("a", 3)
    assert (one.webhooks.enqueued, one.webhooks.dropped) == (3, 0)
    other.execute("ROLLBACK")
    other.close()
    receiver.wait(lambda: len(receiver.taken) == 3, "delivery")
    assert numbers(receiver.taken, "a") == [1, 2, 3]


def test_what_a_full_disk_does_not_take_is_bounded(publisher, receiver, monkeypatch, tmp_path):
    one = publisher(url=receiver.url())
    other = sqlite3.connect(tmp_path / "webhooks.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(outbox_client, "MAX_UNWRITTEN_BYTES", 1000)
    monkeypatch.setattr(os, "write", lambda file, data: 0)
    one.digits("a", *range(1, 50))
    monkeypatch.undo()
    kept = one.webhooks.enqueued
    assert (0 < kept < 20, one.webhooks.dropped) == (True, 49 - kept)
    other.execute("ROLLBACK")
    other.close()
    receiver.wait(lambda: len(receiver.taken) == kept, "delivery")
    assert numbers(receiver.taken, "a") == list(range(1, kept + 1))


def test_an_outbox_that_cannot_be_written_is_written_later(publisher, receiver, tmp_path):
    one = publisher(url=receiver.url())
    other = sqlite3.connect(tmp_path / "webhooks.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    one.digits("a", *range(1, 20))
    lag = 0.0
    for _ in range(30):
        started = time.monotonic()
        gevent.sleep(0.01)
        lag = max(lag, time.monotonic() - started)
    assert lag < BUSY_TIMEOUT_S / 2  # the loop does not wait for the lock, as the other thread does
    assert not receiver.received
    other.execute("ROLLBACK")
    other.close()
    receiver.wait(lambda: len(receiver.taken) == 19, "delivery")
    assert numbers(receiver.taken, "a") == list(range(1, 20))


def test_a_name_that_leads_inside_is_not_connected_to(publisher, receiver):
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    one = publisher(rebinding, url="", allow_private_urls=False)
    one.leg("a", f"http://public.example:{receiver.port}/hook")
    one.digits("a", 1)
    eventually(lambda: one.webhooks.failed_attempts >= 2, "refusals")
    assert receiver.connections == 0
    assert asked[0] == "public.example"


def test_the_operators_webhook_may_be_private_but_opens_no_door(publisher, receiver):
    one = publisher(url=receiver.url(), allow_private_urls=False)
    one.digits("global", 1)
    receiver.wait(lambda: len(receiver.taken) == 1, "the global one")
    one.leg("a", receiver.url())  # the same receiver, named by somebody else
    one.digits("a", 1)
    eventually(lambda: one.webhooks.failed_attempts >= 1, "refused")
    assert numbers(receiver.received, "a") == []


def test_an_endless_answer_is_not_read(publisher, receiver):
    receiver.behave[""] = "long"
    one = publisher(url=receiver.url())
    one.digits("a", 1, 2)
    receiver.wait(lambda: not one.webhooks.pending, "delivery")
    assert numbers(receiver.taken, "a") == [1, 2]


def test_connections_are_kept_and_one_that_was_closed_is_replaced(publisher, receiver):
    one = publisher(url=receiver.url())
    for number in range(1, 6):
        one.digits("a", number)
        receiver.wait(lambda: not one.webhooks.pending, "delivery")
    assert len(receiver.taken) == 5
    assert receiver.connections == 1
    receiver.hang_up()
    one.digits("a", 6)
    receiver.wait(lambda: len(receiver.taken) == 6, "delivery")
    assert one.webhooks.failed_attempts == 0


def test_the_last_event_of_a_leg_is_its_last_to_its_webhook(publisher, receiver):
    one = publisher(url=receiver.url("/global"))
    one.leg("a", receiver.url("/leg"))
    one.digits("a", 1)
    one.bus.publish(LegDisconnected(leg_id="a", cdr={}))
    one.digits("a", 2)
    receiver.wait(lambda: len(receiver.taken) == 3, "delivery")
    assert receiver.types("/leg") == ["dtmf.received", "leg.disconnected"]
    assert receiver.types("/global") == ["dtmf.received"]
    assert one.legs.webhooks == {}


def test_a_stop_finishes_requests_and_keeps_the_rest(publisher, receiver):
    receiver.behave[""] = "slow"
    one = publisher(url=receiver.url(), timeout=60.0)
    one.digits("a", *range(1, 11))
    receiver.wait(lambda: receiver.received, "the first request")
    started = time.monotonic()
    one.webhooks.stop(60)
    assert time.monotonic() - started < 30
    assert len(receiver.received) == len(receiver.taken)
    receiver.behave.clear()
    two = publisher(url=receiver.url())
    receiver.wait(lambda: not two.webhooks.pending, "the rest")
    assert [one.event["seq"] for one in receiver.taken] == list(range(1, 11))


def test_a_new_secret_and_a_new_address_count_for_what_waits(publisher, receivers):
    old = receivers()
    old.stop()
    one = publisher(url=old.url(), secret="old")
    one.digits("a", 1)
    one.webhooks.stop(1)
    new = receivers()
    publisher(url=new.url("/moved"), secret="new")
    request = new.wait(lambda: new.taken, "delivery")[0]
    assert request.headers["x-signature-256"] == signature("new", request.body)


def test_two_services_cannot_have_the_same_outbox(publisher):
    publisher(url="")
    with pytest.raises(StateError, match="in use by another vsi_esl"):
        publisher(url="")


def test_the_files_are_the_owners_only(publisher, receivers, tmp_path):
    gone = receivers()
    gone.stop()
    one = publisher(url=gone.url())
    one.leg("a", gone.url(), "hook-secret")
    one.digits("a", 1)
    assert {name.stat().st_mode & 0o077 for name in tmp_path.iterdir()} == {0}


# -- best effort --


def test_best_effort_makes_three_attempts(publisher, receiver, monkeypatch):
    monkeypatch.setattr(best_effort, "WAITS_S", (0.02, 0.04))
    receiver.behave["/bad"] = "500"
    one = publisher(mode="best_effort", url=receiver.url())
    one.leg("a", receiver.url("/bad"))
    one.digits("a", 1)
    one.digits("b", 1)
    eventually(lambda: not one.webhooks.pending, "the end of it")
    assert [request.path for request in receiver.received].count("/bad") == 3
    counts = one.webhooks
    assert (counts.delivered, counts.dead, counts.failed_attempts) == (1, 1, 3)


def test_best_effort_waits_as_the_reference():
    assert best_effort.WAITS_S == (2.0, 4.0)
    assert (best_effort.QUEUE, best_effort.WORKERS) == (1000, 10)


def test_best_effort_drops_what_does_not_fit(publisher, receiver):
    receiver.behave[""] = "hang"
    one = publisher(mode="best_effort", url=receiver.url(), timeout=5.0)
    one.digits("a", *range(10))
    receiver.wait(lambda: len(receiver.received) == 10, "ten at once")
    one.digits("a", *range(1100))
    assert (one.webhooks.dropped, one.webhooks.pending) == (100, 1010)
    receiver.behave.clear()
    receiver.released.set()
    one.webhooks.stop(60)
    assert len(receiver.taken) == 1010


def vsi_esl(directory: Path, *arguments: str) -> str:
    """`vsi-esl webhooks ...` on the outbox; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "vsi_esl", "webhooks", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "VSI_ESL_WEBHOOK_PATH": str(directory / "webhooks.sqlite3")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_outbox_takes_no_more_bytes_than_it_may(publisher, receiver):
    """A receiver that is down for long: the disk does not fill, what there is no room for is counted."""
    receiver.behave[""] = lambda _: "500"
    one = publisher(url=receiver.url(), max_bytes=1 << 20, backoff_min=60.0, backoff_max=60.0)
    for number in range(400):
        one.bus.publish(LegDisconnected(leg_id="a", cdr={"reason": f"{number}-{'x' * 5000}"}))
        if number % 20 == 0:
            gevent.sleep(0)
    assert 0 < one.webhooks.dropped < 400
    assert one.webhooks.pending == 400 - one.webhooks.dropped
    assert one.webhooks.pending < 220
    assert one.webhooks.pending > 100
