"""`uuid_audio_fork`: a channel by WebSocket. drachtio's mod_audio_fork as measured, with its faults.

A missing rate ends the process. A fork that is stopped before it is connected leaves its connection open. A
closed connection leaves its bug on the channel. No event says which fork it is of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent
import numpy as np
import orjson

from ..later import punctually
from . import quoting
from .pipe import CannotConnect, Pipe
from .samples import Samples, added, silence

if TYPE_CHECKING:
    from .channels import Channel
    from .server import SandboxSwitch

USAGE = (
    "-USAGE: <uuid> [start | stop | send_text | pause | resume | graceful-shutdown ] [wss-url | path] "
    "[mono | mixed | stereo] [8000 | 16000 | 24000 | 32000 | 64000] [bugname] [metadata]\n"
)
DONE, FAILED = "+OK Success\n", "-ERR Operation Failed\n"
NAME = "audio_fork"
MIXES = ("mono", "mixed", "stereo")
SCHEMES = ("ws://", "http://", "wss://", "https://")
RATES = {"8k": 8000, "16k": 16000}
LONGEST_TEXT = 8192
LOWEST_RATE = 1000
CLOSE_S = 0.0014
"""From a stop to its effect: the module has a thread of its own for its connections."""
HALT_S = 1.0
INTEGER = re.compile(r"[0-9]{1,6}")
MESSAGES = ("transcription", "transfer", "disconnect", "error")
"""What a server may say; each is an event of that name with the message's data."""


@dataclass(slots=True, frozen=True)
class Order:
    """What a fork was started with."""

    name: str
    url: str
    mix: str
    rate: int
    metadata: str


class Fork:
    """One fork of a channel, from its start to its stop."""

    def __init__(self, switch: SandboxSwitch, channel: Channel, order: Order) -> None:
        self._switch = switch
        self._channel = channel
        self._order = order
        self._connected = self._stopped = self._shut_down = self._overrun = False
        self.paused = False
        self.leaks = False
        """Its connection is open, and only the server closes it any more."""
        user = channel.variables.get("MOD_AUDIO_BASIC_AUTH_USERNAME")
        password = channel.variables.get("MOD_AUDIO_BASIC_AUTH_PASSWORD", "")
        bytes_a_second = order.rate * (4 if order.mix == "stereo" else 2)
        self._pipe = Pipe(order.url, bytes_a_second, (user, password) if user else None)
        self._greenlet = gevent.Greenlet(self._live)

    # -- commands ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Put the bug on the channel, and connect."""
        self._channel.forks[self._order.name] = self
        self._fire_bug("MEDIA_BUG_START")
        self._switch.forks.running.add(self)
        self._greenlet.start()

    def stop(self, text: str = "") -> None:
        """Take the bug off the channel. Only a connection that is up by now is closed."""
        self._stopped = True
        self._channel.forks.pop(self._order.name, None)
        self._switch.live.remove(self)
        if self._connected and not self._shut_down:
            self.send_text(text)
            punctually(CLOSE_S, self._pipe.say_goodbye)
        self.leaks = self._connected and self._shut_down
        self._fire_bug("MEDIA_BUG_STOP")

    def send_text(self, text: str) -> None:
        """To the server; lost when there is no connection, or it was shut down."""
        if text and self._connected and not self._shut_down:
            self._pipe.send_text(text[:LONGEST_TEXT])

    def shut_down(self) -> None:
        """No audio any more. The server reads an empty message, and nothing after it."""
        if self._connected and not self._shut_down:
            self._pipe.send_nothing()
        self._shut_down = True

    def halt(self, politely: bool) -> None:
        """The switch is gone."""
        if politely and self._connected:
            self._pipe.say_goodbye()
        self._greenlet.kill(timeout=HALT_S)
        self._pipe.drop()

    # -- the connection --------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._pipe.connect()
            self._connected = True
            if self._stopped:
                self.leaks = True
            else:
                self._fire("connect")
                self.send_text(self._order.metadata)
                self._switch.live.add(self)
            while (text := self._pipe.receive()) is not None:
                self._told(text)
            self._fire("disconnect")
        except CannotConnect as error:
            self._fire("connect_failed", orjson.dumps({"reason": str(error)}).decode())
        finally:
            self._connected = self.leaks = False
            self._switch.live.remove(self)
            self._switch.forks.running.discard(self)
            self._pipe.drop()

    def _told(self, text: str) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        kind = message.get("type", "json") if isinstance(message, dict) else ""
        if kind in MESSAGES:
            self._fire(kind, orjson.dumps(message["data"]).decode() if "data" in message else "")
        elif kind == "json":
            self._fire("json", orjson.dumps(message).decode())

    def _fire(self, what: str, body: str = "") -> None:
        subclass = f"mod_audio_fork::{what}"
        # without its bug, nobody knows any more which channel it is of
        if not self._stopped and self._channel.alive and self._switch.wanted("CUSTOM", subclass):
            self._switch.fire("CUSTOM", self._channel.with_variables(), body, subclass)

    def _fire_bug(self, event: str) -> None:
        bug = {"Media_Bug_Function": self._order.name, "Media_Bug_Target": "N/A"}
        self._switch.calls.fire(event, self._channel, **bug)

    # -- audio -----------------------------------------------------------------------------------------------

    def prepare(self, behind: int) -> None:
        """There is nothing to prepare."""

    def tick(self) -> None:
        """Send the frame."""
        if self.paused or self._shut_down:
            return
        if not self._pipe.send_audio(self._frame().tobytes()) and not self._overrun:
            self._overrun = True
            self._fire("buffer_overrun")

    def _frame(self) -> Samples:
        sounds, rate = self._switch.live.sounds, self._order.rate
        said = sounds.said(self._channel, rate)
        heard = sounds.heard(self._channel, rate) if self._order.mix != "mono" else None
        if self._order.mix == "stereo":
            left, right = (silence(rate) if side is None else side for side in (said, heard))
            return np.column_stack((left, right))
        mixed = added(said, heard)
        return silence(rate) if mixed is None else mixed


class Forks:
    """What the module keeps of all channels' forks."""

    def __init__(self) -> None:
        self.running: set[Fork] = set()
        """Those that connect or are connected, whether or not a channel knows of them."""
        self.last_url = ""

    @property
    def leaked(self) -> int:
        """How many connections are open that nobody but their server closes any more."""
        return sum(fork.leaks for fork in self.running)

    def halt(self, politely: bool) -> None:
        """The switch is gone, and with it every connection."""
        for fork in list(self.running):
            fork.halt(politely)
        self.running.clear()


def uuid_audio_fork(switch: SandboxSwitch, rest: str) -> str:
    """`uuid_audio_fork UUID start URL MIX RATE [NAME] [METADATA]`, or `stop`, `pause` and so on."""
    words = quoting.separate(rest, " ", 7)
    if len(words) < 2 or (words[1] == "start" and len(words) < 4):
        return USAGE
    channel = switch.channels.get(words[0])
    if channel is None or not channel.alive:
        return FAILED
    if words[1].lower() == "start":
        return _start(switch, channel, words[2:])
    return _change(channel, words[1].lower(), words[2:])


def _start(switch: SandboxSwitch, channel: Channel, words: list[str]) -> str:
    url, mix = words[:2]
    if mix not in MIXES:
        return ""
    if len(words) < 3:
        # it reads what is not there
        gevent.spawn(switch.crash)
        return ""
    digits = INTEGER.match(words[2])
    rate = RATES.get(words[2]) or int(digits[0] if digits else 0)
    name, metadata = _name_and_text(words[3:])
    if name in channel.forks or rate < LOWEST_RATE:
        return FAILED
    if not switch.calls.pre_answer(channel) or not channel.read_rate:
        return FAILED
    if url.lower().startswith(SCHEMES):
        switch.forks.last_url = url
    # of another scheme it is complained about; then the one before is taken
    Fork(switch, channel, Order(name, switch.forks.last_url, mix, rate, metadata)).begin()
    return DONE


def _change(channel: Channel, action: str, words: list[str]) -> str:
    if action == "send_text" and not words:
        return ""
    name, text = _name_and_text(words)
    fork = channel.forks.get(name)
    if fork is None:
        return FAILED
    if action == "stop":
        fork.stop(text)
    elif action in ("pause", "resume"):
        fork.paused = action == "pause"
    elif action == "graceful-shutdown":
        fork.shut_down()
    elif action == "send_text":
        fork.send_text(text)
    else:
        return FAILED
    return DONE


def _name_and_text(words: list[str]) -> tuple[str, str]:
    """The name of a fork, and the text for its server; either may be missing."""
    if len(words) > 1:
        return words[0], words[1]
    if words and words[0][:1] in ("{", "["):
        return NAME, words[0]
    return (words[0] if words else NAME), ""


def uuid_buglist(switch: SandboxSwitch, rest: str) -> str:
    """What listens to a channel, in the switch's XML."""
    channel = switch.channels.get(rest.partition(" ")[0])
    if not rest or channel is None:
        return "" if rest else "-USAGE: <uuid>\n"
    bugs = [(name, "N/A") for name in channel.forks]
    bugs += [("session_record", path) for path in channel.recordings]
    bugs += [("eavesdrop", channel.uuid) for _ in channel.eavesdroppers]
    if channel.hears_digits:
        bugs.append(("spandsp_dtmf_detect", "N/A"))
    listed = [
        f" <media-bug>\n  <function>{function}</function>\n  <target>{target}</target>\n"
        "  <thread-locked>0</thread-locked>\n </media-bug>\n"
        for function, target in bugs
    ]
    return f"<media-bugs>\n{''.join(listed)}</media-bugs>\n"
