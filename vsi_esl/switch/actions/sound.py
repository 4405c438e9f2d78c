"""What the service has a switch do with sound: one typed method each.

As in `actions.py`, nothing here decides or reports anything. Where a method is said not to fail, what it
asks for is of no use any more once it cannot be done.
"""

from __future__ import annotations

from collections.abc import Sequence

import gevent

from ...errors import Internal
from ...model.bridge import Bridge
from ...model.leg import Leg
from ...model.playback import Playback
from ...work import clock
from ..lines import audio, builder
from ..sending import Sending

JOB_TIMEOUT_S = 10.0
TEXT_TICK_S = 0.12
"""A little more than a step of the switch's text clock (switch_core_media.c: 100 ms)."""


class SwitchSound:
    """Playback, recording, bridges and text on one switch."""

    def __init__(self, node: Sending) -> None:
        self._node = node
        self.gone_astray = 0
        """Internal channels that the switch made and that never came where they were to be."""

    # -- playback ----------------------------------------------------------------------------------------

    def play(self, playback: Playback, conference: str, offset_ms: int = 0) -> None:
        """Play the playback's file into a conference, from `offset_ms` on. Internal when it cannot be."""
        lines = [audio.play(conference, playback.id, playback.path, playback.decibels, playback.loop)]
        if offset_ms:
            lines.append(audio.play_from(conference, offset_ms))
        # the switch reads the whole file when it opens it: 1.8 ms for a minute, 15 ms for ten
        answer = self._node.set_up(lines, files=True)[0][0]
        if not answer.startswith("+OK"):
            raise Internal(f"write audio: {answer[:120]}")

    def stop_playing(self, conference: str) -> None:
        """Stop the file that plays in a conference. Does not fail."""
        self._node.post(audio.stop_playing(conference))

    def play_volume(self, conference: str, decibels: int) -> None:
        """Change the volume of the file that plays, within two frames."""
        self._node.command(audio.play_volume(conference, decibels))

    def whisper_bot(self, channel: str, playback: Playback, leg: Leg) -> None:
        """A conference of the playback's own, which only this leg hears, wherever it is."""
        self._pair(audio.whisper(channel, playback.id, leg.channel.rate, leg.id), leg.channel.rate)

    def room_bot(self, channel: str, playback: Playback, conference: str, rate: int) -> None:
        """A conference of the playback's own, which everybody in a room hears."""
        self._pair(audio.speak_into(channel, conference, playback.id, rate), rate)

    def send_silence(self, leg: Leg) -> None:
        """Have a leg that has media but waits unanswered send silence, for a whisper to ride on."""
        answer = self._node.command(audio.transfer_to_silence(leg.id, self._node.bond))
        if not answer.startswith("+OK"):
            raise Internal(f"the switch refused to open the leg's audio: {answer[:80]}")

    def dismiss(self, *channels: str) -> None:
        """End internal channels. Does not fail."""
        self._node.post(*[builder.kill(channel, "NORMAL_CLEARING") for channel in channels])

    # -- bridges -----------------------------------------------------------------------------------------

    def bridge(self, bridge: Bridge, conference_a: str, conference_b: str) -> None:
        """Make the pair that connects two rooms' conferences."""
        mute, deaf = not bridge.speaks_in_a, not bridge.hears_a
        rate = bridge.sample_rate
        self._pair(audio.bridge(bridge.channel, conference_a, conference_b, rate, mute=mute, deaf=deaf), rate)

    def bridge_direction(self, bridge: Bridge, conference_a: str) -> None:
        """Let sound pass as the bridge says, within a frame or two."""
        actions = ("unmute" if bridge.speaks_in_a else "mute", "undeaf" if bridge.hears_a else "deaf")
        lines = [builder.conference_member(conference_a, action, bridge.member_id) for action in actions]
        for answer in self._node.command_many(lines):
            if not answer.startswith("+OK"):
                raise Internal(f"the switch refused the direction: {answer[:80]}")

    # -- recording ---------------------------------------------------------------------------------------

    def listen_in(self, recorder: str, conference: str, rate: int) -> None:
        """Put a recorder into a room's conference."""
        answer = self._node.set_up([audio.listen_in(recorder, conference, rate)])[0][0]
        if not answer.startswith("+OK"):
            raise Internal(f"create recording file: no recorder: {answer[:80]}")

    def record_leg(self, leg: Leg, file: str, rate: int) -> None:
        """Record a leg in stereo: left what it says, right what it hears.

        A job, since each takes the switch 12 ms: many of them are run at the same time.
        """
        answer = self._node.job(audio.record(leg.id, file, rate, "both"), JOB_TIMEOUT_S)
        if not answer.startswith("+OK"):
            raise Internal(f"create recording file: {answer[:120]}")

    def record_leg_on(self, leg: Leg, file: str, rate: int) -> float:
        """Record a leg once more, into another file. Returns when that began, in Unix seconds."""
        answer, when = self._node.set_up([audio.record(leg.id, file, rate, "both")], files=True)[0]
        if not answer.startswith("+OK"):
            raise Internal(f"create recording file: {answer[:120]}")
        return when

    def record_room(
        self, recorder: str, file: str, tracks: Sequence[tuple[str, str]], rate: int
    ) -> list[float]:
        """Record what a recorder hears, and what each of these (leg id, file) says.

        Returns when each of them began, the recorder first, in Unix seconds good to a frame; 0 for a leg
        that could not be recorded any more. Internal when the recorder could not.
        """
        lines = [audio.record(recorder, file, rate, "heard")] if recorder else []
        lines += [audio.record(leg_id, track, rate, "said") for leg_id, track in tracks]
        answers = self._node.set_up(lines, files=True)
        if recorder and not answers[0][0].startswith("+OK"):
            raise Internal(f"create recording file: {answers[0][0][:120]}")
        return [when if answer.startswith("+OK") else 0.0 for answer, when in answers]

    def stop_recording(self, files: Sequence[tuple[str, str]]) -> list[bool]:
        """End the recording of these (channel, file). True for those that end now, which RECORD_STOP tells;
        False for those that had ended."""
        lines = [audio.recording(channel, "stop", file) for channel, file in files]
        return [answer.startswith("+OK") for answer, _ in self._node.set_up(lines, files=True)]

    def mask_recording(self, files: Sequence[tuple[str, str]], on: bool) -> None:
        """Write silence into these files from now on, or sound again. The time goes on."""
        action = "mask" if on else "unmask"
        self._node.command_many([audio.recording(channel, action, file) for channel, file in files])

    # -- real-time text ----------------------------------------------------------------------------------

    def send_text(self, leg: Leg, text: str) -> None:
        """Send real-time text to the peer, with a line end behind it; one line end alone is not sent.

        A text so soon after another that both would have one timestamp waits a moment (see `text_line`).
        """
        line = audio.text_line(text)
        if not line:
            return
        command = audio.send_text(leg.id, line)
        gevent.sleep(min(TEXT_TICK_S, max(0.0, leg.text_after - clock.now())))
        self._node.command(command)
        leg.text_after = clock.now() + TEXT_TICK_S

    # -- helpers -----------------------------------------------------------------------------------------

    def _pair(self, originate: str, rate: int) -> None:
        answer = self._node.set_up([audio.loopback_rate(rate), originate])[1][0]
        if not answer.startswith("+OK"):
            raise Internal(f"the switch made no internal channel: {answer[:80]}")
