"""Two services share two switches on one Redis: each switch has one of them at a time, whatever happens.

The services are processes, whose times are shortened (`support.services`): a lease is 3 s, and who takes a
switch waits 1.4 s.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import gevent
import orjson
import pytest
import redis

from tests.support.drivers import SandboxDriver, SandboxPeer, eventually
from tests.support.http import HttpClient
from tests.support.receiver import Receiver
from tests.support.redisserver import RedisServer
from tests.support.relay import Relay
from tests.support.services import OneOfSeveral
from tests.support.vsi import VsiClient
from vsi_esl.sandbox import connection as sandbox_connection
from vsi_esl.switch.lines import fence

Calls: TypeAlias = "list[tuple[str, SandboxPeer]]"
"""Legs, and who is at their other ends."""

LONGEST_S = 30.0
"""For what takes a few seconds on a machine that has nothing else to do."""
LOST = "switch is another service's now"
QUESTIONS = ("api global_getvar", "exit", "auth")
"""What a service that is not sure of its switch may say to it."""


class Site:
    """Switches east and west, services a and b. What b says to Redis goes over a relay."""

    def __init__(self, directory: Any) -> None:
        self.redis = RedisServer(directory / "redis")
        self.relay = Relay(("127.0.0.1", self.redis.port))
        self.switches = {name: SandboxDriver() for name in ("east", "west")}
        port = self.relay.address[1]
        self.receiver = Receiver()
        more: dict[str, Any] = {
            "webhooks": {"url": self.receiver.url(), "allow_private_urls": True, "backoff_min": "50ms"},
            "cdr": {"path": str(directory / "calls.jsonl")},
        }
        self.records = directory / "calls.jsonl"
        self.a = OneOfSeveral("a", directory, self.redis, self.switches, **more)
        self.b = OneOfSeveral("b", directory, self.redis, self.switches, redis_port=port, **more)
        self.services = (self.a.listening(), self.b.listening())
        self._clients: list[VsiClient] = []

    def shared_out(self) -> None:
        """Each service has one switch, and both know that."""

        def known() -> bool:
            told = [set(one.readyz()["cluster"]["owners"].values()) for one in self.services]
            return told == [{"a", "b"}] * 2 and all(len(one.owned()) == 1 for one in self.services)

        eventually(known, "one each", LONGEST_S)

    def of(self, service: OneOfSeveral) -> tuple[str, SandboxDriver]:
        """The switch that it has."""
        (name,) = service.owned()
        return name, self.switches[name]

    def client(self, service: OneOfSeveral) -> VsiClient:
        self._clients.append(service.connect())
        return self._clients[-1]

    def leave(self) -> None:
        """Have no calls, rooms and clients of one test left for the next."""
        while self._clients:
            self._clients.pop().close()
        http = HttpClient(self.a.address)
        for kind in ("legs", "rooms"):
            # of a service that was killed a moment ago the others still believe that it is there
            eventually(lambda kind=kind: http("GET", f"/v1/{kind}").status == 200, "all answer", LONGEST_S)
            for there in http("GET", f"/v1/{kind}").body:
                http("DELETE", f"/v1/{kind}/{there['id']}")

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for one in (self.a, self.b):
            one.close()
        self.relay.stop()
        self.redis.close()
        self.receiver.stop()
        for driver in self.switches.values():
            driver.stop()


@pytest.fixture(scope="module")
def lasting_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("services"))
    yield site
    site.close()


@pytest.fixture
def site(lasting_site: Site) -> Iterator[Site]:
    if not lasting_site.b.running:
        lasting_site.b.start()
        lasting_site.b.listening()
    lasting_site.shared_out()
    yield lasting_site
    lasting_site.leave()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, str]]:
    """What the switches are told from now on, each line with the connection that it came over."""
    lines: list[tuple[object, str]] = []
    serve = sandbox_connection.Connection._serve

    def recorded(self: Any, command: Any) -> None:
        lines.append((self, command.line))
        serve(self, command)

    monkeypatch.setattr(sandbox_connection.Connection, "_serve", recorded)
    return lines


def calls_in_room(driver: SandboxDriver, client: VsiClient, room: str, count: int) -> Calls:
    """Calls that were answered and are in a room; the first of them muted."""
    made = []
    for _ in range(count):
        peer = driver.call()
        # events of the test before may come late, when Redis was away in it
        leg = client.event("leg.ringing", leg_id=peer.leg)["leg_id"]
        client.ok("answer_leg", id=leg)
        client.event("leg.connected", leg_id=leg)
        client.ok("add_leg_to_room", room_id=room, leg_id=leg)
        client.event("leg.joined_room", leg_id=leg)
        made.append((leg, peer))
    client.ok("mute_leg", id=made[0][0])
    return made


def here(service: OneOfSeveral, legs: Calls, room: str) -> bool:
    """Whether it has these legs itself, in this room, the first one muted."""
    http = HttpClient(service.address)
    views = [http("GET", f"/v1/legs/{leg}").body for leg, _ in legs]
    there = sum(one["legs"] for one in http("GET", "/switches").body)
    return there >= len(legs) and all(
        (one.get("room_id"), one.get("muted")) == (room, number == 0) for number, one in enumerate(views)
    )


def shown(driver: SandboxDriver) -> fence.Fence:
    found = fence.read(driver.switch.globals.get(fence.VARIABLE, ""))
    assert found is not None
    return found


def within(limit: float, condition: Callable[[], bool], what: str) -> float:
    """How many seconds it took."""
    began = time.monotonic()
    eventually(condition, what, limit)
    return time.monotonic() - began


def up(driver: SandboxDriver, legs: Calls) -> bool:
    return {leg for leg, _ in legs} <= set(driver.channels())


def shipped(service: OneOfSeveral) -> None:
    """All that it knows is in Redis."""
    eventually(lambda: not service.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)


def test_each_switch_shows_whose_it_is_and_so_does_readyz(site):
    for one in site.services:
        name, driver = site.of(one)
        said = one.readyz()
        assert said["cluster"]["owners"][name] == one.name == shown(driver).service
        assert said["cluster"]["redis"]["ready"] and said["status"] == "ready"
        other = next(switch for switch in site.switches if switch != name)
        assert not said["switches"][other]["ready"]


def test_doctor_looks_at_redis_and_at_whose_each_switch_is(site):
    found = {one["name"]: one for one in orjson.loads(site.a.asked("doctor", "--json"))}
    for one in site.services:
        name, driver = site.of(one)
        assert found[f"{name}: owner"]["detail"] == f"service {one.name}, fence {shown(driver).number}"
    assert found["redis"]["status"] == found["redis permissions"]["status"] == "ok"


def test_the_switch_of_a_service_that_is_killed_is_the_others_with_all_its_calls(site):
    name, driver = site.of(site.b)
    client = site.client(site.b)
    legs = calls_in_room(driver, client, "killed", 3)
    client.ok("create_room", id="kept", sample_rate=8000)
    client.ok("leg_record_start", id=legs[1][0])
    client.event("recording.started")
    number = shown(driver).number
    shipped(site.b)
    site.b.kill()
    seconds = within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
    print(f"the switch of a service that was killed was had again after {seconds:.1f} s")
    eventually(lambda: here(site.a, legs, "killed"), "with its calls", LONGEST_S)
    assert up(driver, legs)
    assert shown(driver).service == "a" and shown(driver).number > number
    taker = site.client(site.a)
    assert [taker.ok("get_room", id=room)["sample_rate"] for room in ("killed", "kept")] == [16000, 8000]
    taker.ok("leg_record_stop", id=legs[1][0])
    taker.event("recording.finished", leg_id=legs[1][0])
    legs[2][1].hang_up()
    taker.event("leg.disconnected", leg_id=legs[2][0])
    # back to the one that was killed: of those that are here it is handed one, without a word to clients
    before = len(site.b.said)
    site.b.start()
    site.b.listening()
    site.shared_out()
    moved, _ = site.of(site.b)

    def said(event: str) -> list[dict[str, Any]]:
        return [one for one in site.b.said[before:] if (one["event"], one.get("switch")) == (event, moved)]

    eventually(lambda: any(one["handed_over"] for one in said("switch taken")), "handed over", LONGEST_S)
    eventually(lambda: bool(said("calls re-adopted")), "it knows its calls", LONGEST_S)
    assert up(driver, legs[:2])
    assert said("calls re-adopted")[-1]["legs"] == (2 if moved == name else 0)
    assert len([one for one in taker.events if one["type"] == "leg.disconnected"]) == 1


def killed_when_told(site: Site, service: OneOfSeveral, kind: str, leg: str) -> gevent.Greenlet:
    """Kill it as soon as the stream has this event of a leg."""
    follower = redis.Redis(port=site.redis.port, protocol=2)
    newest = follower.xrevrange("vsi:events", count=1)
    last = newest[0][0] if newest else "0"

    def watch(last: bytes | str) -> None:
        while True:
            for _, entries in follower.xread({"vsi:events": last}, block=int(LONGEST_S * 1000)):
                for _, entry in entries:
                    event = orjson.loads(entry[b"f"])
                    if (event["type"], event.get("leg_id")) == (kind, leg):
                        service.signal(signal.SIGKILL)
                        follower.close()
                        return
                last = entries[-1][0]

    return gevent.spawn(watch, last)


@pytest.mark.parametrize("last", ["leg.joined_room", "leg.left_room"])
def test_what_a_service_told_in_its_last_moment_is_known_to_the_next(site, last):
    """And is not told once more, as it was when the state came 20 ms behind."""
    name, driver = site.of(site.b)
    client, other = site.client(site.b), site.client(site.a)
    leg = driver.call().leg
    client.event("leg.ringing", leg_id=leg)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    command, turns = "add_leg_to_room", ["leg.joined_room"]
    if last == "leg.left_room":
        client.ok("add_leg_to_room", room_id="moment", leg_id=leg)
        other.event("leg.joined_room", leg_id=leg)
        command, turns = "remove_leg_from_room", ["leg.joined_room", last]
    shipped(site.b)
    killing = killed_when_told(site, site.b, last, leg)
    client.send(command, room_id="moment", leg_id=leg)
    killing.get(timeout=LONGEST_S)
    site.b.gone()
    within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
    other.ok("mute_leg", id=leg)
    other.event("leg.muted", leg_id=leg)  # behind all that was found when the calls were adopted
    assert turns_of(other.events, leg) == turns
    assert other.ok("get_leg", id=leg).get("room_id") == ("moment" if last == "leg.joined_room" else None)


def test_one_that_stood_still_lets_go_of_what_another_has_by_now(site, told):
    name, driver = site.of(site.b)
    client, other = site.client(site.b), site.client(site.a)
    legs = calls_in_room(driver, client, "stood", 2)
    shipped(site.b)
    site.b.signal(signal.SIGSTOP)
    try:
        its_own = set(driver.switch._connections)
        within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
        eventually(lambda: here(site.a, legs, "stood"), "with its calls", LONGEST_S)
        legs[1][1].hang_up()
        other.event("leg.disconnected", leg_id=legs[1][0])
        told.clear()
    finally:
        site.b.signal(signal.SIGCONT)
    eventually(
        lambda: bool(site.b.heard("switch is another service's now", switch=name)), "let go", LONGEST_S
    )
    eventually(lambda: site.b.readyz()["cluster"]["owners"][name] != "b", "it has let go", LONGEST_S)
    said = [line for one, line in told if one in its_own]
    assert all(line.startswith(QUESTIONS) for line in said), said
    assert shown(driver).service == "a" and up(driver, legs[:1])
    ends = {one["event_id"] for one in [*client.events, *other.events] if one["type"] == "leg.disconnected"}
    assert len(ends) == 1  # told by one of them only


def test_owners_go_on_without_redis_and_catch_up(site):
    name, driver = site.of(site.a)
    client = site.client(site.a)
    ((leg, _),) = calls_in_room(driver, client, "alone", 1)
    number = shown(driver).number
    site.redis.stop()
    eventually(lambda: not site.a.readyz()["cluster"]["redis"]["ready"], "it is seen to be gone", LONGEST_S)
    gevent.sleep(3.5)  # longer than a lease: nobody lets go
    client.ok("unmute_leg", id=leg)
    second = driver.call().leg
    client.event("leg.ringing", leg_id=second)
    client.ok("answer_leg", id=second)
    client.event("leg.connected", leg_id=second)
    assert site.a.readyz()["status"] == "ready"
    assert site.a.figure("vsi_esl_state_unshipped") > 0
    site.redis.start()
    shipped(site.a)
    rows = site.redis.command("HKEYS", f"vsi:state:{name}")
    assert {f"legs|{leg}", f"legs|{second}", "rooms|alone"} <= set(rows)
    eventually(
        lambda: site.redis.command("HGET", "vsi:where", f"leg/{second}") == name,
        "it is known where",
        LONGEST_S,
    )
    assert shown(driver) == fence.Fence(number, "a")


def test_a_service_that_stops_hands_over_at_once_and_nothing_is_waited_for(site):
    name, driver = site.of(site.b)
    client = site.client(site.b)
    legs = calls_in_room(driver, client, "stopped", 2)
    site.b.stop()
    within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
    eventually(lambda: here(site.a, legs, "stopped"), "with its calls", LONGEST_S)
    assert up(driver, legs)
    told = {"switch": name, "fence": shown(driver).number, "handed_over": True}
    eventually(lambda: bool(site.a.heard("switch taken", **told)), "without a wait", LONGEST_S)


def comes_back(service: OneOfSeveral) -> None:
    """It is killed, and there again before anybody has missed it."""
    service.kill()
    service.start()
    service.listening()


@pytest.mark.parametrize("ends", [OneOfSeveral.kill, OneOfSeveral.stop, comes_back])
def test_a_list_is_whole_or_refused_whichever_service_has_the_calls(site, ends):
    client = site.client(site.a)
    rooms = {name: f"{ends.__name__}-{name}" for name in site.switches}
    there = {name: calls_in_room(driver, client, rooms[name], 2) for name, driver in site.switches.items()}
    legs = {leg for calls in there.values() for leg, _ in calls}
    for one in site.services:
        shipped(one)
    answers: Counter[tuple[str, str, int]] = Counter()

    def whole(service: OneOfSeveral) -> bool:
        """Whether it answers; what it lists then must be all that there is."""
        http, statuses = HttpClient(service.address), set()
        for kind, expected in (("legs", legs), ("rooms", set(rooms.values()))):
            answer = http("GET", f"/v1/{kind}")
            statuses.add(answer.status)
            answers[service.name, kind, answer.status] += 1
            assert answer.status == 503 or {one["id"] for one in answer.body} == expected, answer
            if answer.status == 200 and kind == "rooms":
                assert {one["id"] for room in answer.body for one in room["participants"]} == legs
        return statuses == {200}

    assert whole(site.a)
    assert whole(site.b)
    ends(site.b)
    if ends is not comes_back:
        eventually(lambda: whole(site.a) and len(site.a.owned()) == 2, "one service has all", LONGEST_S)
        site.b.start()
        site.b.listening()
    whole(site.b)
    eventually(
        lambda: all(map(whole, site.services)) and all(len(one.owned()) == 1 for one in site.services),
        "each has its share again",
        LONGEST_S,
    )
    print(dict(answers))


def test_one_that_alone_is_cut_off_from_redis_lets_go(site):
    name, driver = site.of(site.b)
    client = site.client(site.b)
    legs = calls_in_room(driver, client, "cut", 1)
    shipped(site.b)
    site.relay.go_dead()
    try:
        within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
        eventually(lambda: name not in site.b.owned(), "it has let go", LONGEST_S)
        eventually(lambda: here(site.a, legs, "cut"), "with its calls", LONGEST_S)
        assert shown(driver).service == "a"
        assert client.error("mute_leg", id=legs[0][0])[0] == 503
    finally:
        site.relay.come_back()
    site.shared_out()
    assert up(driver, legs)


LIFE = ("leg.ringing", "leg.connected", "leg.joined_room", "leg.left_room", "leg.disconnected")


def lives(events: list[dict[str, Any]], legs: list[str]) -> dict[str, list[str]]:
    """What was told of the life of each leg; each event, by its id, once."""
    each = {one["event_id"]: one for one in events if one["type"] in LIFE and one["leg_id"] in legs}
    return {leg: [one["type"] for one in each.values() if one["leg_id"] == leg] for leg in legs}


def test_what_it_did_not_know_to_be_its_own_it_tells_nobody_but_leaves_to_the_next(site):
    """Legs that end, begin, and begin and end while their service is cut off alone."""
    name, driver = site.of(site.b)
    client, other = site.client(site.b), site.client(site.a)
    calls = calls_in_room(driver, client, "told", 2)
    ending, staying = (leg for leg, _ in calls)
    other.event("leg.joined_room", leg_id=staying)
    shipped(site.b)
    site.relay.go_dead()
    try:
        driver.call().hang_up()
        calls[0][1].hang_up()
        late = driver.call()
        within(LONGEST_S, lambda: name in site.a.owned(), "the other has it")
        eventually(lambda: name not in site.b.owned(), "it has let go", LONGEST_S)
        began = other.event("leg.ringing", leg_id=late.leg)["leg_id"]
        eventually(lambda: bool(other.seen("leg.disconnected", leg_id=ending)), "its end is told")
        other.ok("delete_leg", id=staying)
        late.hang_up()
    finally:
        site.relay.come_back()
    for one in (client, other):
        eventually(lambda one=one: len(one.seen("leg.disconnected")) >= 4, "all is told", LONGEST_S)
        over = [event["leg_id"] for event in one.seen("leg.disconnected")]
        (gone,) = set(over) - {ending, staying, began}  # nobody but its service ever saw it
        told = lives(one.events, [ending, staying, began, gone])
        assert len(over) == 4
        assert told == {
            ending: list(LIFE),
            staying: list(LIFE),
            began: ["leg.ringing", "leg.disconnected"],
            gone: ["leg.ringing", "leg.disconnected"],
        }
    known = {one["event_id"] for one in [*client.events, *other.events]}
    # webhooks are on their own way
    eventually(
        lambda: lives([one.event for one in site.receiver.taken], list(told)) == told, "hooks too", LONGEST_S
    )
    assert {one.id for one in site.receiver.taken if one.event.get("leg_id") in told} <= known
    eventually(lambda: records(site, told) == dict.fromkeys(told, 1), "each has one record", LONGEST_S)


def records(site: Site, legs: Mapping[str, object]) -> dict[str, int]:
    """How many of each leg there are in the files of both."""
    found = [orjson.loads(line)["leg_id"] for line in site.records.read_text().splitlines()]
    return {leg: found.count(leg) for leg in legs}


def test_when_redis_is_gone_for_all_clients_are_told_before_long(site):
    driver = site.of(site.a)[1]
    client = site.client(site.a)
    site.redis.stop()
    try:
        peer = driver.call()
        leg = client.event("leg.ringing", leg_id=peer.leg)["leg_id"]
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
        eventually(lambda: not site.a.readyz()["cluster"]["redis"]["ready"], "it is seen to be gone")
    finally:
        site.redis.start()
    site.client(site.b).ok("list_legs")
    assert [len(one.owned()) for one in site.services] == [1, 1]


def turns_of(events: list[dict[str, Any]], leg: str) -> list[str]:
    """What was told of it about rooms, each event once."""
    each = {one["event_id"]: one for one in events if one.get("leg_id") == leg}
    return [one["type"] for one in each.values() if one["type"] in ("leg.joined_room", "leg.left_room")]


def test_two_rooms_of_one_name_come_together_at_one_service(site):
    """Made while Redis was away, each at its own service. One is the room from then on; who is in the other
    one leaves it, whose recording ends, and nobody joins what it has not left."""
    clients = [site.client(one) for one in site.services]
    names = [site.of(one)[0] for one in site.services]
    site.redis.stop()
    for one in site.services:
        eventually(lambda one=one: not one.readyz()["cluster"]["redis"]["ready"], "it is gone", LONGEST_S)
    pairs = [
        calls_in_room(site.switches[name], client, "twin", 1)[0]
        for name, client in zip(names, clients, strict=True)
    ]
    files = [client.ok("room_record_start", id="twin")["file"] for client in clients]
    site.redis.start()
    legs = [leg for leg, _ in pairs]
    for one, client in zip(site.services, clients, strict=True):
        shipped(one)
        eventually(
            lambda client=client: all(client.seen("leg.joined_room", leg_id=leg) for leg in legs), "told"
        )
    told = clients[0]
    site.b.stop()
    within(LONGEST_S, lambda: site.a.owned() == set(names), "it has both")
    told.event("leg.left_room", leg_id=legs[1])
    in_room = told.ok("get_room", id="twin")["participants"]
    assert [one["id"] for one in in_room] == legs[:1]
    told.event("recording.finished", room_id="twin", file=files[1])
    assert [told.ok("get_leg", id=leg).get("room_id") for leg in legs] == ["twin", None]
    told.ok("add_leg_to_room", room_id="aside", leg_id=legs[1])
    told.event("leg.joined_room", leg_id=legs[1], room_id="aside")
    # each of its switches goes to the other one and back
    for service, other in ((site.b, site.a), (site.a, site.b)):
        service.start()
        service.listening()
        site.shared_out()
        for one in site.services:
            shipped(one)
        clients.append(site.client(service))
        other.kill()
        within(LONGEST_S, lambda service=service: service.owned() == set(names), "it has both")

        def rooms(client: VsiClient = clients[-1]) -> list[str]:
            replies = [client.reply(client.send("get_leg", id=leg)) for leg in legs]
            return [one["data"].get("room_id", "") for one in replies]

        eventually(lambda rooms=rooms: rooms() == ["twin", "aside"], "both are where they were", LONGEST_S)
    site.b.start()
    site.b.listening()
    site.shared_out()
    events = [event for client in clients for event in client.events]
    assert turns_of(events, legs[0]) == ["leg.joined_room"]
    assert turns_of(events, legs[1]) == ["leg.joined_room", "leg.left_room", "leg.joined_room"]
    kept = {one["event_id"]: one for one in events if one.get("room_id") == "twin" and "file" in one}
    assert Counter((one["type"], one["file"]) for one in kept.values()) == {
        ("recording.started", files[0]): 1,
        ("recording.started", files[1]): 1,
        ("recording.finished", files[1]): 1,
    }
