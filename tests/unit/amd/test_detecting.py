"""Detections: one verdict of each, whatever ends it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.fakes import FakeService, channel, settle, without_pauses
from tests.support.livesessions import FakeSession, FakeSessions
from vsi_esl.amd import detecting, feature
from vsi_esl.amd.commands import leg_amd_start
from vsi_esl.amd.detecting import KIND, Detections
from vsi_esl.errors import Conflict, Invalid, NotFound, NotSupported, StorageFailed
from vsi_esl.live.plan import Hears
from vsi_esl.model.amd import AmdParameters
from vsi_esl.model.leg import CONNECTED, EARLY_MEDIA, RINGING
from vsi_esl.work import clock

HUMAN = {"result": "human", "initial_silence_ms": 220, "greeting_duration_ms": 440, "total_analysis_ms": 1460}
MACHINE = HUMAN | {"result": "machine", "greeting_duration_ms": 1500}
UNKNOWN = {"result": "not_sure", "initial_silence_ms": 0, "greeting_duration_ms": 0, "total_analysis_ms": 0}


class Service(FakeService):
    """With the feature, and its sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = FakeSessions(self.ctx)
        feature.register(self.ctx)

    def start(self, leg: str = "a", **thresholds: int) -> FakeSession:
        assert leg_amd_start(self.ctx, leg, **thresholds) == {"status": "started"}
        return self.sessions.begun[-1]

    def results(self) -> list[dict[str, Any]]:
        return [{name: event[name] for name in HUMAN} for event in self.told("amd.result")]

    def restarted(self) -> None:
        """As the next process finds it: what is remembered is all there is."""
        detections = self.ctx.get(Detections)
        detections.running.clear()
        self.sessions.begun.clear()
        detecting.restore(self.ctx)
        self.reconnects()

    @property
    def remembered(self) -> list[dict[str, Any]]:
        return self.ctx.state.items(KIND)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    without_pauses(monkeypatch)
    one = Service()
    yield one
    one.close()


def test_a_detection_is_a_session_that_hears_the_leg(service):
    service.leg()
    plan = service.start(greeting_duration=900).plan
    assert (plan.kind, plan.task, plan.hears, plan.leg_id, plan.owner) == (
        "amd",
        "amd",
        Hears.LEG,
        "a",
        ("leg", "a"),
    )
    assert plan.parameters["greeting_duration"] == 900
    assert plan.parameters["total_analysis_time"] == 5000
    assert "machine_since_ms" not in plan.parameters


def test_the_verdict_is_told_once(service):
    service.leg(app_id="shop")
    session = service.start()
    session.report("attached")
    session.report("result", **HUMAN)
    session.report("result", **MACHINE)
    session.end()
    (event,) = service.told("amd.result")
    assert event.items() >= {"leg_id": "a", "app_id": "shop", **HUMAN}.items()
    assert service.remembered == []


def test_verdicts_and_beeps_are_counted(service):
    def counted(name, **labels):
        return service.ctx.metrics.registry.get_sample_value(f"vsi_esl_amd_{name}_total", labels)

    assert (counted("results", result="no_speech"), counted("beeps")) == (0, 0)
    service.leg()
    service.start().report("result", **HUMAN)
    session = service.start(beep_timeout=4000)
    session.report("result", **MACHINE)
    session.report("beep", beep_ms=900)
    service.start().end("worker")
    assert [counted("results", result=one) for one in ("human", "machine", "no_speech", "not_sure")] == [
        1,
        1,
        0,
        1,
    ]
    assert counted("beeps") == 1


def test_a_beep_follows_its_verdict(service):
    service.leg(app_id="shop")
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    session.report("beep", beep_ms=880)
    session.end()
    assert service.types == ["amd.result", "amd.beep"]
    assert service.told("amd.beep", app_id="shop")[0]["beep_ms"] == 880
    assert service.remembered == []


def test_no_beep_is_no_event(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    session.end()
    assert service.types == ["amd.result"]
    assert service.remembered == []


@pytest.mark.parametrize("reason", ["closed", "no_audio", "error", "worker", "switch", "refused", "done"])
def test_a_session_that_ends_without_a_verdict_is_not_sure(service, reason):
    service.leg()
    service.start().end(reason)
    assert service.results() == [UNKNOWN]
    assert service.remembered == []


def test_what_ends_a_search_for_a_beep_is_not_told(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    session.end("switch", "its channel is gone")
    assert (service.results(), len(service.sessions.begun)) == ([MACHINE], 1)
    assert service.remembered == []


# -- starting -----------------------------------------------------------------------------------------------


def test_the_leg_then_its_state_then_the_thresholds_are_checked(service):
    with pytest.raises(NotFound, match=r"^leg not found$"):
        leg_amd_start(service.ctx, "nobody", greeting_duration=-1)
    service.leg("ringing", state=RINGING)
    service.leg("held", held_by_peer=True)
    for state in ("ringing", "held"):
        with pytest.raises(Conflict, match=f"^leg must be connected, current state: {state}$"):
            leg_amd_start(service.ctx, state, greeting_duration=-1)
    service.leg()
    with pytest.raises(Invalid, match=r"^invalid AMD params: greeting_duration must be positive$"):
        leg_amd_start(service.ctx, "a", greeting_duration=-1)
    assert service.sessions.begun == []


def test_a_second_one_takes_the_place_of_the_first(service):
    service.leg()
    first, second = service.start(), service.start(greeting_duration=900)
    assert (first.closed, second.closed) == (True, False)
    first.report("result", **MACHINE)
    first.end("closed")
    assert service.events == []
    second.report("result", **HUMAN)
    second.end()
    assert service.results() == [HUMAN]
    assert service.remembered == []


def test_behind_a_verdict_there_may_be_another_one(service):
    service.leg()
    service.start(beep_timeout=5000).report("result", **MACHINE)
    service.start().report("result", **HUMAN)
    assert service.results() == [MACHINE, HUMAN]
    assert service.sessions.begun[0].closed


def test_one_that_cannot_be_begun_leaves_the_one_before_alone(service, monkeypatch):
    service.leg()
    session = service.start()
    service.sessions.refusal = NotSupported("no fork")
    with pytest.raises(NotSupported):
        leg_amd_start(service.ctx, "a")
    monkeypatch.setattr(service.ctx.state, "save_item", refuses)
    with pytest.raises(StorageFailed):
        leg_amd_start(service.ctx, "a")
    assert not session.closed
    assert len(service.remembered) == 1
    session.report("result", **HUMAN)
    assert service.results() == [HUMAN]


def refuses(*_: Any, **__: Any) -> None:
    raise StorageFailed("the disk is full")


def test_a_leg_that_ends_while_it_is_saved_has_none(service, monkeypatch):
    leg = service.leg()
    save = service.ctx.state.save_item

    def ends(*args: Any, **more: Any) -> None:
        save(*args, **more)
        service.ctx.legs.remove(leg)

    monkeypatch.setattr(service.ctx.state, "save_item", ends)
    with pytest.raises(NotFound):
        leg_amd_start(service.ctx, "a")
    assert (service.sessions.begun, service.remembered) == ([], [])


# -- from the answer on -------------------------------------------------------------------------------------


def answers(service: Service, **headers: str) -> None:
    service.happens("CHANNEL_ANSWER", "a", headers)


def test_one_of_create_leg_begins_with_the_answer(service):
    leg = service.leg(state=RINGING, amd=AmdParameters(greeting_duration=900))
    leg.state = EARLY_MEDIA
    service.ctx.moments.media_up(service.ctx, leg)
    assert service.sessions.begun == []
    answers(service)
    assert leg.state == CONNECTED
    (session,) = service.sessions.begun
    assert session.plan.parameters["greeting_duration"] == 900
    session.report("result", **HUMAN)
    assert service.types == ["leg.connected", "amd.result"]


def test_without_it_none_begins(service):
    service.leg(state=RINGING)
    answers(service)
    assert service.sessions.begun == []


def test_one_that_cannot_be_begun_is_not_sure(service):
    service.leg(state=RINGING, amd=AmdParameters())
    service.sessions.refusal = NotSupported("no fork")
    answers(service)
    assert service.types == ["leg.connected", "amd.result"]
    assert (service.results(), service.remembered) == ([UNKNOWN], [])


def test_an_answer_seen_late_is_not_judged_by_the_rest_of_its_greeting(service):
    service.leg(state=RINGING, amd=AmdParameters())
    service.switch.clock.learn({"Event-Date-Timestamp": micro(clock.now())})
    answers(service, **{"Caller-Channel-Answered-Time": micro(clock.now() - 2)})
    assert (service.results(), service.sessions.begun) == ([UNKNOWN], [])


def micro(at: float) -> str:
    return str(int(at * 1_000_000))


# -- ends of legs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [True, False])
def test_the_end_of_a_leg_is_behind_its_verdict(service, said):
    service.leg()
    session = service.start()
    assert session.plan.last_words_s > 0
    service.hangs_up("a")
    assert service.events == []
    heard = HUMAN | {"result": "not_sure"}
    if said:
        session.report("result", **heard)
    session.end("owner")
    settle()
    assert service.types == ["amd.result", "leg.disconnected"]
    assert service.results() == [heard if said else UNKNOWN]
    assert service.remembered == []


def test_the_end_of_a_leg_ends_its_search_for_a_beep(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    service.hangs_up("a")
    session.end("owner")
    settle()
    assert service.types == ["amd.result", "leg.disconnected"]
    assert (service.remembered, len(service.sessions.begun)) == ([], 1)


# -- ends of workers and of the service ---------------------------------------------------------------------


def test_a_beep_is_still_waited_for_when_the_worker_is_lost(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    passes(service, 2.0)
    session.end("worker")
    again = service.sessions.begun[1]
    assert again is not session
    assert again.plan.parameters["machine_since_ms"] == pytest.approx(2900, abs=900)
    again.report("beep", beep_ms=2400)
    again.end()
    assert service.types == ["amd.result", "amd.beep"]
    assert service.remembered == []


def passes(service: Service, seconds: float) -> None:
    """Time, since the verdict."""
    for detection in service.ctx.get(Detections).running.values():
        detection.machine_at -= seconds
        service.ctx.state.save_item(KIND, detection.id, detection.remembered)


def test_a_beep_whose_time_is_up_is_waited_for_no_more(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    passes(service, 5.0)
    session.end("worker")
    assert (service.remembered, len(service.sessions.begun)) == ([], 1)


def test_a_beep_nobody_can_wait_for_is_given_up(service):
    service.leg()
    session = service.start(beep_timeout=5000)
    session.report("result", **MACHINE)
    service.sessions.refusal = NotSupported("no fork")
    session.end("worker")
    assert service.remembered == []


def test_after_a_restart_a_verdict_that_was_due_is_not_sure_once(service):
    service.leg(app_id="shop")
    service.start()
    service.restarted()
    assert service.results() == [UNKNOWN]
    assert service.told("amd.result", app_id="shop", leg_id="a")
    service.reconnects()
    service.restarted()
    assert (service.results(), service.sessions.begun, service.remembered) == ([UNKNOWN], [], [])


def test_after_a_restart_it_is_told_before_the_end_of_a_leg_that_is_gone(service):
    service.leg()
    service.start()
    del service.switch.channels["a"]
    service.restarted()
    assert service.types == ["amd.result", "leg.disconnected"]


def test_after_a_restart_a_beep_is_still_waited_for(service):
    service.leg()
    service.start(beep_timeout=5000).report("result", **MACHINE)
    passes(service, 2.0)
    service.restarted()
    (session,) = service.sessions.begun
    assert session.plan.parameters["machine_since_ms"] == pytest.approx(2900, abs=900)
    session.report("beep", beep_ms=2400)
    assert service.types == ["amd.result", "amd.beep"]


def test_a_restart_while_it_rings_forgets_nothing(service):
    wanted = AmdParameters(beep_timeout=7000)
    service.switch.channels["a"] = channel("a", answer="ringing", vsi_amd=wanted.text)
    leg = service.leg(there=False, state=RINGING)
    service.ctx.legs.remove(leg)
    service.reconnects()
    answers(service)
    (session,) = service.sessions.begun
    assert session.plan.parameters["beep_timeout"] == 7000


def test_what_is_on_another_switch_waits_for_it(service):
    service.leg()
    service.start()
    service.ctx.get(Detections).running.clear()
    detecting.restore(service.ctx)
    detecting.readopt(service.ctx, service.other)
    assert service.events == []
    detecting.readopt(service.ctx, service.switch)
    assert service.results() == [UNKNOWN]


def test_a_service_that_stops_leaves_it_to_the_next_one(service):
    service.leg()
    session = service.start()
    service.ctx.draining = True
    session.end("closed")
    assert service.events == []
    service.ctx.draining = False
    service.restarted()
    assert service.results() == [UNKNOWN]


def test_a_failure_is_in_the_log_once(service, log):
    service.leg()
    service.start().end("error", "broken")
    service.start().end("owner")
    (line,) = log.named("answering machine detection failed")
    assert SimpleNamespace(**line).reason == "error"
