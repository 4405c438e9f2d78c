"""The names of the protocol: the 73 commands of the VSI specification, in its order."""

from __future__ import annotations

COMMANDS = tuple(
    """
    list_legs get_leg create_leg answer_leg delete_leg mute_leg unmute_leg deaf_leg undeaf_leg hold_leg
    unhold_leg send_leg_dtmf accept_leg_dtmf reject_leg_dtmf send_leg_rtt accept_leg_rtt reject_leg_rtt
    webrtc_offer webrtc_add_candidate webrtc_get_candidates list_rooms get_room create_room delete_room
    add_leg_to_room remove_leg_from_room bridge_create bridge_list bridge_get bridge_update bridge_delete
    room_routing_get room_routing_set room_routing_update set_leg_role leg_ring leg_early_media
    leg_amd_start leg_record_start room_record_start leg_record_pause leg_record_resume leg_record_stop
    room_record_stop room_record_pause room_record_resume leg_play_start leg_play_stop room_play_start
    room_play_stop leg_play_volume room_play_volume leg_stt_start room_stt_start leg_stt_stop
    room_stt_stop leg_tts room_tts leg_transfer leg_agent_elevenlabs leg_agent_vapi leg_agent_pipecat
    leg_agent_deepgram room_agent_elevenlabs room_agent_vapi room_agent_pipecat room_agent_deepgram
    leg_agent_stop room_agent_stop leg_agent_message room_agent_message pong stop
    """.split()
)

CONNECTION_COMMANDS = frozenset(("pong", "stop"))
"""Frames that concern the connection only; they are never answered."""
