"""The end of a call: its reason and its quality."""

from __future__ import annotations

import pytest

from vsi_esl.model.leg import Leg
from vsi_esl.translate.hangup import mos, quality, reason


def leg(**more) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 100.0, **more})


@pytest.mark.parametrize(
    ("kind", "state", "event", "expected"),
    [
        ("in", "ringing", {"Hangup-Cause": "ORIGINATOR_CANCEL", "d": "recv_cancel"}, "caller_cancel"),
        ("in", "ringing", {"Hangup-Cause": "INCOMPATIBLE_DESTINATION", "d": "send_refuse"}, "connect_failed"),
        ("in", "connected", {"Hangup-Cause": "NORMAL_CLEARING", "d": "recv_bye"}, "remote_bye"),
        ("in", "connected", {"Hangup-Cause": "MEDIA_TIMEOUT", "d": "send_bye"}, "rtp_timeout"),
        ("in", "connected", {"Hangup-Cause": "NORMAL_CLEARING", "s": "200"}, "session_expired"),
        ("in", "connected", {"Hangup-Cause": "MANAGER_REQUEST", "d": "send_bye"}, "api_hangup"),
        ("in", "connected", {"Hangup-Cause": "NORMAL_UNSPECIFIED"}, "connect_failed"),
        ("in", "ringing", {"Hangup-Cause": "NORMAL_UNSPECIFIED"}, "connect_failed"),
        ("out", "ringing", {"Hangup-Cause": "USER_BUSY", "d": "recv_refuse", "s": "486", "ip": "1"}, "busy"),
        (
            "out",
            "ringing",
            {"Hangup-Cause": "X", "d": "recv_refuse", "s": "503", "ip": "1"},
            "service_unavailable",
        ),
        ("out", "ringing", {"Hangup-Cause": "X", "d": "recv_refuse", "s": "503"}, "invite_failed"),
        ("out", "ringing", {"Hangup-Cause": "X", "d": "recv_refuse", "s": "599", "ip": "1"}, "sip_599"),
        (
            "out",
            "ringing",
            {"Hangup-Cause": "NORMAL_UNSPECIFIED", "d": "send_cancel", "s": "904"},
            "unauthorized",
        ),
        ("out", "ringing", {"Hangup-Cause": "MANDATORY_IE_MISSING", "d": "send_cancel"}, "unauthorized"),
        (
            "out",
            "ringing",
            {"Hangup-Cause": "CALL_REJECTED", "d": "recv_refuse", "s": "407", "ip": "1"},
            "unauthorized",
        ),
        ("out", "ringing", {"Hangup-Cause": "INCOMPATIBLE_DESTINATION", "d": "send_bye"}, "connect_failed"),
        ("out", "ringing", {"Hangup-Cause": "DESTINATION_OUT_OF_ORDER"}, "invite_failed"),
        (
            "out",
            "ringing",
            {"Hangup-Cause": "REQUESTED_CHAN_UNAVAIL", "d": "send_cancel", "p": "sip:302"},
            "sip_302",
        ),
        ("out", "early_media", {"Hangup-Cause": "MEDIA_TIMEOUT", "d": "send_cancel"}, "rtp_timeout"),
    ],
)
def test_reasons(kind, state, event, expected):
    names = {
        "d": "variable_sip_hangup_disposition",
        "s": "variable_sip_term_status",
        "ip": "variable_sip_network_ip",
        "p": "variable_proto_specific_hangup_cause",
    }
    one = leg(type="sip_inbound" if kind == "in" else "sip_outbound", state=state)
    assert reason(one, {names.get(key, key): value for key, value in event.items()}) == expected


def test_quality_from_the_switch_figures():
    figures = {
        "variable_rtp_audio_in_packet_count": "150",
        "variable_rtp_audio_in_mean_interval": "22.0",
        "variable_rtp_audio_in_jitter_max_variance": "4.0",
    }
    assert quality(figures) == {
        "mos_score": mos(2.0, 15 / 165),
        "rtp_packets_received": 150,
        "rtp_packets_lost": 15,
        "rtp_jitter_ms": 2.0,
    }
    assert quality({}) is None
    assert quality({"variable_rtp_audio_in_packet_count": "nan"}) is None


def test_mos_stays_in_its_range():
    assert mos(0, 0) == pytest.approx(4.41, abs=0.01)
    assert mos(500, 1) == 1.0
