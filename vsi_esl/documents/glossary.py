"""What a member means, for those that mean the same wherever they stand; and the words that have a list.

A member whose meaning is its own says so where it is declared: `about(...)` in a payload, `Annotated[...]` in
an event.
"""

from __future__ import annotations

from typing import Any

from ..commands.legs import REJECTIONS
from ..translate.hangup import SIP_REASONS

Schema = dict[str, Any]

MEMBERS = {
    "accept_dtmf": "Whether it gets the digits of others in its room.",
    "app_id": "The application that it belongs to; what a connection's app_id filter looks at.",
    "bridge_id": "The bridge.",
    "category": "What sort of failure it is; those called permanent will be the same next time.",
    "channel": "The channel of the file, from 0.",
    "channels": "Leg id: its channel of the multi-channel file.",
    "code": "The HTTP status code that says the same.",
    "codec": "Codec to use, one of the offered; the service chooses when absent.",
    "count": "How many.",
    "data": "What the command answers.",
    "deaf": "Whether it hears nothing of its room.",
    "direction": "Which way audio goes, seen from room_id.",
    "end_ms": "When the leg left, in ms from the start of the file.",
    "error": "What went wrong.",
    "event_id": "The number of this ping, from 1.",
    "file": "Local path, or s3://bucket/key once it is there.",
    "headers": "SIP headers.",
    "held": "Whether it is on hold, by either side.",
    "id": "Its id.",
    "instance_id": "Which service this is.",
    "leg_id": "The leg.",
    "leg_type": "The kind of leg.",
    "listener_role": "Who hears.",
    "matrix": "Listening role: the roles it hears. Roles without a row hear everybody.",
    "message": "The same in words.",
    "multi_channel_file": "The file with one channel per leg.",
    "mute": "Whether the leg is silenced when it joins; absent for as it is.",
    "muted": "Whether nobody hears it; recordings still do.",
    "omitted_legs": "Legs whose track could not be read.",
    "participants": "The legs in it.",
    "payload": "The command's members.",
    "playback_id": "The playback.",
    "role": "Its role in the routing of its room; none when empty or absent.",
    "room_a_id": "The room that the bridge was made for.",
    "room_b_id": "The other room.",
    "room_id": "The room.",
    "s3_access_key": "Key of the request's own credentials.",
    "s3_bucket": "Bucket; the configured one when empty.",
    "s3_endpoint": "URL of an S3-compatible server; the configured one when empty.",
    "s3_prefix": "Put before the file name as it is.",
    "s3_region": "Its region.",
    "s3_secret_key": "Secret of the request's own credentials.",
    "sample_rate": "Hz.",
    "seq": "Counts from 1.",
    "sip_headers": "Headers of an inbound INVITE whose name begins with X-.",
    "sources": "The roles that it hears; null or absent removes the row.",
    "speech_detection": "Whether speaking events are wanted; the configured default when absent.",
    "start_ms": "When the leg joined, in ms from the start of the file.",
    "state": "Where the call is.",
    "status": "What was done, or begun.",
    "to": "The room that it is in now.",
    "tts_id": "The speech; a playback_id for what stops it or changes its volume.",
    "type": "The kind of leg.",
}

DISCONNECT_REASONS = {
    "api_hangup": "delete_leg without a reason that applies, or an operator at the switch.",
    "room_deleted": "delete_room while the leg was in the room.",
    "remote_bye": "The peer hung up after the answer.",
    "caller_cancel": "An inbound caller gave up before the answer.",
    "ring_timeout": "ring_timeout of create_leg passed.",
    "max_duration": "max_duration of create_leg passed.",
    "rtp_timeout": "No RTP for as long as media.rtp_timeout, or on hold for longer than media.hold_timeout.",
    "session_expired": "The session timer (RFC 4028) ran out.",
    "invite_failed": "The INVITE failed without an answer of the peer.",
    "connect_failed": "Answered, but with no codec in common.",
    "unobserved": "It ended while the service was away.",
    "switch_restarted": "The switch was restarted, and took the call along.",
    "rejected": "delete_leg with this reason.",
    "server_error": "delete_leg with this reason.",
}
"""Those that are no answer of the peer to an INVITE; see `answers`."""

REJECTION_CODES = {
    "busy": 486,
    "declined": 603,
    "rejected": 603,
    "unavailable": 480,
    "not_found": 404,
    "forbidden": 403,
    "server_error": 500,
}
"""The SIP status that delete_leg's reasons are sent as; the tests hold it against the wire."""


def answers() -> dict[str, str]:
    """Disconnect reasons that are the peer's answer to an INVITE, with its SIP status codes."""
    found: dict[str, list[str]] = {}
    for code, reason in SIP_REASONS.items():
        if code < 700:
            found.setdefault(reason, []).append(str(code))
    return {reason: ", ".join(codes) for reason, codes in found.items()} | {
        "sip_NNN": "any other from 300 up"
    }


def rejections() -> dict[str, int]:
    """The reasons of delete_leg for an unanswered inbound leg, with the SIP status that each is sent as."""
    return {reason: REJECTION_CODES[reason] for reason in REJECTIONS}


def described(name: str, schema: Schema) -> Schema:
    """The schema of a member, with what its name means when nothing else was said."""
    if "description" in schema or "const" in schema or name not in MEMBERS:
        return schema
    return {**schema, "description": MEMBERS[name]}
