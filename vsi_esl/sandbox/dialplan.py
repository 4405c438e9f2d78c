"""Inline dialplan: the applications that `uuid_transfer ... inline` names, run one after the other.

`park` and `conference` keep the channel; what stands behind a conference is run when it lets the channel go.
A channel with nothing left to run is hung up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import quoting, sip
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

VARIABLE = re.compile(r"\$\{([^}]*)\}")
IGNORED = frozenset("playback sleep silence_stream export unset log info event".split())
"""Applications that are taken and do nothing here."""


def parse(text: str) -> list[tuple[str, str]]:
    """`app:argument,app:argument` as pairs. A comma in an argument starts the next application."""
    found = []
    for piece in quoting.separate(text, ","):
        name, _, argument = piece.partition(":")
        found.append((name, argument))
    return found


class Dialplan:
    """Runs applications on channels."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def transfer(self, channel: Channel, applications: list[tuple[str, str]]) -> None:
        """Leave what the channel is in, and run these. signal_bond does not survive it."""
        if not channel.alive:
            return
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
        name, channel.application = channel.application, ""
        if name == "park":
            self._switch.calls.fire("CHANNEL_UNPARK", channel)
        elif name == "conference":
            self._switch.conferences.leave(channel)
        if name:
            self._fire("CHANNEL_EXECUTE_COMPLETE", channel, name, channel.application_data)

    def park(self, channel: Channel) -> None:
        """Into `park`; the event comes each time."""
        self.execute(channel, "park", "")

    def execute(self, channel: Channel, name: str, argument: str) -> bool:
        """Run one application. True when it keeps the channel, or has ended it."""
        self._fire("CHANNEL_EXECUTE", channel, name, argument)
        if name in ("park", "conference"):
            channel.application, channel.application_data = name, argument
            if name == "park":
                self._switch.calls.fire("CHANNEL_PARK", channel)
            # joining answers, and ends a call for which there is no codec to answer with
            elif channel.direction != "inbound" or self._switch.calls.answer(channel):
                self._switch.conferences.join(channel, argument)
            return True
        self._run(channel, name, argument)
        self._fire("CHANNEL_EXECUTE_COMPLETE", channel, name, argument)
        return not channel.alive

    def _run(self, channel: Channel, name: str, argument: str) -> None:
        calls = self._switch.calls
        if name == "set":
            variable, _, value = argument.partition("=")
            channel.variables[variable] = value
        elif name in ("answer", "pre_answer", "ring_ready"):
            getattr(calls, name)(channel)
        elif name == "respond":
            self.respond(channel, argument)
        elif name == "hangup":
            calls.hangup(channel, sip.hangup_cause(argument))
        elif name not in IGNORED:
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
