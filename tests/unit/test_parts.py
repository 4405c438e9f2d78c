"""The small parts: bus, model, workers, timers, waits, state, hangup reasons."""

from __future__ import annotations

import json
import time

import gevent
import pytest
from gevent.event import Event as Flag

from vsi_esl.delivery.bus import EventBus, timestamp
from vsi_esl.delivery.filters import AppFilter
from vsi_esl.errors import Conflict, Invalid, NotFound, SwitchUnavailable
from vsi_esl.events.types import LegMuted, RoomCreated
from vsi_esl.model import codecs
from vsi_esl.model.leg import CONNECTED, Leg
from vsi_esl.model.room import Room
from vsi_esl.model.stores import Legs, Rooms
from vsi_esl.protocol import registry
from vsi_esl.switch import memory
from vsi_esl.translate.hangup import mos, quality, reason
from vsi_esl.work.timers import Timers
from vsi_esl.work.waits import Waits
from vsi_esl.work.workers import MAX_QUEUED_PER_KEY, Workers


def leg(**more) -> Leg:
    return Leg(**{"id": "u1", "type": "sip_inbound", "created_at": 100.0, **more})


# -- bus --


def test_timestamps_drop_trailing_zeros():
    assert timestamp(1_779_790_501_204_881_000) == "2026-05-26T10:15:01.204881Z"
    assert timestamp(1_779_790_501_000_000_000) == "2026-05-26T10:15:01Z"


def test_losses_are_told_with_the_next_event():
    bus = EventBus("i")
    queue = bus.subscribe(2, AppFilter(""))
    for number in range(5):
        bus.publish(RoomCreated(room_id=str(number)))
    lost, frames = queue.take(1)
    assert (lost, json.loads(frames[0])["room_id"]) == (3, "0")
    lost, frames = queue.take(10)
    assert (lost, json.loads(frames[0])["room_id"]) == (0, "1")
    assert queue.take(10) == (0, [])
    assert not queue.ready.is_set()
    assert (bus.dropped, queue.dropped_total) == (3, 3)


def test_unsubscribed_queues_get_nothing():
    bus = EventBus("i")
    queue = bus.subscribe(2, AppFilter(""))
    bus.unsubscribe(queue)
    bus.unsubscribe(queue)
    bus.publish(RoomCreated(room_id="1"))
    assert len(queue) == 0


def test_filtered_events_are_not_losses():
    bus = EventBus("i")
    queue = bus.subscribe(1, AppFilter("^a"))
    for app in ("b", "a", "b", None):
        bus.publish(RoomCreated(room_id="1", app_id=app))
    assert queue.take(5)[0] == 0
    assert bus.dropped == 0


def test_a_pattern_that_would_hang_backtracking_engines():
    started = time.monotonic()
    assert not AppFilter("(a+)+$").passes("a" * 5000 + "!")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("pattern", ["(", "[", "a" * 5000, "a**"])
def test_bad_patterns(pattern):
    with pytest.raises(Invalid, match=r"^invalid app_id regex: "):
        AppFilter(pattern)


def test_members_that_are_none_are_left_out():
    assert LegMuted(leg_id="x").payload() == {"leg_id": "x"}


# -- model --


def test_held_is_shown_as_a_state():
    one = leg(state=CONNECTED, held_by_peer=True)
    assert (one.view()["state"], one.view()["held"]) == ("held", True)
    assert leg(held_by_us=True).view()["state"] == "ringing"


def test_headers_are_shown_for_inbound_legs_only():
    assert leg(headers={"X-A": "1"}).view()["headers"] == {"X-A": "1"}
    assert "headers" not in leg(type="sip_outbound", headers={"X-A": "1"}).view()


def test_legs_that_are_hung_up_are_hidden_and_still_found():
    legs = Legs()
    one = leg()
    legs.add(one)
    legs.retire(one)
    with pytest.raises(NotFound):
        legs.get("u1")
    assert legs.find("u1") is one
    assert len(legs) == 0
    assert legs.everyone() == [one]
    assert legs.remove(one) is True
    assert legs.remove(one) is False


def test_rooms_by_conference():
    rooms = Rooms()
    room = Room("a", 8000)
    rooms.add(room)
    assert rooms.of_conference(room.conference) is room
    with pytest.raises(Conflict, match="room a already exists"):
        rooms.add(Room("a", 8000))
    rooms.remove(room)
    assert rooms.of_conference(room.conference) is None


def test_offer_of_known_codecs_in_order():
    sdp = (
        "v=0\r\nm=audio 4000 RTP/AVP 18 8 107 96 0 101\r\na=rtpmap:107 OPUS/48000/2\r\n"
        "a=rtpmap:96 G722/8000\r\na=rtpmap:18 G729/8000\r\nm=video 0 RTP/AVP 9\r\n"
    )
    found = [(codec.name, codec.payload_type, codec.priority) for codec in codecs.offered_codecs(sdp)]
    assert found == [("PCMA", 8, 1), ("opus", 107, 2), ("G722", 96, 3), ("PCMU", 0, 4)]


@pytest.mark.parametrize(
    "sdp", ["", "m=audio", "m=audio x y z", "a=rtpmap:0 PCMU/8000", "m=audio 1 RTP/AVP 77"]
)
def test_offers_without_a_known_codec(sdp):
    assert codecs.offered_codecs(sdp) == ()


def test_numbers_in_an_offer_may_have_any_length():
    long = "9" * 5000
    sdp = f"m=audio 1 RTP/AVP {long} 0 200\r\na=rtpmap:{long} PCMA/8000\r\na=rtpmap:0 PCMU/{long}\r\n"
    assert [(one.name, one.clock_rate) for one in codecs.offered_codecs(sdp)] == [("PCMU", 8000)]


@pytest.mark.parametrize(
    ("codec", "rate", "expected"),
    [("PCMU", "8000", 8000), ("G722", "16000", 16000), ("opus", "8000", 48000), ("x", "", 8000)],
)
def test_rates(codec, rate, expected):
    assert codecs.sample_rate(codec, rate) == expected


def test_memory_holds_everything_that_matters():
    one = leg(app_id="a, b}", role="r'1", target_room="späce", muted=True, accept_dtmf=False, dtmf_seq=7)
    one.ring_deadline, one.held_since = 123.5, 9.25
    event = {f"variable_{key}": value for key, value in memory.variables(one).items()}
    copy = leg()
    memory.recall(copy, event)
    for name in (
        "app_id",
        "role",
        "target_room",
        "muted",
        "accept_dtmf",
        "dtmf_seq",
        "ring_deadline",
        "held_since",
    ):
        assert getattr(copy, name) == getattr(one, name)


def test_memory_takes_nonsense_for_nothing():
    copy = leg()
    memory.recall(
        copy, {"variable_vsi_dtmf_seq": "x", "variable_vsi_muted": "maybe", "variable_vsi_role": ["a"]}
    )
    assert (copy.dtmf_seq, copy.muted, copy.role) == (0, False, "")


# -- the end of a call --


@pytest.mark.parametrize(
    ("kind", "state", "event", "expected"),
    [
        ("in", "ringing", {"Hangup-Cause": "ORIGINATOR_CANCEL", "d": "recv_cancel"}, "caller_cancel"),
        ("in", "ringing", {"Hangup-Cause": "INCOMPATIBLE_DESTINATION", "d": "send_refuse"}, "connect_failed"),
        ("in", "connected", {"Hangup-Cause": "NORMAL_CLEARING", "d": "recv_bye"}, "remote_bye"),
        ("in", "connected", {"Hangup-Cause": "MEDIA_TIMEOUT", "d": "send_bye"}, "rtp_timeout"),
        ("in", "connected", {"Hangup-Cause": "NORMAL_CLEARING", "s": "200"}, "session_expired"),
        ("in", "connected", {"Hangup-Cause": "MANAGER_REQUEST", "d": "send_bye"}, "api_hangup"),
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


# -- waiting --


def test_work_is_in_order_per_key_and_concurrent_between_keys():
    workers, done, gate = Workers(), [], Flag()
    workers.submit("a", lambda: (gate.wait(5), done.append("a1")))
    second = workers.submit("a", lambda: done.append("a2"))
    workers.run("b", 5, lambda: done.append("b1"))
    gate.set()
    second.get(timeout=5)
    assert done == ["b1", "a1", "a2"]
    assert len(workers) == 0


def test_work_that_takes_too_long_or_fails():
    workers = Workers()
    with pytest.raises(SwitchUnavailable):
        workers.run("a", 0.01, Flag().wait, 5)
    with pytest.raises(Conflict):
        workers.run("b", 5, _raise, Conflict("x"))
    workers.stop()


def _raise(error: Exception) -> None:
    raise error


def test_a_full_queue_refuses():
    workers, gate = Workers(), Flag()
    for _ in range(MAX_QUEUED_PER_KEY):
        workers.submit("a", gate.wait, 5)
    with pytest.raises(SwitchUnavailable, match="too many"):
        workers.submit("a", gate.wait, 5).get(timeout=1)
    assert workers.refused == 1
    gate.set()
    workers.stop()


def test_timers_replace_and_cancel():
    timers, fired, flag = Timers(), [], Flag()
    now = time.time()
    timers.at("leg", "x", now + 60, fired.append, "late")
    timers.at("leg", "x", now, fired.append, "now")
    timers.at("leg", "y", now + 60, fired.append, "never")
    timers.at("other", "z", now, flag.set)
    assert flag.wait(5)
    timers.cancel("leg")
    timers.cancel("nobody")
    assert fired == ["now"]
    assert timers._timers == {}


def test_waits():
    waits = Waits()
    with waits.expect("joined", "leg", "room") as joined:
        assert not waits.fulfil("joined", "leg", "other")
        assert waits.fulfil("joined", "leg", "room", value=5)
        assert joined.get(timeout=1) == 5
    with waits.expect("reinvite", "leg") as failed:
        waits.fail("leg", Conflict("gone"))
        with pytest.raises(Conflict):
            failed.get(timeout=1)
    with waits.expect("reinvite", "leg") as failed:
        waits.fail_all(SwitchUnavailable("lost"))
        with pytest.raises(SwitchUnavailable):
            failed.get(timeout=1)
    assert waits._waiting == {}


# -- registry --


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


def test_greenlets_are_not_left_behind():
    workers = Workers()
    workers.submit("a", gevent.sleep, 60)
    gevent.sleep(0)
    workers.stop()
    assert workers._greenlets == {}
