"""Where a leg is: its channel, on one of the switches."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_NODE = "default"
"""The name of the switch of a service that has one."""


@dataclass(slots=True)
class Tether:
    """How a leg is in a room of another switch: its channel is connected, on its own switch, with a call to
    the room's switch, whose other end is the leg's member there. Both ends of that call have one id."""

    id: str
    node: str
    """The name of the room's switch."""
    conference: str
    member_id: str = ""
    """Its number in that conference; empty while that is not known, after a restart of the service."""
    leaving: bool = False
    """The leg is being moved elsewhere, and the call's end is its way."""


@dataclass(slots=True)
class Channel:
    """What a switch has of a leg. It stays on the switch where it came or was dialled."""

    node: str = DEFAULT_NODE
    """The name of that switch."""
    conference: str = ""
    """The conference the switch has it in: the room's, or `leg-<id>` when it is alone. Empty when parked."""
    member_id: str = ""
    """Its number in that conference."""
    parked: bool = False
    """It waits in `park`, where it can be told what to do."""
    codec: str = ""
    """The negotiated codec by the switch's name; empty before there is one."""
    rate: int = 8000
    """Its sample rate in Hz."""
