"""The registry of commands."""

from __future__ import annotations

import pytest

from vsi_esl.protocol import registry


def test_registry_refuses_strangers_and_doubles():
    registry.load_commands()
    with pytest.raises(ValueError, match="no command of the protocol"):
        registry.command("brew", None, result="")(lambda ctx: None)
    with pytest.raises(ValueError, match="twice"):
        registry.command("list_legs", None, result="")(lambda ctx: None)
    with pytest.raises(ValueError, match="docstring"):
        registry.command("leg_tts", None, result="")(lambda ctx: None)


def test_every_command_of_this_stage_is_there():
    expected = (
        "list_legs get_leg create_leg answer_leg delete_leg mute_leg unmute_leg deaf_leg undeaf_leg hold_leg "
        "unhold_leg send_leg_dtmf accept_leg_dtmf reject_leg_dtmf leg_ring leg_early_media list_rooms "
        "get_room create_room delete_room add_leg_to_room remove_leg_from_room set_leg_role "
        "room_routing_get room_routing_set room_routing_update leg_play_start leg_play_stop leg_play_volume "
        "room_play_start room_play_stop room_play_volume leg_record_start leg_record_stop leg_record_pause "
        "leg_record_resume room_record_start room_record_stop room_record_pause room_record_resume "
        "bridge_create bridge_list bridge_get bridge_update bridge_delete send_leg_rtt accept_leg_rtt "
        "reject_leg_rtt"
    )
    assert set(registry.load_commands()) == set(expected.split())
