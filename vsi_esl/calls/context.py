"""What a command or an event handler may reach: built once by `app.py`, passed to every handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..config import Config
from ..delivery.bus import EventBus
from ..delivery.history import History
from ..delivery.webhooks.webhooks import Webhooks
from ..events.base import Event
from ..model.leg import HUNG_UP, Leg
from ..model.stores import Legs, Rooms
from ..ops.metrics import Metrics
from ..storage.state import StateStore
from ..switch.actions.calls import Switch
from ..switch.actions.sound import SwitchSound
from ..work.timers import Timers
from ..work.workers import Workers
from .cluster import ClusterView
from .elsewhere import Elsewhere
from .host import Host
from .moments import Moments
from .nodes import Node, Nodes, OnNode
from .tethers import Tethers

T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """The parts of one running service. Those of features are had by their type."""

    config: Config
    legs: Legs
    rooms: Rooms
    bus: EventBus
    history: History
    nodes: Nodes
    workers: Workers
    timers: Timers
    state: StateStore
    metrics: Metrics
    webhooks: Webhooks
    moments: Moments = field(default_factory=Moments)
    tethers: Tethers = field(default_factory=Tethers)
    elsewhere: Elsewhere | None = None
    """The other services of the deployment; None for the only one."""
    cluster: ClusterView | None = None
    """Of a service that shares its switches with others."""
    draining: bool = False
    """Shutting down: no new calls are taken or made."""
    _of_features: dict[type, Any] = field(default_factory=dict)

    @property
    def able(self) -> bool:
        """Whether something can be done with calls: here, or by another service of the deployment."""
        return self.nodes.ready if self.cluster is None else self.cluster.ready

    @property
    def ready(self) -> bool:
        """Whether commands are taken, as /readyz says."""
        return self.able and not self.draining and not self.state.error

    def node(self, one: OnNode) -> Node:
        """The switch that a leg, a room, or what belongs to one is on."""
        return self.nodes.of(one)

    def switch(self, one: OnNode) -> Switch:
        """What can be done with calls on that switch."""
        return self.nodes.of(one).switch

    def sound(self, one: OnNode) -> SwitchSound:
        """What can be done with sound on that switch."""
        return self.nodes.of(one).sound

    def host(self, one: OnNode) -> Host:
        """What can be done with files where that switch is."""
        return self.nodes.of(one).host

    def emit(self, event: Event) -> None:
        """Publish a VSI event."""
        self.bus.publish(event)

    def tell(self, leg: Leg, event: Event) -> None:
        """Publish an event of a leg by whoever has waited for the switch: unless the leg has ended meanwhile,
        since nothing follows its last event."""
        if leg.state != HUNG_UP:
            self.emit(event)

    def provide(self, part: object) -> None:
        """Add a part of a feature. ValueError when there is one of its type."""
        if type(part) in self._of_features:
            raise ValueError(f"{type(part).__name__} is there already")
        self._of_features[type(part)] = part

    def get(self, kind: type[T]) -> T:
        """The part of this type, which a feature has provided."""
        part: T = self._of_features[kind]
        return part
