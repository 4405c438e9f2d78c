"""Detections: begun by a command or by the answer of a call, each with one verdict.

A media worker listens (`media.tasks.amd`). What becomes of a detection is told once, whatever happens: when
nothing was found out, because the call, the worker or the service ended, that is not_sure. A verdict on the
rest of a greeting would be a guess, so none is begun anew; only a beep is still waited for.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import gevent
import structlog

from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import VsiError
from ..live.plan import End, Hears, Plan
from ..live.session import Session
from ..live.sessions import Sessions
from ..model.amd import AmdParameters
from ..model.leg import Leg
from ..model.owner import of_leg
from ..ops.metrics import Metrics
from ..work import clock
from .events import RESULTS, AmdBeep, AmdResult

log = structlog.get_logger(__name__)

KIND = "amd"
LATE_S = 1.0
"""How long after the answer a detection may begin that is to begin with it."""
LAST_WORDS_S = 0.5
"""How long the worker may take to say what was heard of a leg that has ended."""
EXPECTED = ("done", "closed", "owner")
"""Ends of a session that are no failure."""


@dataclass(slots=True)
class Detection:
    """One that is not over."""

    leg_id: str
    app_id: str
    node: str
    parameters: AmdParameters
    machine_at: float = 0.0
    """When the verdict machine was told, behind which a beep is waited for; 0 before the verdict."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    session: Session | None = None

    @classmethod
    def of(cls, leg: Leg, parameters: AmdParameters) -> Detection:
        return cls(leg.id, leg.app_id, leg.node, parameters)

    @classmethod
    def recalled(cls, body: dict[str, Any]) -> Detection:
        """The one that was remembered so."""
        return cls(**{**body, "parameters": AmdParameters(**body["parameters"])})

    @property
    def remembered(self) -> dict[str, Any]:
        """What a restarted service needs of it."""
        return {
            "leg_id": self.leg_id,
            "app_id": self.app_id,
            "node": self.node,
            "parameters": asdict(self.parameters),
            "machine_at": self.machine_at,
            "id": self.id,
        }

    @property
    def machine_for_ms(self) -> int:
        """How long the verdict machine is known."""
        return round((clock.now() - self.machine_at) * 1000)


class Detections:
    """The detections of a service, by leg; and those of the process before that are still to be told of."""

    def __init__(self, metrics: Metrics) -> None:
        self.running: dict[str, Detection] = {}
        self.left: list[Detection] = []
        self.verdicts = metrics.counter(
            "vsi_esl_amd_results", "Verdicts of answering machine detection.", "result"
        )
        for result in RESULTS:
            self.verdicts.labels(result)
        self.beeps = metrics.counter("vsi_esl_amd_beeps", "Beeps of answering machines that were waited for.")

    def has(self, detection: Detection) -> bool:
        """Whether it counts: it is not over, and no other has taken its place."""
        return self.running.get(detection.leg_id) is detection


def start(ctx: Context, leg: Leg, parameters: AmdParameters) -> None:
    """Begin one; one that is under way is over then, and says nothing more. Raises NotFound, NotSupported,
    SwitchUnavailable or StorageFailed; then nothing has changed."""
    detection = Detection.of(leg, parameters)
    ctx.state.save_item(KIND, detection.id, detection.remembered, needed=True)
    try:
        ctx.legs.get(leg.id)  # it may have ended meanwhile
        _listen(ctx, detection)
    except VsiError:
        ctx.state.forget_item(KIND, detection.id)
        raise
    _begun(ctx, detection)


def answered(ctx: Context, leg: Leg) -> None:
    """A call has been answered, for which a detection may have been wanted."""
    if leg.amd is None:
        return
    detection = Detection.of(leg, leg.amd)
    _begun(ctx, detection)
    ctx.state.save_item(KIND, detection.id, detection.remembered)
    if clock.now() - leg.answered_at > LATE_S:
        log.warning("the answer was not seen in time for answering machine detection", leg_id=leg.id)
        _lost(ctx, detection)
        return
    try:
        _listen(ctx, detection)
    except VsiError as error:
        log.warning("no answering machine detection", leg_id=leg.id, error=error.message)
        _lost(ctx, detection)


def restore(ctx: Context) -> None:
    """At start: those of the process before."""
    ctx.get(Detections).left += [Detection.recalled(body) for body in ctx.state.items(KIND)]


def readopt(ctx: Context, node: Node) -> None:
    """After a connect to a switch: tell what became of those that the process before has left there."""
    detections = ctx.get(Detections)
    here = [one for one in detections.left if ctx.node(one) is node]
    detections.left = [one for one in detections.left if one not in here]
    for detection in here:
        _begun(ctx, detection)
        if detection.machine_at:
            gevent.spawn(_resume, ctx, node, detection)
        else:
            _lost(ctx, detection)


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which tells what becomes of those there."""
    detections = ctx.get(Detections)
    detections.left = [one for one in detections.left if ctx.node(one) is not node]
    for leg_id, one in list(detections.running.items()):
        if ctx.node(one) is node:
            del detections.running[leg_id]


def _begun(ctx: Context, detection: Detection) -> None:
    running = ctx.get(Detections).running
    before = running.get(detection.leg_id)
    if before is not None:
        _over(ctx, before)
        _dismiss(before)
    running[detection.leg_id] = detection


def _over(ctx: Context, detection: Detection) -> None:
    """Nothing more comes of it."""
    del ctx.get(Detections).running[detection.leg_id]
    ctx.state.forget_item(KIND, detection.id)


def _dismiss(detection: Detection) -> None:
    if detection.session is not None:
        detection.session.close()


def _listen(ctx: Context, detection: Detection) -> None:
    parameters: dict[str, Any] = asdict(detection.parameters)
    if detection.machine_at:
        parameters["machine_since_ms"] = detection.machine_for_ms
    detection.session = ctx.get(Sessions).begin(
        ctx,
        Plan(
            kind="amd",
            task="amd",
            parameters=parameters,
            hears=Hears.LEG,
            leg_id=detection.leg_id,
            owner=of_leg(detection.leg_id),
            last_words_s=LAST_WORDS_S,
            on_report=partial(_reported, ctx, detection),
            on_closed=partial(_closed, ctx, detection),
        ),
    )


def _reported(ctx: Context, detection: Detection, what: str, data: dict[str, Any]) -> None:
    if not ctx.get(Detections).has(detection):
        return
    if what == "result":
        _found(ctx, detection, _result(detection, **data))
    elif what == "beep":
        ctx.get(Detections).beeps.inc()
        ctx.emit(AmdBeep(leg_id=detection.leg_id, app_id=detection.app_id or None, **data))
        _over(ctx, detection)


def _found(ctx: Context, detection: Detection, result: AmdResult) -> None:
    _tell(ctx, result)
    if result.result == "machine" and detection.parameters.beep_timeout:
        detection.machine_at = clock.now()
        ctx.state.save_item(KIND, detection.id, detection.remembered)
    else:
        _over(ctx, detection)


def _tell(ctx: Context, result: AmdResult) -> None:
    ctx.get(Detections).verdicts.labels(result.result).inc()
    ctx.emit(result)


def _closed(ctx: Context, detection: Detection, end: End) -> None:
    detection.session = None
    if end.reason not in EXPECTED:
        log.warning(
            "answering machine detection failed",
            leg_id=detection.leg_id,
            reason=end.reason,
            error=end.error,
        )
    # of one that this process cannot finish any more, the next one tells
    if ctx.get(Detections).has(detection) and not ctx.draining:
        if detection.machine_at and end.reason != "worker":
            _over(ctx, detection)
        else:
            _lost(ctx, detection)


def _lost(ctx: Context, detection: Detection) -> None:
    """Nobody listens any more."""
    if not detection.machine_at:
        _tell(ctx, _result(detection))
        _over(ctx, detection)
        return
    leg = ctx.legs.find(detection.leg_id)
    if leg is None or leg.ending or detection.machine_for_ms >= detection.parameters.beep_timeout:
        _over(ctx, detection)
        return
    try:
        _listen(ctx, detection)
    except VsiError as error:
        log.warning("the beep is not waited for", leg_id=leg.id, error=error.message)
        _over(ctx, detection)


def _resume(ctx: Context, node: Node, detection: Detection) -> None:
    """Listen again, when there is a switch to be told."""
    node.wait_ready(detection.parameters.beep_timeout / 1000)
    if ctx.get(Detections).has(detection):
        _lost(ctx, detection)


def _result(detection: Detection, **data: Any) -> AmdResult:
    """By default that nothing is known."""
    unknown = {"initial_silence_ms": 0, "greeting_duration_ms": 0, "total_analysis_ms": 0}
    members = {"result": "not_sure", **unknown, **data}
    return AmdResult(leg_id=detection.leg_id, app_id=detection.app_id or None, **members)
