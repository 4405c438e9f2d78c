"""What `vsi-esl bench call` reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..figures import Rates, percentile
from . import soak
from .calls import Call, Outcome, Plan

SHARES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over. `rates` are the service's own figures, or None and `no_rates` says why; `cpu` is
    the share of a core that this command took."""

    plan: Plan
    outcome: Outcome
    rates: Rates | None
    no_rates: str
    cpu: float
    interrupted: bool
    over_time: dict[str, soak.Change]

    @property
    def good(self) -> bool:
        """Everything was set up, stayed up, and is gone."""
        out = self.outcome
        return bool(out.calls) and not (out.failures() or out.left or out.problem or self.interrupted)


def _times(calls: list[Call]) -> dict[str, list[float]]:
    """Seconds from the command to its reply, to leg.ringing, and to leg.connected."""
    return {
        name: [getattr(call, moment) - call.asked for call in calls if getattr(call, moment)]
        for name, moment in (("reply", "replied"), ("ringing", "ringing"), ("connected", "connected"))
    }


def as_json(run: Run) -> dict[str, Any]:
    """All figures. Times in ms, rates per second."""
    out, plan = run.outcome, run.plan
    failed = out.failures()
    return {
        "to": plan.to,
        "app_id": plan.app_id,
        "asked": {
            "rate": plan.rate,
            "concurrency": plan.concurrency,
            "calls": plan.calls,
            "duration": plan.seconds,
            "hold": plan.hold,
        },
        "calls": len(out.calls),
        "set_up": out.set_up,
        "failed": sum(failed.values()),
        "failures": failed,
        "seconds": round(out.seconds, 3),
        "set_up_per_second": round(out.set_up / out.seconds, 3) if out.seconds else 0.0,
        "most_at_once": out.most,
        "waited_for_a_free_place": round(out.waited, 3),
        "milliseconds": {name: _percentiles(values) for name, values in _times(out.calls).items()},
        "events_dropped": out.lost,
        "service": None
        if run.rates is None
        else {
            "events_dropped": round(run.rates.dropped * run.rates.seconds),
            "cpu": round(run.rates.cpu, 4),
            "loop_lag_p99": run.rates.lag_p99,
            "events_per_second": round(run.rates.events, 1),
        },
        "no_service_figures_because": run.no_rates,
        "over_time": soak.as_json(run.over_time),
        "own_cpu": round(run.cpu, 4),
        "left_behind": out.left,
        "interrupted": run.interrupted,
        "problem": out.problem,
    }


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    found = {f"p{share}": percentile(values, share / 100) or 0.0 for share in SHARES} | {"max": max(values)}
    return {name: round(1000 * value, 2) for name, value in found.items()}


def lines(run: Run) -> Iterator[str]:
    """The same for people."""
    out, plan = run.outcome, run.plan
    made = len(out.calls)
    rate = out.set_up / out.seconds if out.seconds else 0.0
    yield f"calls      {made} to {plan.to} in {out.seconds:.1f} s, {out.most} at once at most"
    yield f"set up     {out.set_up}: {rate:.2f} per second of {plan.rate:g} asked for"
    if out.waited > 0.1:
        yield f"           {out.waited:.1f} s were spent waiting for --concurrency {plan.concurrency}"
    yield f"{'from create_leg to':20}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}"
    for name, values in _times(out.calls).items():
        told = _percentiles(values)
        cells = [f"{value:.1f} ms" for value in told.values()] if told else ["-"] * 4
        yield f"  {name:18}" + "".join(f"{cell:>10}" for cell in cells)
    failed = out.failures()
    yield f"failed     {sum(failed.values())}"
    for reason, count in failed.items():
        yield f"  {count:7}  {reason}"
    if run.rates is None:
        yield f"service    events lost on the way here: {out.lost}; more is not known: {run.no_rates}"
    else:
        lag = "-" if run.rates.lag_p99 is None else f"{1000 * run.rates.lag_p99:.3g} ms"
        lost = round(run.rates.dropped * run.rates.seconds)
        yield f"service    CPU {run.rates.cpu:.0%} of a core, loop lag p99 {lag}, events lost {lost}"
    yield from soak.lines(run.over_time)
    yield f"this end   CPU {run.cpu:.0%} of a core, events lost {out.lost}"
    yield f"left       {out.left} legs" + ("" if not out.left else f" with app_id {plan.app_id}")
    if out.problem:
        yield f"problem    {out.problem}"
    if run.interrupted:
        yield "interrupted before it was over"
