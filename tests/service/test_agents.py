"""Agents of legs and rooms: who hears them and whom they hear, what is said to them, and their ends."""

from __future__ import annotations

import ipaddress
import json
import os
import signal

import numpy as np
import pytest

from tests.support.agentparties import KEY
from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.held import held
from tests.support.service import Scrape, crash
from vsi_esl.agents.attached import KIND, Agents
from vsi_esl.live.sessions import Sessions

STARTS = {
    "elevenlabs": {"agent_id": "agent 7", "first_message": "Hello", "dynamic_variables": {"name": "Ann"}},
    "vapi": {"assistant_id": "as-1", "first_message": "Hello", "variable_values": {"name": "Ann"}},
    "pipecat": {},
    "deepgram": {"greeting": "Hello", "settings": {"agent": {"think": {"provider": {"type": "open_ai"}}}}},
}
BARGE_IN_MS = 100
TIMES = 8
CYCLES = 40


@pytest.fixture
def service(start, agents):
    return start(media={"workers": 1}, providers=agents.settings)


def leg_of(switch, client, room: str = ""):
    """A caller whose codec can be listened to, answered; in a room when one is named."""
    peer, leg = answered(switch, client, codecs=["PCMU"])
    if room:
        client.ok("add_leg_to_room", room_id=room, leg_id=leg)
        client.event("leg.joined_room", leg_id=leg)
    return peer, leg


def begin(client, agents, kind, owner, provider="pipecat", number=1, **more):
    """An agent that is connected, and its provider's side."""
    given = {**STARTS[provider], **({"websocket_url": agents.bot} if provider == "pipecat" else {}), **more}
    started = client.ok(f"{kind}_agent_{provider}", id=owner, **given)
    assert started == {"status": "agent_started", f"{kind}_id": owner}
    client.event("agent.connected", **{f"{kind}_id": owner})
    return agents.party(number)


def ended_once(switch, client, kind, owner, legs=()):
    """Until its end is told, and nothing of it is left."""
    client.event("agent.disconnected", **{f"{kind}_id": owner})
    eventually(lambda: nothing_left(switch, *legs), "nothing is left")
    assert len(client.seen("agent.disconnected", **{f"{kind}_id": owner})) == 1


def nothing_left(switch, *legs):
    return not switch.channels("lv-") and not any("lv-" in switch.esl(f"uuid_buglist {leg}") for leg in legs)


def heard_by(there, hz, wanted=True):
    eventually(lambda: (there.level(hz) > 2000) is wanted, f"{hz} Hz {'' if wanted else 'not '}heard")


def test_a_start_that_fails_leaves_no_agent(switch, client, agents, monkeypatch):
    _, leg = leg_of(switch, client)

    def begin_nothing(*given):
        raise ValueError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(Sessions, "begin", begin_nothing)
        assert client.error("leg_agent_pipecat", id=leg, websocket_url=agents.bot)[0] == 500
    begin(client, agents, "leg", leg)


# -- audio -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", STARTS)
def test_a_caller_and_an_agent_hear_each_other(switch, client, agents, provider):
    peer, leg = leg_of(switch, client)
    peer.says(500)
    there = begin(client, agents, "leg", leg, provider)
    heard_by(there, 500)
    there.speak(900, 3000)
    peer.hears(900)
    peer.hears(900, False)
    client.ok("mute_leg", id=leg)
    heard_by(there, 500)
    peer.says(0)
    heard_by(there, 500, False)
    client.ok("leg_agent_stop", id=leg)
    ended_once(switch, client, "leg", leg, [leg])
    there.gone()


def test_who_interrupts_an_agent_hears_it_no_more(switch, client, agents):
    peer, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg)
    took = []
    while len(took) < TIMES and not any(one <= BARGE_IN_MS for one in took):
        there.speak(900, 20_000)
        peer.hears(900)
        peer.keep()
        there.interrupt()
        peer.hears(900, False)
        took.append(tone_ms(peer.kept, 900))
    print(f"\nbarge-in to silence: {took} ms on {switch.name}")
    assert min(took) <= BARGE_IN_MS, "the best of several: others use this machine, too"
    there.speak(700, 2000)
    peer.hears(700)


def tone_ms(samples: np.ndarray, hz: float) -> int:
    """For how long a tone is heard from the beginning, in steps of 10 ms."""
    step = 80
    wave = np.exp(-2j * np.pi * hz * np.arange(step) / 8000)
    for number, at in enumerate(range(0, len(samples) - step, step)):
        if 2 * abs(np.mean(samples[at : at + step] * wave)) < 500:
            return number * 10
    return len(samples) // 8


def test_a_legs_agent_speaks_to_its_room_and_hears_its_leg_alone(switch, client, agents):
    one, leg = leg_of(switch, client, "r")
    two, _ = leg_of(switch, client, "r")
    one.says(500)
    two.says(1300)
    there = begin(client, agents, "leg", leg)
    heard_by(there, 500)
    heard_by(there, 1300, False)
    there.speak(900, 8000)
    one.hears(900)
    two.hears(900)
    there.interrupt()
    one.hears(900, False)
    two.hears(900, False)
    assert len(client.ok("get_room", id="r")["participants"]) == 2


def test_a_rooms_agent_hears_all_and_all_hear_it_beside_a_legs(switch, client, agents):
    client.ok("create_room", id="r")
    rooms = begin(client, agents, "room", "r")
    one, leg = leg_of(switch, client, "r")
    two, _ = leg_of(switch, client, "r")
    legs = begin(client, agents, "leg", leg, number=2)
    one.says(500)
    two.says(1300)
    heard_by(rooms, 500)
    heard_by(rooms, 1300)
    heard_by(legs, 1300, False)
    rooms.speak(900, 8000)
    one.hears(900)
    two.hears(900)
    heard_by(rooms, 900, False)
    client.ok("room_agent_stop", id="r")
    client.event("agent.disconnected", room_id="r")
    assert not client.seen("agent.disconnected", leg_id=leg)
    legs.speak(700, 4000)
    two.hears(700)
    one.hang_up()
    client.event("agent.disconnected", leg_id=leg)


@pytest.mark.own_switch
def test_without_mod_audio_fork(switch, start, connect, agents):
    switch.esl("unload mod_audio_fork")
    service = start(media={"workers": 1}, providers=agents.settings)
    assert not service.ctx.nodes.default.facts.forks
    client = connect(service)
    one, leg = leg_of(switch, client)
    one.says(500)
    alone = begin(client, agents, "leg", leg)
    heard_by(alone, 500)
    alone.speak(900, 2000)
    one.hears(900)
    client.ok("leg_agent_stop", id=leg)
    client.event("agent.disconnected")
    two, _ = leg_of(switch, client, "r")
    two.says(1300)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    inside = begin(client, agents, "leg", leg, number=2)
    heard_by(inside, 500)
    heard_by(inside, 1300, False)
    inside.speak(900, 4000)
    one.hears(900)
    two.hears(900)
    client.ok("leg_agent_stop", id=leg)
    eventually(lambda: nothing_left(switch, leg), "nothing is left")


# -- what is said to it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", STARTS)
def test_what_the_command_wants_is_what_the_provider_is_told(switch, client, agents, provider):
    _, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg, provider)
    eventually(lambda: there.state["beginning"] or provider == "pipecat", "the beginning")
    beginning = there.state["beginning"]
    if provider == "elevenlabs":
        assert beginning["conversation_config_override"] == {"agent": {"first_message": "Hello"}}
        assert beginning["dynamic_variables"] == {"name": "Ann"}
    elif provider == "vapi":
        assert beginning["assistantOverrides"] == {
            "firstMessage": "Hello",
            "variableValues": {"name": "Ann"},
        }
    elif provider == "deepgram":
        assert beginning["agent"] == {"think": {"provider": {"type": "open_ai"}}, "greeting": "Hello"}


def test_messages(switch, client, agents):
    _, leg = leg_of(switch, client)
    refused = (501, "this agent provider does not support message injection")
    for number, provider in enumerate(STARTS, 1):
        there = begin(client, agents, "leg", leg, provider, number)
        if provider == "elevenlabs":
            assert client.error("leg_agent_message", id=leg, message="be brief") == refused
        else:
            assert client.ok("leg_agent_message", id=leg, message="be brief") == {"status": "message_sent"}
            if provider != "vapi":
                eventually(lambda there=there: there.state["messages"] == ["be brief"], "the message")
        client.ok("leg_agent_stop", id=leg)
        client.event("agent.disconnected", leg_id=leg)
    said = {"type": "add-message", "message": {"role": "system", "content": "be brief"}}
    assert said in agents.ask("/tests/state")["controls"]


def test_messages_that_cannot_be_passed_on(switch, client, agents):
    agents.reset(control_status=422)
    _, leg = leg_of(switch, client)
    begin(client, agents, "leg", leg, "vapi")
    failed = (500, "vapi control API returned 422: what the provider says")
    assert client.error("leg_agent_message", id=leg, message="be brief") == failed
    client.ok("leg_agent_stop", id=leg)
    agents.reset(slow=True)
    client.ok("leg_agent_vapi", id=leg, **STARTS["vapi"])
    early = (409, "agent session not running")
    assert client.error("leg_agent_message", id=leg, message="be brief") == early
    client.ok("leg_agent_stop", id=leg)


def test_digits_are_passed_on(switch, client, agents):
    peer, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg)
    peer.dtmf("5#")
    eventually(lambda: len(there.state["messages"]) == 2, "both digits")
    assert [one["data"]["buttons"] for one in there.state["messages"]] == [["5"], ["#"]]
    assert {(one["label"], one["type"]) for one in there.state["messages"]} == {("rtvi-ai", "dtmf")}


# -- its end -----------------------------------------------------------------------------------------------


def test_another_can_be_attached_at_once(switch, client, agents):
    _, leg = leg_of(switch, client)
    for number in (1, 2, 3):
        begin(client, agents, "leg", leg, number=number)
        client.ok("leg_agent_stop", id=leg)
    client.event("agent.disconnected")
    told = [one["type"] for one in client.events if one["type"].startswith("agent.")]
    assert told == ["agent.connected", "agent.disconnected"] * 3
    eventually(lambda: nothing_left(switch, leg), "nothing is left")


def test_many_one_after_the_other_leave_nothing(switch, service, client, agents):
    """Stopped at once, and when they are connected."""
    _, leg = leg_of(switch, client)
    begin(client, agents, "leg", leg)
    client.ok("leg_agent_stop", id=leg)
    sessions = service.ctx.get(Sessions)
    eventually(lambda: not len(sessions) and nothing_left(switch, leg), "nothing is left")
    worker = sessions.pool.workers[0].pid
    before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), worker)]
    for number in range(CYCLES):
        provider = list(STARTS)[number % len(STARTS)]
        more = {"websocket_url": agents.bot} if provider == "pipecat" else {}
        client.ok(f"leg_agent_{provider}", id=leg, **STARTS[provider], **more)
        if number // len(STARTS) % 2:
            client.event("agent.connected", leg_id=leg)
        client.ok("leg_agent_stop", id=leg)
    ends = CYCLES + 1  # an event has a queue of its own, and may come behind the reply
    eventually(lambda: len(client.seen("agent.disconnected")) == ends, "each end is told, once")
    eventually(lambda: not len(sessions) and nothing_left(switch, leg), "nothing is left")

    def after():
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), worker)]

    eventually(lambda: after() == before, f"no file is left open: {before}")
    assert not sessions.pool.restarts and not service.ctx.state.items(KIND)


@pytest.mark.parametrize("fault", ["end", "end in mid-sentence", "abort", "overload"])
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_its_provider_ends_it(switch, client, agents, kind, fault):
    peer, leg = leg_of(switch, client, "r" if kind == "room" else "")
    owner = leg if kind == "leg" else "r"
    there = begin(client, agents, kind, owner)
    if fault != "end":
        there.speak(900, 1500 if fault == "end in mid-sentence" else 20_000)  # which is heard to its end
        peer.hears(900)
    if fault == "abort":
        there.abort()
    else:
        there.end(1013 if fault == "overload" else 1000)
    ended_once(switch, client, kind, owner, [leg])
    peer.hears(900, False)
    assert client.error(f"{kind}_agent_stop", id=owner)[0] == 404
    begin(client, agents, kind, owner, number=2)


def test_what_cannot_be_understood_does_not_end_it(switch, client, agents):
    _, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg, "elevenlabs")
    for data in ("no json", "[]", '{"type": "audio", "audio_event": {"audio_base_64": "?"}}'):
        there.broken(data)
    there.said("still here", user=False)
    assert client.event("agent.agent_response")["text"] == "still here"


@pytest.mark.parametrize("provider", ["elevenlabs", "vapi", "deepgram"])
def test_a_wrong_key(switch, client, agents, log, provider):
    _, leg = leg_of(switch, client)
    client.ok(f"leg_agent_{provider}", id=leg, api_key="wrong-secret", **STARTS[provider])
    ended_once(switch, client, "leg", leg, [leg])
    assert not client.seen("agent.connected")
    (line,) = log.named("agent lost")
    assert (line["reason"], line["category"], line["provider"]) == ("provider", "permanent_auth", provider)
    assert "wrong-secret" not in json.dumps(log.lines)


def test_with_its_leg(switch, client, agents):
    peer, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(leg_id=leg)[-2:] == ["agent.disconnected", "leg.disconnected"]
    there.gone()
    assert client.error("leg_agent_stop", id=leg) == (404, "no agent attached to this leg")
    eventually(lambda: nothing_left(switch), "nothing is left")


def test_with_the_last_leg_of_its_room(switch, client, agents):
    client.ok("create_room", id="r", app_id="shop")
    there = begin(client, agents, "room", "r")
    one, _ = leg_of(switch, client, "r")
    _, other = leg_of(switch, client, "r")
    one.hang_up()
    client.event("leg.left_room")
    assert not client.seen("agent.disconnected")
    client.ok("remove_leg_from_room", room_id="r", leg_id=other)
    assert client.event("agent.disconnected", room_id="r")["app_id"] == "shop"
    there.gone()
    eventually(lambda: nothing_left(switch, other), "nothing is left")
    begin(client, agents, "room", "r", number=2)


def test_with_its_room(switch, client, agents):
    leg_of(switch, client, "r")
    begin(client, agents, "room", "r")
    client.ok("delete_room", id="r")
    client.event("room.deleted")
    told = client.types(room_id="r")
    assert told.index("agent.disconnected") < told.index("room.deleted")
    assert told.count("agent.disconnected") == 1
    eventually(lambda: nothing_left(switch), "nothing is left")


def test_an_agent_in_an_empty_room_that_is_deleted(switch, client, agents):
    client.ok("create_room", id="r")
    there = begin(client, agents, "room", "r")
    client.ok("delete_room", id="r")
    there.gone()
    ended_once(switch, client, "room", "r")


def test_its_worker_is_killed(switch, service, client, agents):
    peer, leg = leg_of(switch, client)
    begin(client, agents, "leg", leg)
    os.kill(service.ctx.get(Sessions).pool.workers[0].pid, signal.SIGKILL)
    ended_once(switch, client, "leg", leg, [leg])
    peer.says(500)
    there = begin(client, agents, "leg", leg, number=2)
    heard_by(there, 500)


@pytest.mark.parametrize("what", ["set_up", "fork"])
def test_one_that_is_connected_when_the_switch_is_lost_is_attached_again(
    switch, service, client, agents, what
):
    """Its provider may be there before the audio is."""
    peer, leg = leg_of(switch, client)
    peer.says(500)
    node = service.ctx.nodes.default
    with held(*((node, what) if what == "set_up" else (node.live, what)), before=True) as hold:
        there = begin(client, agents, "leg", leg)
        assert hold.entered.wait(20)
        switch.drop_connections()
        eventually(lambda: not node.ready, "the loss is noticed")
        hold.release()
    eventually(lambda: node.ready, "connected again")
    heard_by(there, 500)
    there.speak(900, 3000)
    peer.hears(900)
    assert client.seen("agent.disconnected", leg_id=leg) == []
    client.ok("leg_agent_stop", id=leg)
    ended_once(switch, client, "leg", leg, [leg])


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_after_a_restart_each_has_ended_once(switch, start, connect, agents, how):
    first = start(providers=agents.settings)
    client = connect(first)
    client.ok("create_room", id="r", app_id="shop")
    _, leg = leg_of(switch, client)
    begin(client, agents, "leg", leg)
    begin(client, agents, "room", "r", number=2)
    since = client.events[-1]["event_id"]
    if how == "stopped":
        first.stop()
    else:
        crash(first)
        first.ctx.get(Sessions).pool.stop()
    second = start(providers=agents.settings)
    client = connect(second, f"?since={since}")
    for about in ({"leg_id": leg}, {"room_id": "r", "app_id": "shop"}):
        client.rewind()
        client.event("agent.disconnected", **about)
    assert len(client.seen("agent.disconnected")) == 2
    assert not second.ctx.state.items(KIND) and not len(second.ctx.get(Agents))
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    begin(client, agents, "leg", leg, number=3)


# -- what is refused, and what is seen -----------------------------------------------------------------------


def test_refusals(switch, client, agents):
    _, leg = ring(switch, client)
    not_connected = (409, "leg not connected")
    assert client.error("leg_agent_pipecat", id=leg, websocket_url=agents.bot) == not_connected
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    client.ok("hold_leg", id=leg)
    client.event("leg.hold")
    assert client.error("leg_agent_pipecat", id=leg, websocket_url=agents.bot) == not_connected
    deep: dict = {}
    for _ in range(70):
        deep = {"a": deep}
    for settings in (deep, {"a": "x" * 70_000}):
        code, message = client.error("leg_agent_deepgram", id=leg, settings=settings)
        assert (code, message.partition(":")[0]) == (400, "invalid payload")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/", "websocket_url: only ws and wss URLs are supported"),
        ("ws://", "websocket_url: invalid URL"),
        ("127.0.0.1:80", "websocket_url: only ws and wss URLs are supported"),
        (
            "ws://127.0.0.1/",
            "websocket_url: 127.0.0.1 has a private address (127.0.0.1), which is not allowed",
        ),
        ("wss://bot.localhost/", "websocket_url: bot.localhost is this machine, which is not allowed"),
    ],
)
def test_addresses_of_bots(start, connect, url, message):
    client = connect(start(agents={"allow_private_urls": False}))
    client.ok("create_room", id="r")
    assert client.error("room_agent_pipecat", id="r", websocket_url=url) == (400, message)


def test_networks_of_bots_that_are_allowed(switch, start, connect, agents):
    allowed = (ipaddress.ip_network("127.0.0.0/8"),)
    client = connect(start(agents={"allow_private_urls": False, "allowed_networks": allowed}))
    client.ok("create_room", id="r")
    begin(client, agents, "room", "r")


def test_nothing_that_is_said_is_in_the_log(switch, client, agents, log):
    _, leg = leg_of(switch, client)
    url = agents.bot + "?token=secret-of-url"
    there = begin(client, agents, "leg", leg, websocket_url=url)
    there.said("secret of the user", user=True)
    there.said("secret of the agent", user=False)
    client.event("agent.agent_response")
    client.ok("leg_agent_message", id=leg, message="secret of the client")
    client.ok("leg_agent_stop", id=leg)
    begin(client, agents, "leg", leg, "deepgram", 2, api_key=KEY, greeting="secret of the greeting")
    client.ok("leg_agent_stop", id=leg)
    client.event("agent.disconnected")
    written = json.dumps(log.above_debug)
    assert "secret" not in written and KEY not in written
    assert any(line.get("type") == "agent.connected" for line in log.lines), "events are there, at debug"


def test_sessions_are_counted_by_provider(switch, service, client, agents):
    _, leg = leg_of(switch, client)
    there = begin(client, agents, "leg", leg)
    assert Scrape(service).value("vsi_esl_live_sessions", kind="agent", provider="pipecat") == 1
    there.speak(900, 500)
    there.said("hello", user=True)
    client.event("agent.user_transcript")
    client.ok("leg_agent_stop", id=leg)
    eventually(lambda: not len(service.ctx.get(Sessions)), "the session is over")
    scrape = Scrape(service)
    assert scrape.value("vsi_esl_live_sessions_ended_total", kind="agent", reason="closed") == 1
    assert scrape.value("vsi_esl_live_first_text_seconds_count", kind="agent", provider="pipecat") == 1
