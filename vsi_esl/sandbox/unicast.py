"""`unicast`: the audio of a parked channel as raw UDP, both ways (switch_ivr.c, mod_loopback.c).

Each frame read from the channel is a datagram of 16-bit samples in host order at the channel's rate; each
datagram that comes back is written to it. The loopback queue holds three of them.
"""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import structlog

from .samples import FRAMES_PER_SECOND, Samples, frame_size

if TYPE_CHECKING:
    from .channels import Channel
    from .server import SandboxSwitch

log = structlog.get_logger(__name__)

LOOPBACK_QUEUE = 3
"""Frames that a loopback channel holds; one more, and all of them are thrown away for it."""
SIP_QUEUE = 500
LOUD = 300
"""Amplitude from which a conference takes it for talk."""
PAUSE = FRAMES_PER_SECOND // 2
NO_FRAME = b"\xff\xff"
"""What is sent for a sample when the channel has no frame: the switch fills them with ones."""


class Unicast:
    """The connection of one channel. OSError when the socket cannot be had."""

    def __init__(
        self, switch: SandboxSwitch, channel: Channel, local: tuple[str, int], remote: tuple[str, int]
    ) -> None:
        self._switch = switch
        self._channel = channel
        self._remote = remote
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._waiting: deque[bytes] = deque()
        self._quiet = PAUSE
        self.frame: Samples | None = None
        """What it writes to the channel now."""
        try:
            self._socket.setblocking(False)
            self._socket.bind(local)
        except OSError:
            self._socket.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._socket.fileno() < 0

    def start(self) -> None:
        """Send and receive, from the next frame on."""
        self._switch.live.add(self)

    def close(self) -> None:
        """The end; it cannot be started again."""
        self._switch.live.remove(self)
        self._socket.close()
        self.frame = None
        self._tell_talk(False)

    def prepare(self, behind: int) -> None:
        """Take what has come, and the next frame of it."""
        with suppress(OSError):
            while data := self._socket.recv(8192):
                self._put(data, behind)
        self.frame = self._fit(self._waiting.popleft()) if self._waiting else None
        loud = self.frame is not None and int(np.abs(self.frame.astype(np.int32)).max(initial=0)) > LOUD
        if loud and self._quiet >= PAUSE:
            self._tell_talk(True)
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet == PAUSE:
            self._tell_talk(False)

    def tick(self) -> None:
        """Send the frame that the channel has."""
        rate = self._channel.read_rate
        said = self._switch.live.sounds.said(self._channel, rate)
        data = NO_FRAME * frame_size(rate) if said is None else said.tobytes()
        # that nobody takes it is no concern of the switch
        with suppress(OSError):
            self._socket.sendto(data, self._remote)

    def _put(self, data: bytes, behind: int) -> None:
        # who was kept from reading it in time has not lost it
        room = (LOOPBACK_QUEUE if self._channel.internal else SIP_QUEUE) + behind
        if len(self._waiting) >= room:
            self._waiting.clear()
        self._waiting.append(data)

    def _fit(self, data: bytes) -> Samples:
        size = 2 * frame_size(self._channel.read_rate)
        if len(data) > size:
            self._waiting.appendleft(data[size:])
        return np.frombuffer(data[:size].ljust(size, b"\0"), dtype=np.int16)

    def _tell_talk(self, on: bool) -> None:
        """Its conference notices."""
        other = self._channel.other
        if other is not None and (on or other.far.talking):
            self._switch.conferences.set_talking(other, on)


def begin(switch: SandboxSwitch, channel: Channel, headers: dict[str, str]) -> None:
    """The channel has come to the message. Failures are logged and no more."""
    if channel.unicast is not None:
        return
    try:
        local = headers.get("local-ip") or "127.0.0.1", int(headers.get("local-port") or 8025)
        remote = headers.get("remote-ip") or "127.0.0.1", int(headers.get("remote-port") or 8026)
        channel.unicast = Unicast(switch, channel, local, remote)
    except (OSError, ValueError, OverflowError) as error:
        log.warning("no unicast connection", channel=channel.uuid, error=str(error))
        return
    if channel.application == "park" and not channel.unicast_spent:
        _start(channel)


def parked(channel: Channel) -> None:
    """A channel comes into `park`, the only place where it runs."""
    channel.unicast_spent = False
    if channel.unicast is not None:
        _start(channel)


def end(channel: Channel) -> None:
    """Leaving `park` ends it, and so does a playback. The park that had it keeps the dead handle, and takes
    no other."""
    if channel.unicast is not None:
        channel.unicast.close()
        channel.unicast = None


def _start(channel: Channel) -> None:
    channel.unicast_spent = True
    if channel.unicast is not None:
        channel.unicast.start()
