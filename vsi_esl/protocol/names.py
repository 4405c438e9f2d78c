"""The names of the protocol: the 73 commands of the VSI specification, in its order, and what later versions
have added."""

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

VERSION = "2026-05-26"
"""The version of the protocol whose commands these are."""

LATER: dict[str, tuple[str, ...]] = {
    "2026-08-20": tuple(
        """
        accept_transfer progress_transfer complete_transfer decline_transfer
        leg_stream_list leg_stream_get leg_stream_add leg_stream_update leg_stream_remove
        leg_stream_attach_room leg_stream_detach_room leg_stt_finalize
        leg_tts_preflight leg_tts_commit leg_tts_discard leg_siprec_start room_siprec_start siprec_get
        challenge_leg challenge_registration accept_registration reject_registration
        list_sip_registrations delete_sip_registration
        create_sip_trunk list_sip_trunks get_sip_trunk delete_sip_trunk
        """.split()
    ),
}
"""Later versions, the oldest first, and the commands that each has added."""

LATER_EVENTS: dict[str, tuple[str, ...]] = {
    "2026-08-20": tuple(
        """
        leg.stream_added leg.stream_removed leg.stream_rejected leg.stream_failed leg.stream_room_changed
        leg.stream_role_changed stt.turn tts.staged tts.discarded siprec.session_started
        siprec.session_ended siprec.metadata_updated siprec.participant_joined siprec.participant_left
        sip.registration_attempt sip.registration_active sip.registration_expired
        sip.outbound_registration_active sip.outbound_registration_failed
        sip.outbound_registration_expired
        """.split()
    ),
}
"""The events that they have added."""


def known_commands() -> tuple[str, ...]:
    """The commands of all versions, in the order of the versions."""
    return COMMANDS + tuple(name for added in LATER.values() for name in added)


def is_command(name: str) -> bool:
    """Whether a version of the protocol has such a command."""
    return name in COMMANDS or any(name in added for added in LATER.values())


def version_of(name: str) -> str:
    """The version with which a command or event came; VERSION for what no later one has added."""
    added = (version for names in (LATER, LATER_EVENTS) for version, some in names.items() if name in some)
    return next(added, VERSION)
