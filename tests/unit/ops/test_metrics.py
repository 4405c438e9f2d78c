"""What /metrics says: the reference server's series from events, ours from the service."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from flask import Flask
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from vsi_esl import __version__
from vsi_esl.app import Service
from vsi_esl.config import Config
from vsi_esl.config.settings import StateSettings
from vsi_esl.errors import VsiError
from vsi_esl.events.base import Event
from vsi_esl.events.legs import LegConnected, LegDisconnected, LegRinging
from vsi_esl.events.rooms import RoomCreated
from vsi_esl.model.leg import CONNECTED, Leg
from vsi_esl.model.recording import RUNNING, Recording
from vsi_esl.model.room import Room
from vsi_esl.model.sound_stores import Recordings
from vsi_esl.ops import logs
from vsi_esl.ops.metrics import Metrics, known_reason, register
from vsi_esl.ops.series import Spread
from vsi_esl.protocol import registry
from vsi_esl.sound.playback.settings import PlaybackSettings
from vsi_esl.sound.recording.settings import RecordingSettings

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Not started: it has all its parts, and no switch."""
    running = Service(
        Config(
            state=StateSettings(path=":memory:"),
        ).having(RecordingSettings(dir=str(tmp_path)), PlaybackSettings(spool_dir=str(tmp_path / "spool")))
    )
    yield running
    running.stop()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def call(metrics: Metrics, *events: Event) -> None:
    for event in events:
        metrics.observe(event, "id", b"{}")


def ended(leg_id: str, reason: str, total: float = 0.0, answered: float = 0.0) -> Event:
    cdr = {"reason": reason, "duration_total": total, "duration_answered": answered}
    return LegDisconnected(leg_id=leg_id, cdr=cdr)


def test_an_answered_call(metrics):
    call(
        metrics,
        LegRinging(leg_id="l", leg_type="sip_inbound", from_="1"),
        LegConnected(leg_id="l", leg_type="sip_inbound"),
        ended("l", "remote_bye", 42.0, 12.5),
    )
    for state in ("ringing", "connected", "disconnected"):
        assert value(metrics, "voiceblender_legs_total", type="sip_inbound", state=state) == 1
    reasons = {"type": "sip_inbound", "reason": "remote_bye"}
    assert value(metrics, "voiceblender_disconnect_reasons_total", **reasons) == 1
    answered, total = "voiceblender_call_duration_seconds", "voiceblender_call_total_duration_seconds"
    assert value(metrics, f"{answered}_sum", type="sip_inbound") == 12.5
    assert value(metrics, f"{answered}_bucket", type="sip_inbound", le="5.0") == 0
    assert value(metrics, f"{answered}_bucket", type="sip_inbound", le="15.0") == 1
    assert value(metrics, f"{total}_sum", type="sip_inbound") == 42.0
    found = [dict(labels)["le"] for name, labels in samples(metrics) if name == f"{total}_bucket"]
    assert [float(le) for le in found] == [5, 15, 30, 60, 120, 300, 600, 1800, 3600, float("inf")]


def test_a_call_nobody_answered_has_no_answered_duration(metrics):
    call(
        metrics,
        LegRinging(leg_id="l", leg_type="sip_outbound", uri="sip:a@b"),
        ended("l", "sip_500", 3.0),
    )
    assert value(metrics, "voiceblender_legs_total", type="sip_outbound", state="ringing") == 1
    assert value(metrics, "voiceblender_call_duration_seconds_count", type="sip_outbound") is None
    assert value(metrics, "voiceblender_call_total_duration_seconds_count", type="sip_outbound") == 1


def test_a_leg_that_was_never_announced(metrics):
    call(metrics, ended("l", "remote_bye"))
    assert value(metrics, "voiceblender_legs_total", type="unknown", state="disconnected") == 1


def test_a_leg_from_before_a_restart_has_its_type(service, metrics):
    metrics.watch(service.ctx)
    service.ctx.legs.add(Leg(id="l", type="sip_outbound", created_at=0.0, state=CONNECTED))
    metrics.render()
    call(metrics, ended("l", "remote_bye"))
    assert value(metrics, "voiceblender_legs_total", type="sip_outbound", state="disconnected") == 1


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("busy", "busy"),
        ("sip_400", "sip_400"),
        ("sip_699", "sip_699"),
        ("sip_399", "other"),
        ("sip_700", "other"),
        ("sip_4\u0661\u0661", "other"),
        ("sip_", "other"),
        ("of my own", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_reasons_are_bounded(reason, label):
    assert known_reason(reason) == label


def test_commands(metrics):
    metrics.command("list_legs", "ok", 0.002)
    metrics.command("list_legs", "503", 5.0)
    metrics.command("unknown", "ok", 0.1)
    metrics.command("unknown", "what", 0.1)
    counted = "vsi_esl_commands_total"
    assert value(metrics, counted, command="list_legs", outcome="ok") == 1
    assert value(metrics, counted, command="list_legs", outcome="503") == 1
    assert value(metrics, counted, command="unknown", outcome="ok") == 1
    assert value(metrics, counted, command="unknown", outcome="other") == 1
    assert value(metrics, "vsi_esl_command_seconds_count", command="list_legs") == 2
    assert value(metrics, "vsi_esl_command_seconds_bucket", command="list_legs", le="0.0025") == 1


def test_what_clients_call_a_command_becomes_no_label(service):
    for name in ('evil"} 1\n', "list_legs2", ""):
        with pytest.raises(VsiError):
            registry.dispatch(service.ctx, name, {})
    assert value(service.ctx.metrics, "vsi_esl_commands_total", command="unknown", outcome="400") == 3
    assert "evil" not in service.ctx.metrics.render()[0].decode()


def test_the_age_of_switch_events(metrics):
    now = time.time()
    for stamp in (str(int((now - 0.3) * 1e6)), str(int((now + 60) * 1e6)), "", "x", None, "\u0661"):
        metrics.switch_event({"Event-Date-Timestamp": stamp})
    name = "vsi_esl_switch_event_lag_seconds"
    assert value(metrics, f"{name}_count") == 2
    assert value(metrics, f"{name}_bucket", le="0.02") == 1
    assert 0.2 < value(metrics, f"{name}_sum") < 30


def test_a_spread_is_shown_as_a_histogram_of_the_library():
    bounds, values = (0.001, 0.5, 2), [0.0, 0.001, 0.0011, 0.5, 1.9, 2, 2.1, 1e9]
    theirs = Histogram("spread", "", ["of"], buckets=bounds, registry=CollectorRegistry())
    ours, family = Spread(bounds), HistogramMetricFamily("spread", "", labels=["of"])
    for number in values:
        theirs.labels("a").observe(number)
        ours.observe(number)
    ours.add_to(family, "a")
    shown = [(one.name, one.labels, one.value) for one in family.samples]
    (library,) = theirs.collect()
    expected = [(one.name, one.labels, one.value) for one in library.samples]
    assert sorted(map(str, shown)) == sorted(str(one) for one in expected if "_created" not in one[0])


def test_the_process_is_there(metrics):
    found = {name for name, _ in samples(metrics)}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_gc_collections_total"} <= found
    assert not any(name.endswith("_created") for name in found)


def test_the_state_of_the_service(service):
    ctx = service.ctx
    one = Leg(id="1", type="sip_inbound", created_at=0.0, state=CONNECTED)
    two = Leg(id="2", type="sip_inbound", created_at=0.0, state=CONNECTED, held_by_us=True)
    three = Leg(id="3", type="sip_outbound", created_at=0.0)
    for leg in (one, two, three):
        ctx.legs.add(leg)
    ctx.legs.retire(three)
    ctx.rooms.add(Room("r", 16000))
    ctx.get(Recordings).add(
        Recording(id="a", file="/a.wav", rate=8000, leg_id="1", state=RUNNING, paused=True)
    )
    ctx.get(Recordings).add(Recording(id="b", file="/b.wav", rate=8000, leg_id="2", state=RUNNING))
    ctx.workers.refused, ctx.workers.withdrawn = 3, 7
    ctx.nodes.default.traffic.pending, ctx.nodes.default.traffic.withdrawn = 8, 9
    ctx.nodes.default.sound.gone_astray = 2
    ctx.nodes.default.host.uploads.failures = 4
    ctx.bus.dropped = 5
    ctx.nodes.default.events_handled = 6
    found = samples(ctx.metrics)

    def of(name: str, **labels: str) -> float:
        return found[name, tuple(labels.items())]

    assert (of("voiceblender_active_legs"), of("voiceblender_active_rooms")) == (3, 1)
    states = {"ringing": 0, "early_media": 0, "connected": 1, "held": 1, "ending": 1}
    assert {state: of("vsi_esl_legs", state=state) for state in states} == states
    states = {"armed": 0, "running": 1, "paused": 1, "closing": 0, "reported": 0}
    assert {state: of("vsi_esl_recordings", state=state) for state in states} == states
    assert (of("vsi_esl_switch_up"), of("vsi_esl_ready"), of("vsi_esl_vsi_clients")) == (0, 0, 0)
    assert (of("vsi_esl_work_refused_total"), of("vsi_esl_work_withdrawn_total")) == (3, 7)
    assert of("vsi_esl_switch_commands_pending") == 8
    assert of("vsi_esl_switch_commands_withdrawn_total") == 9
    assert of("vsi_esl_internal_channels_astray_total") == 2
    assert of("vsi_esl_upload_failures_total") == 4
    assert of("voiceblender_vsi_events_dropped_total") == 5
    assert of("vsi_esl_switch_events_total") == 6
    assert of("vsi_esl_build_info", switch_version="", version=__version__) == 1


def test_ready_is_what_readyz_says_also_when_others_have_the_switches(service):
    """Who monitors services that share their switches would be told of each that has none just now."""
    ready = ("vsi_esl_ready", ())
    assert samples(service.ctx.metrics)[ready] == 0, "there is no switch"
    service.ctx.cluster = SimpleNamespace(ready=True)
    assert samples(service.ctx.metrics)[ready] == 1
    service.ctx.draining = True
    assert samples(service.ctx.metrics)[ready] == 0


def test_webhooks_are_shown_when_there_are_some(service, metrics):
    metrics.watch(service.ctx)
    assert not any(name.startswith("voiceblender_webhook") for name, _ in samples(metrics))


def test_the_longest_queue(service, metrics):
    from vsi_esl.delivery.filters import AppFilter

    metrics.watch(service.ctx)
    assert value(metrics, "vsi_esl_vsi_queue_longest") == 0
    small, large = (service.ctx.bus.subscribe(size, AppFilter("")) for size in (1, 10))
    for _ in range(3):
        service.ctx.emit(RoomCreated(room_id="r"))
    assert (len(small), len(large)) == (1, 3)
    assert value(metrics, "vsi_esl_vsi_queue_longest") == 3
    assert value(metrics, "vsi_esl_events_published_total") == 3
    assert value(metrics, "voiceblender_vsi_events_dropped_total") == 2


def test_webhooks(service, metrics):
    counts: dict[str, Any] = {
        "enqueued": 10,
        "dropped": 1,
        "delivered": 6,
        "failed_attempts": 9,
        "dead": 2,
        "pending": 2,
        "oldest_age": 12.5,
        "bytes": 4096,
        "forgotten": 3,
    }
    metrics.watch(service.ctx, webhooks=SimpleNamespace(**counts))
    assert value(metrics, "voiceblender_webhook_enqueued_total") == 10
    assert value(metrics, "voiceblender_webhook_dropped_total") == 1
    assert value(metrics, "voiceblender_webhook_deliveries_total", outcome="success") == 6
    assert value(metrics, "voiceblender_webhook_deliveries_total", outcome="exhausted") == 2
    assert value(metrics, "vsi_esl_webhook_failed_attempts_total") == 9
    assert value(metrics, "vsi_esl_webhook_dead_letters_total") == 2
    assert value(metrics, "vsi_esl_webhook_pending") == 2
    assert value(metrics, "vsi_esl_webhook_oldest_seconds") == 12.5
    assert value(metrics, "vsi_esl_webhook_bytes") == 4096
    assert value(metrics, "vsi_esl_webhook_dead_letters_forgotten_total") == 3
    assert value(metrics, "vsi_esl_webhook_pending_limit") == service.ctx.config.webhooks.max_pending


def test_survived_errors_are_counted_by_what_failed(service, metrics, monkeypatch):
    monkeypatch.setattr(logs, "survived", Counter())
    metrics.watch(service.ctx)
    for name in ("vsi_esl.sound.playback.player", "vsi_esl.sound.playback.player", "somebody.else"):
        try:
            raise KeyError(name)
        except KeyError:
            structlog.get_logger(name).exception("audio not prepared", playback_id=name)
    structlog.get_logger("vsi_esl.sound.playback.player").error("no traceback")
    counted = "voiceblender_recovered_panics_total"
    assert value(metrics, counted, component="sound.playback.player", site="audio not prepared") == 2
    assert value(metrics, counted, component="library", site="") == 1
    assert sum(logs.survived.values()) == 3


def test_over_http(service, metrics):
    app = Flask("test")
    register(app, service.ctx, metrics, clients=lambda: 2)
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\nvsi_esl_vsi_clients 2.0\n" in answer.data


def test_two_services_share_nothing():
    first, second = Metrics(), Metrics()
    first.command("list_legs", "ok", 0.1)
    assert value(second, "vsi_esl_commands_total", command="list_legs", outcome="ok") is None


def test_forgets_the_legs_that_ended(metrics):
    for number in range(100):
        call(metrics, LegRinging(leg_id=str(number), leg_type="sip_inbound"), ended(str(number), "busy"))
    assert metrics._types == {}
