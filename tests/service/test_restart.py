"""Calls outlive the service and the connection to the switch."""

from __future__ import annotations

import gevent
import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.ports import free_port
from tests.support.service import crash, ready
from tests.support.vsi import VsiClient
from vsi_esl.model.sound_stores import Playbacks, Recordings
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.switch import memory
from vsi_esl.switch.esl import writer
from vsi_esl.translate.adoption import SWITCH_RESTARTED, UNOBSERVED

FROM_THE_FIRST = "00000000-0000-0000-0000-000000000000"
"""An event that no history has: what is told from here on begins with the first."""


def test_a_new_process_finds_everything_as_it_was(switch, start, connect):
    service = start()
    client = connect(service)
    peer, one = answered(switch, client, headers={"X-App-ID": "shop, {$}"})
    _, two = answered(switch, client)
    held, three = answered(switch, client)
    _, four = ring(switch, client)
    five = client.ok(
        "create_leg", type="sip", to=switch.uri("instant"), app_id="ünï ${x}", room_id="späce, room"
    )["id"]
    client.event("leg.joined_room", leg_id=five)
    client.ok("add_leg_to_room", room_id="späce, room", leg_id=one, mute=True, role="agent 'x'")
    client.ok("add_leg_to_room", room_id="späce, room", leg_id=two, deaf=True, accept_dtmf=False)
    client.ok("create_room", id="empty", sample_rate=8000, app_id="e")
    client.ok("hold_leg", id=three)
    client.event("leg.hold", leg_id=three)
    peer.dtmf("7")
    client.event("dtmf.received", leg_id=one, seq=1)
    before = sorted(client.ok("list_legs"), key=lambda leg: leg["id"])
    rooms = {room["id"]: room for room in client.ok("list_rooms")}
    crash(service)

    client = connect(start())
    assert sorted(client.ok("list_legs"), key=lambda leg: leg["id"]) == before
    after = {room["id"]: room for room in client.ok("list_rooms")}
    assert after.keys() == rooms.keys()
    for name, room in rooms.items():
        for kept in ("sample_rate", "app_id"):
            assert after[name].get(kept) == room.get(kept)
        ids = {leg["id"] for leg in after[name]["participants"]}
        assert ids == {leg["id"] for leg in room["participants"]}
    assert client.types() == []  # nothing changed, so nothing is told
    peer.dtmf("8")
    client.event("dtmf.received", leg_id=one, seq=2)
    client.ok("unmute_leg", id=one)
    client.ok("unhold_leg", id=three)
    client.event("leg.unhold", leg_id=three)
    client.ok("answer_leg", id=four)
    client.event("leg.connected", leg_id=four)
    client.ok("add_leg_to_room", room_id="empty", leg_id=four)
    client.ok("delete_leg", id=five)
    client.event("leg.disconnected", leg_id=five)
    held.hang_up()
    client.event("leg.disconnected", leg_id=three)
    assert "BYE" not in peer.seen


def test_timers_are_set_again(switch, start, connect):
    service = start()
    client = connect(service)
    ringing = client.ok("create_leg", type="sip", to=switch.uri("ring"), ring_timeout=2)["id"]
    talking = client.ok("create_leg", type="sip", to=switch.uri("instant"), max_duration=3)["id"]
    last = client.event("leg.connected", leg_id=talking)["event_id"]
    service.ctx.history.flush()
    crash(service)
    client = connect(start(), f"?since={last}")
    assert client.event("leg.disconnected", leg_id=ringing)["cdr"]["reason"] == "ring_timeout"
    client.rewind()
    event = client.event("leg.disconnected", leg_id=talking)
    assert event["cdr"]["reason"] == "max_duration"
    assert 2 <= event["cdr"]["duration_answered"] <= 23


def test_a_call_that_was_answered_in_time_is_not_given_up_after_a_restart(switch, start, connect):
    """Its channel still has the deadline for its answer."""
    service = start()
    client = connect(service)
    leg = client.ok("create_leg", type="sip", to=switch.uri("instant"), ring_timeout=20)["id"]
    client.event("leg.connected", leg_id=leg)
    crash(service)
    service = start()
    client = connect(service)
    one = service.ctx.legs.get(leg)
    assert (one.state, one.ring_deadline) == ("connected", 0.0)
    assert not service.ctx.timers.pending(leg, "ring")
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_what_happened_while_nobody_looked_is_reported(switch, start, connect):
    service = start()
    client = connect(service)
    gone, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    last = client.event("leg.joined_room", leg_id=leg)["event_id"]
    outbound = client.ok("create_leg", type="sip", to=switch.uri("ring"))["id"]
    eventually(lambda: switch.esl(f"uuid_exists {outbound}").strip() == "true", "the outbound call is up")
    callee = switch.callee()
    service.ctx.history.flush()
    crash(service)
    gone.hang_up()
    callee.answer()
    newcomer = switch.call(from_="late")
    eventually(lambda: switch.esl(f"uuid_exists {leg}").strip() == "false", "the first call is gone")
    eventually(
        lambda: "late" in switch.esl("show channels as json") or switch.name == "sandbox",
        "the new call is there",
    )
    client = connect(start(wait=False), f"?since={last}")
    ended = client.event("leg.disconnected", leg_id=leg)
    assert ended["cdr"]["reason"] == UNOBSERVED
    assert client.types(leg_id=leg) == ["leg.left_room", "leg.disconnected"]
    client.rewind()
    client.event("leg.connected", leg_id=outbound)
    client.rewind()
    arrived = client.event("leg.ringing", **{"from": "late"})
    client.ok("answer_leg", id=arrived["leg_id"])
    newcomer.wait("200")


def test_a_caller_who_comes_just_before_the_service_is_not_overlooked(switch, start, connect):
    """The switch's list of channels is behind, and events of it there were only before."""
    crash(start(switch={"sweep_interval": 0.0}))
    newcomer = switch.call(from_="late")
    client = connect(start(wait=False, switch={"sweep_interval": 0.0}), f"?since={FROM_THE_FIRST}")
    arrived = client.event("leg.ringing", **{"from": "late"})
    client.ok("answer_leg", id=arrived["leg_id"])
    newcomer.wait("200")
    assert client.types(leg_id=arrived["leg_id"]).count("leg.ringing") == 1


def test_a_lost_connection_fails_what_waits_and_comes_back(switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    switch.drop_connections()
    eventually(
        lambda: service.ctx.nodes.default.reconnects >= 1 and service.ctx.nodes.default.ready,
        "connected again",
    )
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    assert "leg.disconnected" not in client.types()
    assert "BYE" not in peer.seen


def test_without_a_switch_commands_say_so(switch, start, connect):
    service = start(wait=False, switch={"port": 1})
    client = connect(service)
    code, message = client.error("create_leg", type="sip", to="sip:a@127.0.0.1")
    assert code == 503
    assert message.startswith("not connected to the switch: ")
    assert client.ok("list_legs") == []
    client.ok("create_room", id="r")
    assert not service.ctx.nodes.default.ready


def test_a_wrong_password_is_named(switch, start):
    service = start(wait=False, switch={"password": "wrong"})
    eventually(lambda: "password" in service.ctx.nodes.default.last_error, "the refusal is noticed")


def test_shutdown_leaves_calls_up_and_takes_no_new_ones(switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    service.ctx.draining = True
    assert client.error("create_leg", type="sip", to="sip:a@127.0.0.1")[0] == 503
    with gevent.Timeout(20):
        service.stop()
    assert client.closed.wait(20)
    assert "BYE" not in peer.seen
    client = connect(start())
    assert [view["id"] for view in client.ok("list_legs")] == [leg]


def test_legs_of_a_restarted_switch_are_reported_gone(switch, start, connect, tmp_path):
    if switch.name == "freeswitch":
        pytest.skip("the run's switch is shared; tests/freeswitch restarts one of its own")
    service = start()
    client = connect(service)
    _, leg = answered(switch, client)
    for channel in list(switch.switch.channels.values()):
        switch.switch.channels.pop(channel.uuid)
    switch.switch.conferences.by_name.clear()
    switch.switch.globals["core_uuid"] = "another"
    switch.drop_connections()
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == SWITCH_RESTARTED


def test_a_silent_switch_is_dead(switch, start, connect):
    if switch.name == "freeswitch":
        pytest.skip("its heartbeat is 20 s")
    service = start()
    eventually(lambda: service.ctx.nodes.default._heartbeat == 1.0, "a heartbeat was seen")
    switch.switch._heart.kill()
    eventually(lambda: service.ctx.nodes.default.reconnects >= 1, "given up")
    assert "silent" in service.ctx.nodes.default.last_error or service.ctx.nodes.default.ready


def test_two_services_do_not_disturb_each_other(switch, service, start, connect):
    other = start(wait=False, state={"path": ":memory:"})
    assert other.ctx.nodes.default.wait_ready(20)
    first, second = connect(service), connect(other)
    _, leg = ring(switch, first)
    assert second.event("leg.ringing", leg_id=leg)
    assert isinstance(first, VsiClient)


def test_a_switch_that_stands_still_is_not_ready_and_what_it_was_sent_is_known_when_it_goes_on(
    switch, start, connect
):
    """As SIGSTOP does it, or a network that is gone for a while: the connections stay, nothing moves."""
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    other, two = answered(switch, client)
    waiting, three = ring(switch, client)
    dialled = client.ok("create_leg", type="sip", to=switch.uri("ring"))["id"]
    client.event("leg.ringing", leg_id=dialled)
    node = service.ctx.nodes.default
    patience, node._command_timeout = node._command_timeout, 1.0
    switch.freeze()
    try:
        client.ok("answer_leg", id=three)
        assert client.ok("delete_leg", id=leg) == {"status": "hanging_up"}
        eventually(lambda: not ready(service), "it is noticed")
        under_way = service.ctx.nodes.default._commands.pending
        assert client.error("send_leg_dtmf", id=two, digits="1")[0] == 503
        assert client.error("create_leg", type="sip", to=switch.uri("instant"))[0] == 503
        assert service.ctx.nodes.default._commands.pending == under_way  # refused at once, not left for later
        other.hang_up()
    finally:
        node._command_timeout = patience
        switch.thaw()
    eventually(lambda: ready(service), "it goes on")
    assert service.ctx.nodes.default.reconnects == 0
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"
    peer.wait("BYE")
    client.rewind()
    assert client.event("leg.disconnected", leg_id=two)["cdr"]["reason"] == "remote_bye"
    client.rewind()
    client.event("leg.connected", leg_id=three)
    waiting.wait("200")
    assert {view["id"] for view in client.ok("list_legs")} == {three, dialled}
    assert switch.esl(f"uuid_exists {dialled}").strip() == "true"


def test_a_command_done_after_its_caller_gave_up_is_known(switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    node = service.ctx.nodes.default
    patience, node._command_timeout = node._command_timeout, 0.5
    switch.freeze()
    try:
        code, message = client.error("add_leg_to_room", room_id="r", leg_id=leg)
        assert (code, "did not answer" in message) == (503, True)
    finally:
        node._command_timeout = patience
        switch.thaw()
    client.event("leg.joined_room", leg_id=leg)
    eventually(
        lambda: service.ctx.nodes.default.refreshes == 1 and service.ctx.nodes.default.ready,
        "looked at anew",
    )
    assert service.ctx.nodes.default.stalls == 0
    assert client.ok("get_leg", id=leg)["room_id"] == "r"
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    client.event("leg.left_room", leg_id=leg)
    assert client.types(leg_id=leg).count("leg.joined_room") == 1
    assert "BYE" not in peer.seen


@pytest.mark.parametrize(
    "broken",
    [
        b"Content-Length: 7\nContent-Type: text/event-json\n\nno json",
        b"Content-Length: 5000000\nContent-Type: text/event-json\n\n",
    ],
    ids=["no JSON", "a length that is not true"],
)
def test_an_event_stream_out_of_step_is_read_anew(switch, start, connect, broken):
    if switch.name == "freeswitch":
        pytest.skip("it writes no broken frames")
    service = start()
    client = connect(service)
    service.ctx.timers.cancel("default")  # the second look, which would find the call as well
    switch.switch.garble(broken)
    peer = switch.call()
    leg = client.event("leg.ringing")["leg_id"]
    eventually(lambda: service.ctx.nodes.default.ready, "ready again")
    assert service.ctx.nodes.default.reconnects >= 1
    client.ok("answer_leg", id=leg)
    peer.wait("200")


def test_what_could_not_be_posted_is_set_again(switch, start, connect, monkeypatch):
    """The memory of a channel is written by commands that nobody waits for."""
    service = start()
    client = connect(service)
    _, leg = answered(switch, client)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "MAX_PENDING", 0)
        service.ctx.legs.get(leg).accept_dtmf = False
        service.ctx.nodes.default.switch.remember(service.ctx.legs.get(leg), "accept_dtmf")
    assert service.ctx.nodes.default.posts_lost == 1
    eventually(
        lambda: service.ctx.nodes.default.refreshes == 1 and service.ctx.nodes.default.ready,
        "looked at anew",
    )
    remembered = memory.variables(service.ctx.legs.get(leg), "accept_dtmf")
    for name, value in remembered.items():
        command = f"uuid_getvar {leg} {name}"
        eventually(lambda c=command, v=value: switch.esl(c).strip() == v, f"{name} is {value}")


def test_a_switch_is_found_again_soon_after_a_long_absence(switch, start):
    if switch.name == "freeswitch":
        pytest.skip("the run's switch is shared; tests/freeswitch restarts one of its own")
    # at a port that is nobody else's while it is away
    address = ("127.0.0.1", free_port())
    away = SandboxSwitch(*address)
    away.start()
    service = start(switch={"port": address[1], "backoff_max": 600.0})
    away.crash()
    eventually(lambda: service.ctx.nodes.default.reconnects >= 8, "many attempts were in vain", 40)
    back = SandboxSwitch(*address)
    back.start()
    try:
        assert service.ctx.nodes.default.wait_ready(20)
    finally:
        service.stop()
        back.stop()


@pytest.mark.own_switch
def test_a_module_loaded_later_is_noticed(switch, start):
    service = start()
    assert switch.esl("unload mod_opus").startswith("+OK")
    eventually(lambda: "opus" in service.ctx.nodes.default.facts.missing_codecs, "its absence is known")
    switch.esl("load mod_opus")
    eventually(lambda: "opus" not in service.ctx.nodes.default.facts.missing_codecs, "it is back")


def test_a_leg_that_is_being_hung_up_stays_so(switch, start, connect, monkeypatch):
    """The service ends between its answer and the switch's report: it is no leg again, and has its reason."""
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    gone, other = answered(switch, client)
    monkeypatch.setattr(service.ctx.nodes.default.switch, "hangup", lambda *_: True)
    for one in (leg, other):
        assert client.ok("delete_leg", id=one)
    service.ctx.history.flush()
    last = client.events[-1]["event_id"]
    crash(service)
    gone.hang_up()
    eventually(lambda: switch.esl(f"uuid_exists {other}").strip() == "false", "the other call is gone")
    client = connect(start(wait=False), f"?since={last}")
    for one in (leg, other):
        assert client.event("leg.disconnected", leg_id=one)["cdr"]["reason"] == "api_hangup"
        client.rewind()
    assert client.ok("list_legs") == []
    peer.wait("BYE")


def test_what_sounds_goes_on_when_the_switch_goes_on(switch, start, connect, web):
    service = start()
    client = connect(service)
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("room_record_start", id="r")
    playback = client.ok("leg_play_start", id=leg, tone="us_ringback", repeat=-1)["playback_id"]
    client.event("playback.started", playback_id=playback)
    channels = {one.id for one in service.ctx.get(Playbacks)} | {
        one.recorder for one in service.ctx.get(Recordings)
    }
    channels = {one for one in channels if switch.esl(f"uuid_exists {one}").strip() == "true"}
    assert channels
    switch.freeze()
    try:
        eventually(lambda: not service.ctx.nodes.default.ready, "it is noticed")
    finally:
        switch.thaw()
    eventually(lambda: service.ctx.nodes.default.ready, "it goes on")
    for channel in channels:
        assert switch.esl(f"uuid_exists {channel}").strip() == "true", channel
    assert "playback.error" not in client.types()
    assert "playback.finished" not in client.types()
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    client.event("playback.finished", playback_id=playback)
    file = client.ok("room_record_stop", id="r")["file"]
    assert client.event("recording.finished")["file"] == file
