"""What every channel says and hears in the 20 ms that pass, as a FreeSWITCH mixes it.

Nothing is computed unless somebody asks, and nothing twice in a frame. None means that there is no frame: no
RTP comes, or nobody writes to the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .samples import Resampler, Samples, added, clip, frame_size, silence, tone

if TYPE_CHECKING:
    from .channels import Channel
    from .conference import Member
    from .server import SandboxSwitch

Key = tuple[str, str, int]
YES = ("true", "yes", "on", "1")
CHATTER = tone(440)
"""What somebody says who talks, and of whom nobody has told what."""


class Sounds:
    """The sounds of one frame after the other."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self._tick = 0
        self._known: dict[Key, Samples | None] = {}
        self._streams: dict[Key, tuple[int, Resampler]] = {}

    def begin(self, tick: int) -> None:
        """The next frame. Another switch may have come to it already."""
        if tick <= self._tick:
            return
        self._tick = tick
        self._known.clear()
        if tick % 500 == 0:
            self._streams = {key: one for key, one in self._streams.items() if one[0] >= tick - 1}

    def said(self, channel: Channel, rate: int) -> Samples | None:
        """What comes from a channel, before anything is done to it; muted or not."""
        return self._once((channel.uuid, "said", rate), lambda: self._said(channel, rate))

    def heard(self, channel: Channel, rate: int) -> Samples | None:
        """What goes to a channel, with what is whispered to it."""
        found = self._once((channel.uuid, "heard", 0), lambda: self._heard(channel))
        return self._at(found, (channel.uuid, "heard", rate), channel.read_rate)

    def _once(self, key: Key, make: Callable[[], Samples | None]) -> Samples | None:
        if key not in self._known:
            # who hears himself by some roundabout way hears nothing of it
            self._known[key] = None
            self._known[key] = make()
        return self._known[key]

    def _at(self, frame: Samples | None, key: Key, rate: int) -> Samples | None:
        """A frame of a stream at the rate in its key."""
        wanted = key[2]
        if frame is None or rate == wanted:
            return frame
        return self._once((f"{key[0]} at", key[1], wanted), lambda: self._resampled(frame, key, rate))

    def _resampled(self, frame: Samples, key: Key, rate: int) -> Samples:
        tick, resampler = self._streams.get(key, (0, None))
        if resampler is None or tick != self._tick - 1:
            resampler = Resampler(rate, key[2])
        self._streams[key] = (self._tick, resampler)
        return resampler.feed(frame)

    # -- from a channel ------------------------------------------------------------------------------------

    def _said(self, channel: Channel, rate: int) -> Samples | None:
        if not channel.alive:
            return None
        if channel.remote is not None:
            there, far = channel.remote
            there.live.sounds.begin(self._tick)
            return there.live.sounds.heard(far, rate)
        if channel.internal:
            if channel.other is None:
                return None
            found = self.heard(channel.other, channel.other.read_rate)
            return self._at(found, (channel.uuid, "passed on", rate), channel.read_rate)
        if not channel.receives_rtp:
            return None
        voice = channel.far.voice or (CHATTER if channel.far.talking else None)
        return silence(rate) if voice is None else voice.frame(self._tick, channel.read_rate, rate)

    # -- to a channel --------------------------------------------------------------------------------------

    def _heard(self, channel: Channel) -> Samples | None:
        has_media = channel.alive and channel.read_rate and (channel.internal or channel.media)
        if not has_media or channel.held:
            return None
        written = self._written(channel)
        # a whisper goes on top of what is written; where nothing is, it is not heard
        return None if written is None else added(written, *self._whispers(channel, "bleg"))

    def _written(self, channel: Channel) -> Samples | None:
        return self._once((channel.uuid, "written", 0), lambda: self._write(channel))

    def _write(self, channel: Channel) -> Samples | None:
        if channel.playing or channel.application == "playback":
            return silence(channel.read_rate)
        if channel.member is not None:
            mixed = self._mix(channel.member)
            rate = channel.member.conference.rate
            return self._at(mixed, (channel.uuid, "mixed", channel.read_rate), rate)
        if channel.bridged is not None:
            return self.said(channel.bridged, channel.read_rate)
        if channel.application == "eavesdrop":
            return self._overheard(channel)
        if channel.application != "park":
            return None
        idle = channel.variables.get("send_silence_when_idle", "0") != "0"
        injected = None if channel.unicast is None else channel.unicast.frame
        return injected if injected is not None else silence(channel.read_rate) if idle else None

    def _mix(self, member: Member) -> Samples:
        """What a member hears of the others."""
        conference = member.conference
        total = np.zeros(frame_size(conference.rate), np.int32)
        if member.hear:
            played = self._once(("files", conference.uuid, 0), lambda: conference.files.frame(self._tick))
            if played is not None:
                total += played
            for other in conference.members.values():
                if other is not member and other.speak and conference.carries(other, member):
                    own = self.said(other.channel, conference.rate)
                    if own is not None:
                        total += own
                    for whisper in self._whispers(other.channel, "aleg"):
                        key = (other.channel.uuid, "whispered", conference.rate)
                        at = self._at(whisper, key, other.channel.read_rate)
                        total += at if at is not None else 0
        return clip(total)

    # -- those who listen in -------------------------------------------------------------------------------

    def _whispers(self, target: Channel, side: str) -> list[Samples]:
        """What eavesdroppers say to one side: `bleg` to the target, `aleg` to whom the target speaks."""
        found = []
        for listener in target.eavesdroppers:
            fits = listener.read_rate == target.read_rate and side in _bridged(listener)
            if fits and _true(listener, f"eavesdrop_whisper_{side}"):
                frame = self.said(listener, listener.read_rate)
                if frame is not None:
                    found.append(frame)
        return found

    def _overheard(self, channel: Channel) -> Samples | None:
        target = self._switch.channels.get(channel.application_data)
        # its buffers are raw: of another rate, nothing is heard of it
        if target is None or target.read_rate != channel.read_rate:
            return None
        bridged = _bridged(channel)
        return added(
            self.said(target, target.read_rate) if "aleg" in bridged else None,
            self._written(target) if "bleg" in bridged else None,
        )


def _bridged(listener: Channel) -> tuple[str, ...]:
    """The sides of its target that an eavesdropper hears; both, if it was not told."""
    return tuple(side for side in ("aleg", "bleg") if _true(listener, f"eavesdrop_bridge_{side}")) or (
        "aleg",
        "bleg",
    )


def _true(channel: Channel, name: str) -> bool:
    return channel.variables.get(name, "").lower() in YES
