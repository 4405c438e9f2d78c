"""What /metrics shows of calls and commands."""

from __future__ import annotations

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.held import held
from tests.support.service import Scrape


def test_a_call_is_counted(switch, client, service):
    before = Scrape(service)
    assert before.content_type.startswith("text/plain; version=0.0.4")
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.error("mute_leg", id="nobody")
    client.error("no_such_command")
    live = Scrape(service)
    assert live.value("voiceblender_active_legs") == 1
    assert live.value("voiceblender_active_rooms") == 1
    assert live.value("voiceblender_legs_total", type="sip_inbound", state="connected") == 1
    assert live.value("vsi_esl_commands_total", command="mute_leg", outcome="404") == 1
    assert live.value("vsi_esl_commands_total", command="unknown", outcome="400") == 1
    assert live.value("vsi_esl_command_seconds_count", command="add_leg_to_room") == 1
    assert live.value("vsi_esl_switch_up") == live.value("vsi_esl_vsi_clients") == 1
    assert live.value("vsi_esl_switch_event_lag_seconds_count") > 0
    eventually(lambda: Scrape(service).value("vsi_esl_loop_lag_seconds_count") > 0, "a look at the loop")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    over = Scrape(service)
    assert over.value("voiceblender_active_legs") == 0
    assert over.value("voiceblender_disconnect_reasons_total", reason="remote_bye") == 1
    assert over.value("voiceblender_call_total_duration_seconds_count", type="sip_inbound") == 1


def test_a_lost_switch_is_seen(switch, client, service):
    node = service.ctx.nodes.default
    with held(node, "_connect", before=True):
        switch.drop_connections()
        eventually(lambda: not node.ready, "lost")
        assert Scrape(service).value("vsi_esl_switch_up") == 0
    eventually(lambda: node.ready, "back")
    again = Scrape(service)
    assert again.value("vsi_esl_switch_up") == 1
    assert again.value("vsi_esl_switch_reconnects_total") >= 1
