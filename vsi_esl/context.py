"""What a command or an event handler may reach: built once by `app.py`, passed to every handler."""

from __future__ import annotations

from dataclasses import dataclass

from .config import Config
from .delivery.bus import EventBus
from .events.types import Event
from .model.store import Legs, Rooms
from .storage.state import StateStore
from .switch.actions import Switch
from .switch.node import SwitchNode
from .timers import Timers
from .waits import Waits
from .workers import Workers


@dataclass(slots=True)
class Context:
    """The parts of one running service."""

    config: Config
    legs: Legs
    rooms: Rooms
    bus: EventBus
    node: SwitchNode
    switch: Switch
    workers: Workers
    timers: Timers
    waits: Waits
    state: StateStore
    draining: bool = False
    """Shutting down: no new calls are taken or made."""

    def emit(self, event: Event) -> None:
        """Publish a VSI event."""
        self.bus.publish(event)
