"""Two services on one Redis: a client of either commands the calls of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.clustered import Site
from tests.support.drivers import eventually as waited_for
from tests.support.http import HttpClient
from tests.support.redisserver import RedisServer
from tests.support.sharing import eventually
from vsi_esl.access.tokens import digest_of
from vsi_esl.calls import placement
from vsi_esl.errors import LegGone
from vsi_esl.protocol.named import Name
from vsi_esl.sharing.commands import CLAIM_MS

Both = tuple[Site, Site]


def acquainted(east: Site, west: Site) -> Both:
    west.sees(east)
    east.sees(west)
    return east, west


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Two services for all tests that leave them as they are."""
    home = tmp_path_factory.mktemp("lasting")
    server = RedisServer(home / "redis")
    made = [Site(name, server, home) for name in ("east", "west")]
    yield acquainted(*made)
    for one in made:
        one.close()
    server.close()


@pytest.fixture
def both(lasting: Both) -> Iterator[Both]:
    """They, without calls and rooms."""
    yield acquainted(*lasting)
    for one in lasting:
        one.service.ctx.nodes.default.drained = False
        client = one.client()
        for room in one.service.ctx.rooms:
            client.ok("delete_room", id=room.id)
        for leg in one.service.ctx.legs:
            client.ok("delete_leg", id=leg.id)
    for one in lasting:
        eventually(lambda one=one: not one.service.ctx.legs.everyone(), "all calls are over")


@pytest.fixture
def east(both: Both) -> Site:
    return both[0]


@pytest.fixture
def west(both: Both) -> Site:
    return both[1]


@pytest.fixture
def fresh(site: Callable[..., Site]) -> Both:
    """Two of a test's own."""
    return acquainted(site("east"), site("west"))


@pytest.fixture
def still(west: Site) -> Iterator[Site]:
    """West, which takes no requests of others any more, though it is there."""
    asking = west.deployment.commands.asking
    asking._taker.kill()
    yield west
    if asking._taker.dead:
        asking.start()


def known_at(one: Site, leg: str, service: str) -> None:
    """Until it is in Redis where a leg is: that is told behind the events of its call."""
    redis = one.deployment.redis
    where = redis.key("where")
    eventually(
        lambda: redis.command("HGET", where, f"leg/{leg}") == service.encode(), "it is known where it is"
    )


def test_a_call_of_the_other_service_is_answered_played_to_and_ended(east, west):
    forwarded = east.deployment.commands.forwarded
    done = west.deployment.commands.done_for_others
    client = east.client()
    _, leg = west.call(client)
    assert client.ok("get_leg", id=leg)["state"] == "ringing"
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    playback = client.ok("leg_play_start", id=leg, tone="busy")["playback_id"]
    client.event("playback.started", leg_id=leg)
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    client.event("playback.finished", leg_id=leg)
    assert client.ok("delete_leg", id=leg) == {"status": "hanging_up"}
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: leg not in west.switch.channels(), "the call is hung up")
    assert east.deployment.commands.forwarded - forwarded == 5
    assert west.deployment.commands.done_for_others - done == 5
    assert client.error("delete_leg", id=leg) == (404, "leg not found")


def test_errors_are_those_of_the_service_that_does_it(east, west):
    client, own = east.client(), west.client()
    _, leg = west.call(client)
    for command, payload in (
        ("leg_play_start", {"id": leg, "tone": "nothing"}),
        ("delete_leg", {"id": leg, "reason": "nothing"}),
        ("leg_record_stop", {"id": leg}),
    ):
        assert client.error(command, **payload) == own.error(command, **payload)
    assert client.error("get_leg", id="nobody's") == (404, "leg not found")
    assert client.error("get_room", id="nobody's") == (404, "room not found")


def test_by_rest_as_well(east, west):
    client = east.client()
    _, leg = west.call(client)
    http = HttpClient(east.address)
    assert http("GET", f"/v1/legs/{leg}").body["id"] == leg
    assert http("POST", f"/v1/legs/{leg}/answer").status == 202
    client.event("leg.connected", leg_id=leg)
    assert [one["id"] for one in http("GET", "/v1/legs").body] == [leg]


def test_lists_are_of_all_services(east, west):
    client = east.client()
    legs = {one.call(client)[1] for one in (east, west, west)}
    for one in (east, west):
        one.client().ok("create_room", id=f"in {one.name}")
    for one in (east, west):
        assert {leg["id"] for leg in one.client().ok("list_legs")} == legs
        assert len(one.client().ok("list_rooms")) == 2


def test_a_new_leg_and_room_go_where_there_is_least_to_do(east, west):
    client = east.client()
    for _ in range(2):
        east.call(client)
    east.sees(west), west.sees(east)
    leg = client.ok("create_leg", type="sip", to=west.switch.uri("instant"))["id"]
    client.event("leg.connected", leg_id=leg)
    assert west.service.ctx.legs.find(leg) and not east.service.ctx.legs.find(leg)
    client.ok("create_room", id="new")
    assert west.service.ctx.rooms.find("new").node == "west"
    assert client.ok("add_leg_to_room", room_id="new", leg_id=leg)["status"] == "added"
    east.service.ctx.nodes.default.drained = True
    west.sees(east)
    assert west.client().ok("create_leg", type="sip", to=west.switch.uri("instant"))


@pytest.mark.parametrize("command", ["create_leg", "create_room"])
@pytest.mark.parametrize("why", ["drained", "going"])
def test_what_is_new_is_made_by_another_when_who_had_the_least_to_do_takes_none_any_more(
    east, west, monkeypatch, command, why
):
    """Each tells once a second what it has: meanwhile others believe what is not so any more."""
    client = east.client()
    east.call(client)
    east.sees(west)
    assert east.deployment.commands._best({}) == "west"
    # what is told of it from here on comes too late
    monkeypatch.setattr(east.deployment.peers, "tell", lambda: None)
    if why == "drained":
        west.service.ctx.nodes.default.drained = True
    else:
        monkeypatch.setattr(west.service.ctx, "draining", True)
    for number in range(2):
        asked = (
            {"id": f"new-{number}"}
            if command == "create_room"
            else {"type": "sip", "to": east.switch.uri("instant"), "room_id": f"new-{number}"}
        )
        made = client.ok(command, **asked)
        assert east.service.ctx.rooms.find(f"new-{number}").node == "east", made


def test_a_room_of_a_name_is_made_once_in_a_deployment(east, west):
    first, second = east.client(), west.client()
    numbers = [
        (client, client.send("create_room", id=f"r{at}")) for at in range(20) for client in (first, second)
    ]
    kinds = [client.reply(number)["type"] for client, number in numbers]
    assert kinds.count("create_room.result") == kinds.count("error") == 20
    assert len(first.ok("list_rooms")) == 20


def test_an_empty_room_comes_to_the_leg_that_joins_it(east, west):
    client = east.client()
    east.client().ok("create_room", id="r", app_id="x", sample_rate=8000)
    assert east.service.ctx.rooms.find("r")
    _, leg = west.call(client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    assert not east.service.ctx.rooms.find("r")
    room = client.ok("get_room", id="r")
    assert (room["app_id"], room["sample_rate"], len(room["participants"])) == ("x", 8000, 1)
    assert len(client.seen("room.created")) == 1
    _, other = east.call(client)
    client.ok("answer_leg", id=other)
    client.event("leg.connected", leg_id=other)
    assert client.error("add_leg_to_room", room_id="r", leg_id=other) == (
        501,
        f"leg {other} is on another switch than room r, and east and west are of different groups",
    )
    assert client.error("bridge_create", room_id="r", peer_room_id="r2")[0] == 404


def test_scope_and_confinement_travel_with_the_command(site: Callable[..., Site]):
    hashes = {name: digest_of(name).decode() for name in ("tenant", "reader", "all")}
    tokens = (f"x:control:{hashes['tenant']}:x", f"r:read:{hashes['reader']}", f"all:admin:{hashes['all']}")
    east, west = (site(name, access={"tokens": tokens}) for name in ("east", "west"))
    west.sees(east), east.sees(west)
    operator, tenant = west.client("?token=all"), east.client("?token=tenant")
    legs = {}
    for app in ("x", "y"):
        legs[app] = operator.ok("create_leg", type="sip", to=west.switch.uri("instant"), app_id=app)["id"]
        operator.event("leg.connected", leg_id=legs[app])
    assert tenant.ok("get_leg", id=legs["x"])["app_id"] == "x"
    assert tenant.error("get_leg", id=legs["y"]) == (404, "leg not found")
    assert [leg["id"] for leg in tenant.ok("list_legs")] == [legs["x"]]
    assert tenant.error("create_room", id="r", app_id="y")[0] == 403
    reader = east.client("?token=reader")
    assert reader.ok("get_leg", id=legs["y"])["id"] == legs["y"]
    assert reader.error("delete_leg", id=legs["y"])[0] == 403


def test_a_service_that_does_not_answer_is_named_and_does_nothing_later(east, still, monkeypatch):
    monkeypatch.setattr("vsi_esl.sharing.commands.WHO_TIMEOUT_S", 0.3)
    monkeypatch.setattr("vsi_esl.sharing.commands.TIMEOUT_S", 0.3)
    client, own = east.client(), still.client()
    _, leg = still.call(client)
    known_at(still, leg, "west")
    east.deployment.redis.command("HDEL", east.deployment.redis.key("where"), f"leg/{leg}")
    assert client.error("delete_leg", id=leg) == (
        503,
        f"leg {leg} is not here: service west does not answer",
    )
    east.deployment.commands._learn(Name("leg", leg), "west")
    assert client.error("delete_leg", id=leg) == (503, "service west does not answer")
    still.deployment.commands.asking.start()
    over = still.deployment.commands.asking
    eventually(lambda: over.over == 2, "requests that are over are dropped")
    assert own.ok("get_leg", id=leg)["state"] == "ringing"


def test_a_service_that_has_left_is_named(fresh: Both):
    east, west = fresh
    client = east.client()
    _, leg = west.call(client)
    client.ok("get_leg", id=leg)
    west.service.stop()
    east.deployment.peers.tell()
    assert client.error("get_leg", id=leg) == (503, f"leg {leg} was at service west, which is not there")
    assert client.ok("list_legs") == []


def test_what_is_on_a_switch_that_nobody_has_is_not_said_to_be_nowhere(east, west, monkeypatch):
    client = east.client()
    monkeypatch.setattr(east.deployment.commands, "unowned", lambda switch: switch == "north")
    redis = east.deployment.redis
    redis.command("HSET", redis.key("where"), "leg/x", "north", "room/x", "north")
    assert client.error("get_leg", id="x") == (503, "leg x is on switch north, which no service has now")
    assert client.error("get_leg", id="y") == (404, "leg not found")
    assert client.error("create_room", id="x")[0] == 503  # else there would be two of that name
    assert client.ok("create_room", id="z")


def test_a_call_of_a_service_that_began_a_moment_ago_is_found(east, west, monkeypatch):
    client = east.client()
    _, leg = west.call(client)
    known_at(west, leg, "west")
    east.deployment.redis.command("HDEL", east.deployment.redis.key("where"), f"leg/{leg}")
    monkeypatch.setattr(east.deployment.peers, "_others", {})
    assert client.ok("get_leg", id=leg)["id"] == leg
    assert set(east.deployment.peers.others) == {"west"}


def test_a_room_that_is_gone_is_made_anew_wherever_it_is_to_be(east, west):
    client, redis = east.client(), east.deployment.redis
    for site in (east, west):
        _, leg = site.call(client)
        client.ok("answer_leg", id=leg)
        client.event("leg.connected", leg_id=leg)
        client.ok("add_leg_to_room", room_id="anew", leg_id=leg)
        assert client.ok("get_room", id="anew")["participants"][0]["id"] == leg
        client.ok("delete_room", id="anew")
        claim = redis.key("claim", "room", "anew")
        waited_for(lambda claim=claim: redis.command("GET", claim) is None, "it is nobody's", CLAIM_MS / 2000)
        client.rewind()


def test_just_behind_an_outage_nothing_is_said_to_be_nowhere(east):
    client, commands = east.client(), east.deployment.commands
    assert client.error("get_leg", id="z") == (404, "leg not found")
    commands._redis_changed(False)
    commands._redis_changed(True)
    code, text = client.error("get_leg", id="z")
    assert code == 503 and text.startswith("leg z is not here, and Redis was away")
    client.ok("create_room", id="made behind it")
    commands._unsure_until = 0.0
    assert client.error("get_leg", id="z") == (404, "leg not found")


def test_what_is_between_two_services_is_not_said_to_be_nowhere(east, west, monkeypatch):
    client, redis = east.client(), east.deployment.redis
    redis.command("HSET", redis.key("where"), "leg/x", "west", "leg/y", "east")
    for leg in ("x", "y"):
        # who has the switch has looked at its calls: what is known in Redis is out of date
        assert client.error("get_leg", id=leg) == (404, "leg not found")
    _, there = west.call(client)
    known_at(west, there, "west")
    for one in (east, west):
        monkeypatch.setattr(one.service.ctx.nodes.default, "adopted", False)
    for leg, switch in (("x", "west"), ("y", "east"), (there, "west")):
        text = f"leg {leg} is on switch {switch}, whose calls are not known yet"
        code, said = client.error("get_leg", id=leg)
        assert code == 503 and said.endswith(text)


def test_what_fails_while_its_switch_goes_to_another_service_is_not_said_to_have_failed(
    east, west, monkeypatch
):
    client = east.client()
    node = west.service.ctx.nodes.default
    _, leg = west.call(client)

    def gone(*_: object) -> None:
        monkeypatch.setattr(node, "adopted", False)
        raise LegGone("it is not here any more")

    monkeypatch.setattr(placement, "move", gone)
    told = 503, "switch west went to another service meanwhile; it may have been done"
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    assert client.error("add_leg_to_room", room_id="going", leg_id=leg) == told
    monkeypatch.undo()


def test_who_has_its_switch_is_asked_and_not_everybody(east, west):
    client = east.client()
    _, leg = west.call(client)
    asking = west.deployment.commands.asking
    known_at(west, leg, "west")
    served = asking.served
    client.ok("get_leg", id=leg)
    assert asking.served == served + 1


def test_what_is_not_where_it_was_is_looked_for_everywhere(east, west):
    """As of a switch that was another's a moment ago."""
    client = east.client()
    _, leg = west.call(client)
    redis = east.deployment.redis
    known_at(west, leg, "west")
    redis.command("HSET", redis.key("where"), "leg/gone", "west")
    assert client.error("get_leg", id="gone") == (404, "leg not found")
    redis.command("HSET", redis.key("where"), f"leg/{leg}", "east")
    assert client.ok("get_leg", id=leg)["id"] == leg


def test_without_redis_own_calls_are_commanded_and_others_answer_503(redis_server: RedisServer, fresh: Both):
    east, west = fresh
    client = east.client()
    _, here = east.call(client)
    _, there = west.call(client)
    redis_server.stop()
    eventually(lambda: not east.deployment.redis.available, "it is gone")
    assert client.ok("answer_leg", id=here)
    code, message = client.error("get_leg", id=there)
    assert code == 503 and message == f"leg {there} is not here, and without Redis others cannot be asked"
    assert [leg["id"] for leg in client.ok("list_legs")] == [here]
    assert client.ok("create_room", id="r")
    redis_server.start()
    eventually(lambda: east.deployment.redis.available and west.deployment.redis.available, "it is back")
    assert client.ok("get_leg", id=there)["id"] == there


def test_commands_of_many_clients_at_once(east, west):
    clients = [east.client() for _ in range(8)]
    _, leg = west.call(clients[0])
    east.client().ok("answer_leg", id=leg)
    done = west.deployment.commands.done_for_others
    numbers = [(client, client.send("get_leg", id=leg)) for client in clients for _ in range(25)]
    assert {client.reply(number)["data"]["id"] for client, number in numbers} == {leg}
    assert west.deployment.commands.done_for_others - done == 200
