"""Text to speech as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...calls.nodes import Node
from ...ops.series import gauge
from ...sound.playback.heard import Heard, Kind
from ...switch.snapshot import Snapshot
from . import commands, doctor, events, speaker
from .utterances import Utterances

__all__ = ["commands", "doctor", "events", "register"]


def register(ctx: Context) -> None:
    """Make text to speech a part of the service."""
    utterances = Utterances()
    ctx.provide(utterances)
    ctx.get(Heard).add(Kind(utterances.find, speaker.stop, speaker.set_volume))
    ctx.metrics.show(lambda: _series(utterances))
    ctx.moments.adopt.subscribe(_adopt)
    ctx.moments.released.subscribe(speaker.released)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    speaker.readopt(ctx, node)
    return ()


def _series(utterances: Utterances) -> Iterator[Metric]:
    yield gauge("vsi_esl_utterances", "Texts that are being said, or synthesised for it.", len(utterances))
