"""Inline dialplan: the applications that `uuid_transfer ... inline` names, run one after the other.

`park`, `conference`, `eavesdrop` and an endless `playback` keep the channel; what stands behind them is run
when they let it go.
A channel with nothing left to run is hung up.
"""

from __future__ import annotations

import os
import re
import wave
from typing import TYPE_CHECKING

from . import notify, quoting, sip, tethers, unicast
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

VARIABLE = re.compile(r"\$\{([^}]*)\}")
IGNORED = frozenset("sleep silence_stream export log info".split())
"""Applications that are taken and do nothing here."""
MAX_FORWARDS = 70
ENDLESS_PLAYBACK = "silence_stream://-1"


def parse(text: str) -> list[tuple[str, str]]:
    """`app:argument,app:argument` as pairs. A comma in an argument starts the next application; `m:^:` in
    front makes ^ the separator."""
    found = []
    separator = ","
    if text.startswith("m:") and text[3:4] == ":":
        separator, text = text[2], text[4:]
    for piece in quoting.separate(text, separator):
        name, _, argument = piece.partition(":")
        found.append((name, argument))
    return found


def _length_ms(path: str) -> int:
    """Of a WAV file; 0 for another."""
    try:
        with wave.open(path) as file:
            return int(file.getnframes() * 1000 // file.getframerate())
    except (OSError, EOFError, wave.Error):
        return 0


class Dialplan:
    """Runs applications on channels."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def may_transfer(self, channel: Channel) -> bool:
        """Count a transfer off max_forwards; the last one ends the call instead."""
        left = channel.variables.get("max_forwards", "")
        count = int(left) - 1 if left.isascii() and left.isdigit() else MAX_FORWARDS
        if count <= 0:
            self._switch.calls.hangup(channel, "EXCHANGE_ROUTING_ERROR")
            return False
        channel.variables["max_forwards"] = str(count)
        return True

    def transfer(self, channel: Channel, applications: list[tuple[str, str]]) -> None:
        """Leave what the channel is in, and run these. signal_bond does not survive it, and an originate
        that has not let the channel go takes it for cancelled."""
        if not channel.alive:
            return
        if channel.dialling:
            channel.dialling = False
            channel.outcome.set("-ERR ORIGINATOR_CANCEL\n")
        channel.variables.pop("signal_bond", None)
        self.leave(channel)
        channel.remaining = applications
        self.proceed(channel)

    def proceed(self, channel: Channel) -> None:
        """Run what remains, up to an application that keeps the channel."""
        while channel.alive and channel.remaining:
            name, argument = channel.remaining.pop(0)
            if self.execute(channel, name, self.expand(channel, argument)):
                return
        self._switch.calls.hangup(channel, "NORMAL_CLEARING")

    def leave(self, channel: Channel) -> None:
        """Out of the application that keeps the channel."""
        while channel.playing:
            self._end_playback(channel, channel.playing.pop())
        name, channel.application = channel.application, ""
        if name == "park":
            self._switch.calls.fire("CHANNEL_UNPARK", channel)
            unicast.end(channel)
        elif name == "conference":
            self._switch.conferences.leave(channel)
        elif name == "bridge":
            tethers.unbridge(self._switch, channel)
        elif name == "eavesdrop":
            self._end_eavesdrop(channel, channel.application_data)
        elif name == "playback":
            self._end_playback(channel, channel.application_data)
            return
        elif name == "answer" and channel.alive:
            self._switch.calls.answer(channel)
        if name:
            self._fire("CHANNEL_EXECUTE_COMPLETE", channel, name, channel.application_data)

    def let_go(self, channel: Channel) -> None:
        """The application that keeps the channel is over; what stands behind it comes."""
        if channel.alive:
            self.leave(channel)
            self.proceed(channel)

    def park(self, channel: Channel) -> None:
        """Into `park`; the event comes each time."""
        self.execute(channel, "park", "")

    def execute(self, channel: Channel, name: str, argument: str) -> bool:
        """Run one application. True when it keeps the channel, or has ended it."""
        self._fire("CHANNEL_EXECUTE", channel, name, argument)
        if self._keeps(channel, name, argument):
            channel.application, channel.application_data = name, argument
            self._enter(channel, name, argument)
            return True
        self._run(channel, name, argument)
        self._fire("CHANNEL_EXECUTE_COMPLETE", channel, name, argument)
        return not channel.alive

    def _keeps(self, channel: Channel, name: str, argument: str) -> bool:
        if name == "playback":
            return argument == ENDLESS_PLAYBACK
        if name == "eavesdrop":
            target = self._switch.channels.get(argument)
            return target is not None and target.alive
        # a browser's DTLS handshake is waited for
        return name in ("park", "conference") or (name == "answer" and channel.verto)

    def _enter(self, channel: Channel, name: str, argument: str) -> None:
        if name == "park":
            self._switch.calls.fire("CHANNEL_PARK", channel)
            unicast.parked(channel)
        elif name == "answer":
            channel.remaining = [("park", "")]
        elif name == "playback":
            self._begin_playback(channel, argument)
        elif name == "eavesdrop":
            target = self._switch.channels[argument]
            target.eavesdroppers.append(channel)
            self._fire_eavesdrop("MEDIA_BUG_START", target)
        # joining answers, and ends a call for which there is no codec to answer with
        elif channel.internal or channel.direction != "inbound" or self._switch.calls.answer(channel):
            self._switch.conferences.join(channel, argument)

    def play_over(self, channel: Channel, argument: str) -> None:
        """A playback on top of what the channel is in, which it does not leave for that."""
        unicast.end(channel)
        self._fire("CHANNEL_EXECUTE", channel, "playback", argument)
        if self._keeps(channel, "playback", argument):
            channel.playing.append(argument)
            self._begin_playback(channel, argument)
            return
        self._run(channel, "playback", argument)
        self._fire("CHANNEL_EXECUTE_COMPLETE", channel, "playback", argument)

    def _begin_playback(self, channel: Channel, argument: str) -> None:
        # it needs media, and ends a call for which there is no codec
        if self._switch.calls.pre_answer(channel):
            self._switch.calls.fire("PLAYBACK_START", channel, Playback_File_Path=argument)

    def _end_playback(self, channel: Channel, argument: str) -> None:
        fire = self._switch.calls.fire
        fire("PLAYBACK_STOP", channel, Playback_File_Path=argument, Playback_Status="break")
        done = {"Application": "playback", "Application_Data": argument}
        fire("CHANNEL_EXECUTE_COMPLETE", channel, **done, Application_Response="FILE PLAYED")

    def _end_eavesdrop(self, channel: Channel, target_id: str) -> None:
        target = self._switch.channels.get(target_id)
        if target is not None and channel in target.eavesdroppers:
            target.eavesdroppers.remove(channel)
            self._fire_eavesdrop("MEDIA_BUG_STOP", target)

    def _fire_eavesdrop(self, event: str, target: Channel) -> None:
        self._switch.calls.fire(event, target, Media_Bug_Function="eavesdrop", Media_Bug_Target=target.uuid)

    def _run(self, channel: Channel, name: str, argument: str) -> None:
        calls = self._switch.calls
        if name == "set":
            variable, _, value = argument.partition("=")
            channel.variables[variable] = value
        elif name in ("answer", "pre_answer", "ring_ready"):
            getattr(calls, name)(channel)
        elif name == "spandsp_start_dtmf":
            channel.hears_digits = "spandsp" in self._switch.modules
        elif name == "respond":
            self.respond(channel, argument)
        elif name == "event":
            notify.of_application(channel, argument)
        elif name == "unset":
            channel.variables.pop(argument, None)
        elif name == "playback":
            calls.pre_answer(channel)  # it needs media; it ends at once here
            if os.path.isfile(argument) and os.access(argument, os.R_OK):
                channel.variables["playback_ms"] = str(_length_ms(argument))
        elif name == "hangup":
            calls.hangup(channel, sip.hangup_cause(argument))
        elif name != "eavesdrop" and name not in IGNORED:
            calls.hangup(channel, "DESTINATION_OUT_OF_ORDER")

    def respond(self, channel: Channel, argument: str) -> None:
        """Answer the REFER that waits on the channel. Without one, refuse or end the call itself."""
        code_text, _, phrase = argument.partition(" ")
        code = int(code_text) if re.fullmatch(r"[1-6][0-9][0-9]", code_text) else 500
        if channel.far.refer_pending:
            channel.far.refer_pending, channel.far.refer_answered = False, True
            channel.far.seen.append(f"{code} {phrase or sip.phrase(code)}")
        elif not channel.far.refer_answered and code >= 300:
            # after a first REFER an extra response is taken and ignored
            self._switch.calls.hangup(channel, sip.failure_cause(code), code, phrase)

    def expand(self, channel: Channel, argument: str) -> str:
        """`${name}` stands for a channel variable."""
        return VARIABLE.sub(lambda match: channel.variables.get(match[1], ""), argument)

    def _fire(self, event: str, channel: Channel, name: str, argument: str) -> None:
        self._switch.calls.fire(event, channel, Application=name, Application_Data=argument)
