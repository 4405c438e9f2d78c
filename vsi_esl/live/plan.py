"""What a session wants of a leg or room: whom it hears, and who hears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..model.owner import Owner


class Hears(Enum):
    """Whom a session hears."""

    NOBODY = "nobody"
    LEG = "leg"
    """What the leg itself says, also while it is muted, wherever it is."""
    ROOM = "room"
    """Everybody in the room, but not the session itself."""
    PEER = "peer"
    """What the leg's peer hears: the session has the place of it."""


class Speaks(Enum):
    """Who hears a session."""

    TO_NOBODY = "nobody"
    TO_LEG = "leg"
    """That leg only, wherever it is."""
    TO_ROOM = "room"
    """Everybody in the room, whatever its routing, across bridges, and in its recording."""
    AS_STRANGER = "stranger"
    """Everybody in the room but legs with a row in its routing. With what it hears, which is the room."""
    AS_PEER = "as peer"
    """It is the leg's peer: of such a leg the session makes the channel."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """A session that is wanted. The callbacks are called in the event loop and must not wait; `on_closed` is
    called once and last, whatever happens, also when the session never began."""

    kind: str
    """stt, tts, agent, amd, websocket, room_websocket or test: for metrics."""
    provider: str = ""
    """For metrics."""
    task: str
    parameters: dict[str, Any] = field(default_factory=dict)
    hears: Hears = Hears.NOBODY
    speaks: Speaks = Speaks.TO_NOBODY
    leg_id: str = ""
    """The leg that is heard or spoken to."""
    room_id: str = ""
    """The room that is heard or spoken into."""
    owner: Owner
    """Whose end is the session's: the leg, or the room that is emptied or deleted."""
    heard_at: int = 16000
    """Samples a second of what the task hears."""
    rate: int = 0
    """Samples a second of the channel that is made for a leg whose peer it is."""
    last_words_s: float = 0.0
    """How long the task may take for what is on its way when the owner has ended."""
    on_report: Callable[[str, dict[str, Any]], None]
    """`what` and `data` of what the task reports, and "attached" when the audio has come."""
    on_closed: Callable[[End], None]


@dataclass(slots=True, frozen=True, kw_only=True)
class End:
    """Why a session is over. `reason`: done, closed, no_audio, provider, error (as
    `media.messages.Closed`), and ours: owner (the leg or room is gone), worker (the worker died), switch
    (its channels are gone), refused (it could not be begun)."""

    reason: str
    error: str = ""
    category: str = ""
    figures: dict[str, float] = field(default_factory=dict)
