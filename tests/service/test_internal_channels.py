"""Internal channels that the switch loses although it said it had made them."""

from __future__ import annotations

import pytest

from tests.support.calls import in_room
from tests.support.drivers import eventually
from tests.support.held import held
from vsi_esl.calls import internal
from vsi_esl.model.sound_stores import Bridges, Playbacks
from vsi_esl.sandbox.calls import GONE, STUCK
from vsi_esl.sound.bridges import bridging
from vsi_esl.storage.state import StateStore
from vsi_esl.storage.thread import StorageThread


@pytest.fixture
def astray(switch, monkeypatch):
    """Have the next internal channels go astray."""
    if switch.name != "sandbox":
        pytest.skip("a real switch loses them when it likes; see tests/freeswitch")
    monkeypatch.setattr(internal, "ARRIVAL_TIMEOUT_S", 1.0)
    return switch.switch.astray


def internal_channels(switch, prefix: str) -> list[str]:
    return [one for one in switch.switch.channels if one.startswith(prefix)]


@pytest.mark.parametrize("form", [GONE, STUCK])
def test_the_bot_of_a_leg_in_a_room_is_made_again(switch, client, service, astray, form):
    _, leg = in_room(switch, client)
    astray += [form]
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    assert service.ctx.nodes.default.sound.gone_astray == 1
    eventually(lambda: len(internal_channels(switch, playback)) == 1, "the stuck one was ended")
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    client.event("playback.finished", playback_id=playback)
    eventually(lambda: not internal_channels(switch, playback), "none is left")


@pytest.mark.parametrize("form", [GONE, STUCK])
def test_the_bot_of_a_room_is_made_again(switch, client, astray, form):
    in_room(switch, client)
    first = client.ok("room_play_start", id="r", tone="dial")["playback_id"]
    client.event("playback.started", playback_id=first)
    astray += [form]
    second = client.ok("room_play_start", id="r", tone="busy")["playback_id"]
    client.event("playback.started", playback_id=second)
    eventually(lambda: len(internal_channels(switch, second)) == 1, "the stuck one was ended")


@pytest.mark.parametrize("form", [GONE, STUCK])
def test_a_recorder_is_made_again(switch, client, service, astray, form):
    in_room(switch, client)
    astray += [form, form]
    client.ok("room_record_start", id="r")
    eventually(lambda: len(internal_channels(switch, "rec-")) == 1, "the stuck ones were ended")
    assert service.ctx.nodes.default.sound.gone_astray == 2
    finished = client.ok("room_record_stop", id="r")
    assert finished["status"] == "stopped"
    eventually(lambda: not internal_channels(switch, "rec-"), "none is left")


@pytest.mark.parametrize("form", [GONE, STUCK])
def test_a_bridge_is_made_again(switch, client, astray, form):
    in_room(switch, client, "a")
    in_room(switch, client, "b")
    astray += [form]
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    eventually(lambda: len(internal_channels(switch, "br-")) == 1, "the stuck one was ended")
    client.ok("bridge_delete", room_id="a", bridge_id="x")
    eventually(lambda: not internal_channels(switch, "br-"), "none is left")


def test_when_none_arrives_the_client_is_told_and_none_is_left(switch, client, astray):
    in_room(switch, client, "a")
    in_room(switch, client, "b")
    astray += [STUCK] * internal.ATTEMPTS
    assert client.error("bridge_create", room_id="a", bridge_id="x", peer_room_id="b") == (
        503,
        "the switch did not report the internal channel",
    )
    assert client.ok("bridge_list", room_id="a") == []
    astray += [STUCK] * internal.ATTEMPTS
    assert client.error("room_record_start", id="a")[0] == 503
    eventually(lambda: not internal_channels(switch, "rec-"), "no recorder is left")
    assert not internal_channels(switch, "br-")
    client.ok("room_record_start", id="a")
    client.ok("room_record_stop", id="a")


def test_a_lost_bridge_is_made_until_the_switch_reports_it(switch, client, service, astray, monkeypatch):
    """Renewing it fails for want of a report, not because the switch refuses."""
    monkeypatch.setattr(bridging, "RETRY_S", 0.1)
    in_room(switch, client, "a")
    in_room(switch, client, "b")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    (bridge,) = service.ctx.get(Bridges)
    lost = bridge.channel
    astray += [STUCK] * internal.ATTEMPTS
    switch.esl(f"uuid_kill {lost}")
    eventually(lambda: bool(bridge.member_id) and bridge.channel != lost, "it is there again")
    eventually(lambda: internal_channels(switch, "br-") == [bridge.channel], "nothing else is left")
    assert service.ctx.nodes.default.sound.gone_astray == internal.ATTEMPTS


def test_a_leg_hangs_up_while_its_bot_is_made(switch, client, service):
    """There is nobody to whisper to, however often it is tried."""
    peer, leg = in_room(switch, client)
    with held(service.ctx.nodes.default.sound, "whisper_bot", before=True) as hold:
        playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
        hold.entered.wait(20)
        peer.hang_up()
        client.event("playback.finished", playback_id=playback, reason="stopped")
        client.event("leg.disconnected", leg_id=leg)
        hold.release()
    eventually(lambda: not switch.channels("pb-"), "no bot is left")
    assert not len(service.ctx.get(Playbacks))


def test_what_nobody_knows_of_after_a_restart_is_ended(switch, client, service, start):
    """Its playback, its recording and its bridge ended while nobody watched."""
    in_room(switch, client, "a")
    _, leg = in_room(switch, client, "b")
    client.ok("leg_play_start", id=leg, tone="dial")
    client.event("playback.started")
    client.ok("room_record_start", id="a")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    for prefix in ("pb-", "rec-", "br-"):
        eventually(lambda p=prefix: switch.channels(p), f"{prefix} is there")
    service.stop()
    thread = StorageThread()
    state = StateStore(service.config.state.path, thread)
    for kind in ("playback", "recording", "bridge"):
        for body in state.items(kind):
            state.forget_item(kind, body["id"])
    state.close()
    thread.stop(2)
    start()
    for prefix in ("pb-", "rec-", "br-"):
        eventually(lambda p=prefix: not switch.channels(p), f"no {prefix} is left")
