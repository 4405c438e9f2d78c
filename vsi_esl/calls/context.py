"""What a command or an event handler may reach: built once by `app.py`, passed to every handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gevent.pool import Pool

from ..audio.spool import Spool
from ..config import Config
from ..delivery.bus import EventBus
from ..delivery.history import History
from ..delivery.webhooks.webhooks import Webhooks
from ..events.types import Event
from ..model.sound_stores import Bridges, Playbacks, Recordings
from ..model.stores import Legs, Rooms
from ..ops.metrics import Metrics
from ..storage.state import StateStore
from ..storage.uploads import Uploads
from ..switch.actions.calls import Switch
from ..switch.actions.sound import SwitchSound
from ..switch.node import SwitchNode
from ..work.timers import Timers
from ..work.waits import Waits
from ..work.workers import Workers

if TYPE_CHECKING:
    from ..sound.recording.publisher import Publisher


@dataclass(slots=True)
class Context:
    """The parts of one running service."""

    config: Config
    legs: Legs
    rooms: Rooms
    bus: EventBus
    history: History
    node: SwitchNode
    switch: Switch
    workers: Workers
    timers: Timers
    waits: Waits
    state: StateStore
    playbacks: Playbacks
    recordings: Recordings
    bridges: Bridges
    sound: SwitchSound
    spool: Spool
    fetches: Pool
    """The downloads under way."""
    uploads: Uploads
    publisher: Publisher
    metrics: Metrics
    webhooks: Webhooks
    draining: bool = False
    """Shutting down: no new calls are taken or made."""

    def emit(self, event: Event) -> None:
        """Publish a VSI event."""
        self.bus.publish(event)
