"""Switches behind one face: who calls, who is called, what they see. The sandbox, a real FreeSWITCH, and a
VSI server that nobody can look into."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from greenswitch.esl import NotConnectedError

from vsi_esl.sandbox import SandboxSwitch, api, invite
from vsi_esl.sandbox.channels import Channel, now_us
from vsi_esl.sandbox.live import Ear
from vsi_esl.sandbox.samples import Voice, tone

from . import hearing, listen
from .freeswitch import PrivateSwitch
from .server import Server
from .sipua import Call, UserAgent
from .waiting import eventually


def joined(ear: Ear) -> np.ndarray:
    """The samples of the frames that came."""
    return np.concatenate([np.zeros(0, np.int16), *(one for one in ear.frames if one is not None)])


def received(ear: Ear) -> np.ndarray | None:
    """As `hearing.received`."""
    return joined(ear) if len(ear.frames) == hearing.HALF_SECOND else None


class SandboxPeer:
    """The other end of a call in the sandbox."""

    def __init__(self, switch: SandboxSwitch, channel: Channel) -> None:
        self._switch = switch
        self._channel = channel
        self._ear: Ear | None = None

    @property
    def seen(self) -> list[str]:
        return self._channel.far.seen

    @property
    def digits(self) -> str:
        return self._channel.far.digits

    @property
    def codec(self) -> str:
        return {"OPUS": "opus"}.get(self._channel.codec, self._channel.codec)

    @property
    def packets(self) -> float:
        """RTP packets sent to the switch."""
        channel = self._channel
        running = (now_us() - channel.rtp_since) / 20_000 if channel.rtp_since else 0
        return channel.packets_before + running

    def wait(self, what: str, timeout: float = 5.0) -> None:
        eventually(lambda: any(one.startswith(what) for one in self.seen), f"{what} in {self.seen}", timeout)

    def _act(self, action: Callable[..., Any], *args: Any) -> None:
        action(*args)
        self._switch.flush()

    def hang_up(self) -> None:
        self._act(self._switch.far_ends.hang_up, self._channel)

    def cancel(self) -> None:
        self._act(self._switch.far_ends.cancel, self._channel)

    def dtmf(self, digits: str) -> None:
        for digit in digits:
            self._switch.calls.fire("DTMF", self._channel, DTMF_Digit=digit, DTMF_Source="RTP")
        self._switch.flush()

    def talk(self, on: bool) -> None:
        self._channel.far.voice = None
        self._act(self._switch.conferences.set_talking, self._channel, on)

    def says(self, frequency: float) -> None:
        """A tone of so many Hz, until it says something else; 0 is silence. It begins when there is media."""
        self._act(self._switch.far_ends.say, self._channel, tone(frequency) if frequency else None)

    def say(self, samples: npt.NDArray[np.int16], rate: int) -> None:
        """Say this, once, behind what is being said; it begins when there is media (PCMU only)."""
        self._act(self._switch.far_ends.say_more, self._channel, Voice(samples, rate))

    def hears(self, frequency: float, wanted: bool = True) -> None:
        """Until the last half second that it received has the tone, or has it not."""
        with closing(Ear(self._switch.live, self._channel, frames=hearing.HALF_SECOND)) as ear:
            hearing.until(lambda: received(ear), frequency, wanted)

    def keep(self) -> None:
        """Keep everything that it receives from now on."""
        self._ear = Ear(self._switch.live, self._channel, frames=None)

    @property
    def kept(self) -> np.ndarray:
        """Samples at 8 kHz, without gaps where nothing was sent to it."""
        assert self._ear is not None
        return joined(self._ear)

    def rtp(self, on: bool) -> None:
        self._channel.count_rtp(on)
        self._switch.calls.watch_media(self._channel)

    def hold(self, direction: str = "sendonly") -> None:
        self._act(self._switch.calls.peer_hold, self._channel, direction)

    def unhold(self) -> None:
        self._act(self._switch.calls.peer_hold, self._channel, "sendrecv")

    def refer(self, target: str) -> None:
        self._act(self._switch.far_ends.refer, self._channel, target, "")

    def type(self, line: str) -> None:
        self._act(self._switch.calls.text, self._channel, f"{line}\r\n")

    @property
    def texts(self) -> list[str]:
        """The words of real-time text it was sent."""
        return self.text.split()

    @property
    def text(self) -> str:
        return "".join(f"{line}\r\n" for line in self._channel.far.texts)

    @property
    def text_by_timestamp(self) -> str:
        """What a peer is left with that takes each RTP timestamp once: the first text of a tick."""
        far = self._channel.far
        first = dict(reversed(list(zip(far.text_ticks, far.texts, strict=True))))
        return "".join(first[tick] for tick in sorted(first))

    def answer(self) -> None:
        self._act(self._switch.far_ends.answer, self._channel)

    def reject(self, code: int) -> None:
        self._act(self._switch.far_ends.reject, self._channel, code)

    def header(self, name: str) -> str:
        return invite.headers(self._channel).get(name.lower(), "")


class SandboxDriver:
    """A sandbox of its own, within the test process."""

    name = "sandbox"
    missing_codecs: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.switch = SandboxSwitch(heartbeat_s=1.0)
        self.switch.start()
        self.host, self.port = self.switch.address
        self.password = self.switch.password
        self.version = "sandbox"

    def call(self, to: str = "+15550199", from_: str = "+15550100", **more: Any) -> SandboxPeer:
        request = {"to": to, "from": from_, **more}
        channel = self.switch.far_ends.call(request)
        self.switch.flush()
        return SandboxPeer(self.switch, channel)

    def uri(self, behaviour: str) -> str:
        return f"sip:{behaviour}@127.0.0.1"

    def unreachable(self) -> str:
        return "sip:nobody@127.0.0.1:1"

    def callee(self) -> SandboxPeer:
        outbound = [
            one
            for one in self.switch.channels.values()
            if one.direction == "outbound" and one.name.startswith("sofia")
        ]
        return SandboxPeer(self.switch, outbound[-1])

    def esl(self, command: str) -> str:
        """An api command as an operator would give it."""
        answer = api.run(self.switch, command)
        self.switch.flush()
        return answer

    def drop_connections(self) -> None:
        """Cut every event socket connection."""
        for connection in list(self.switch._connections):
            connection.close()

    def freeze(self) -> None:
        """Let the switch stand still: it takes what it is sent and does nothing."""
        self.switch.freeze()

    def thaw(self) -> None:
        self.switch.thaw()

    def channels(self, prefix: str = "") -> list[str]:
        """The ids of all channels that begin so."""
        return [one for one in self.switch.channels if one.startswith(prefix)]

    def clean(self) -> None:
        """Nothing is shared between tests."""

    def stop(self) -> None:
        self.switch.stop()


class SipPeer:
    """The other end of a call on a real switch."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def seen(self) -> list[str]:
        return self._call.seen

    @property
    def digits(self) -> str:
        return self._call.rtp.digits

    @property
    def codec(self) -> str:
        return self._call.codec

    def wait(self, what: str, timeout: float = 5.0) -> None:
        self._call.wait(lambda call: any(one.startswith(what) for one in call.seen), timeout)

    def hang_up(self) -> None:
        self._call.bye()

    def cancel(self) -> None:
        self._call.cancel()

    def dtmf(self, digits: str) -> None:
        self._call.dtmf(digits)

    def talk(self, on: bool) -> None:
        self.says(440.0 if on else 0.0)

    def says(self, frequency: float) -> None:
        self._call.rtp.frequency = frequency
        self._call.rtp.saying.clear()

    def say(self, samples: npt.NDArray[np.int16], rate: int) -> None:
        self._call.rtp.frequency = 0.0
        self._call.rtp.say(samples, rate)

    def hears(self, frequency: float, wanted: bool = True) -> None:
        hearing.hears(self._call, frequency, wanted)

    def keep(self) -> None:
        self._call.rtp.kept = []

    @property
    def kept(self) -> np.ndarray:
        return listen.heard(self._call.rtp.kept or [])

    def rtp(self, on: bool) -> None:
        self._call.rtp.muted = not on

    def hold(self, direction: str = "sendonly") -> None:
        self._call.hold(direction)

    def unhold(self) -> None:
        self._call.unhold()

    def refer(self, target: str) -> None:
        self._call.refer(target)

    def type(self, line: str) -> None:
        text = self._call.text
        assert text is not None
        eventually(lambda: text.agreed, "text is agreed on")
        text.type(f"{line}\r\n")

    @property
    def texts(self) -> list[str]:
        return self.text.split()

    @property
    def text(self) -> str:
        assert self._call.text is not None
        return self._call.text.received

    @property
    def text_by_timestamp(self) -> str:
        assert self._call.text is not None
        return self._call.text.by_timestamp

    def answer(self) -> None:
        self._call.answer()

    def reject(self, code: int) -> None:
        self._call.reject(code)

    def header(self, name: str) -> str:
        assert self._call.invite is not None
        return self._call.invite.get(name)


class SipDriver:
    """A SIP user agent as everybody else."""

    def __init__(self, host: str, port: int) -> None:
        self.agent = UserAgent((host, port))

    def call(self, to: str = "+15550199", from_: str = "+15550100", **more: Any) -> SipPeer:
        talk = more.pop("talk", False)
        codecs = [{"OPUS": "opus"}.get(name, name) for name in more.pop("codecs", [])]
        call = self.agent.call(to, from_, codecs=codecs or None, **more)
        peer = SipPeer(call)
        peer.talk(talk)
        return peer

    def uri(self, behaviour: str) -> str:
        return f"sip:{behaviour}@127.0.0.1:{self.agent.address[1]}"

    def unreachable(self) -> str:
        return "sip:nobody@127.0.0.1:1"

    def callee(self) -> SipPeer:
        return SipPeer(self.agent.incoming())

    def forget(self) -> None:
        """All calls so far."""
        for call in self.agent.calls.values():
            call.rtp.close()
        self.agent.calls.clear()


class FreeswitchDriver(SipDriver):
    """A private FreeSWITCH for the whole run."""

    name = "freeswitch"

    def __init__(self, directory: Path, owner: dict[str, Any] | None = None) -> None:
        self.switch = PrivateSwitch(directory, owner=owner)
        self.switch.start()
        self.switch.api("load mod_audio_fork")  # where there is one
        self.host, self.port = "127.0.0.1", self.switch.esl_port
        self.password = self.switch.password
        self.version = self.switch.version
        super().__init__("127.0.0.1", self.switch.sip_port)

    @cached_property
    def missing_codecs(self) -> frozenset[str]:
        """Those of the protocol whose module it has not loaded."""
        modules = {"G722": "mod_spandsp", "OPUS": "mod_opus"}
        return frozenset(
            codec
            for codec, module in modules.items()
            if self.switch.api(f"module_exists {module}").strip() != "true"
        )

    def esl(self, command: str) -> str:
        return self.switch.api(command)

    def drop_connections(self) -> None:
        """There is no command for it; restart the listener. That ends the connection of whoever asks as well,
        before or behind its answer."""
        with suppress(NotConnectedError):
            self.switch.api("reload mod_event_socket")

    def freeze(self) -> None:
        self.switch.freeze()

    def thaw(self) -> None:
        self.switch.thaw()

    def clean(self) -> None:
        """End all calls of the test that ran."""
        self.thaw()
        self.switch.api("hupall")
        eventually(lambda: not self.channels(), "all calls ended")
        self.forget()

    def channels(self, prefix: str = "") -> list[str]:
        """The ids of all channels that begin so. The switch's list also has rows of channels that there
        are no more: one that ended while it was told to record leaves one for good."""
        rows = json.loads(self.switch.api("show channels as json")).get("rows", [])
        ids = [row["uuid"] for row in rows if row["uuid"].startswith(prefix)]
        return [one for one in ids if self.switch.api(f"uuid_exists {one}").strip() == "true"]

    def stop(self) -> None:
        self.agent.stop()
        self.switch.stop()


class ForeignDriver(SipDriver):
    """The SIP side of a VSI server of which only the addresses are known."""

    name = "foreign"
    missing_codecs: frozenset[str] = frozenset()

    def __init__(self, url: str, sip: str) -> None:
        host, _, port = sip.rpartition(":")
        super().__init__(host, int(port))
        self.version = f"{url}, {sip}"
        self._server = Server.at(url)
        self.clean()

    def clean(self) -> None:
        """End all calls and rooms of the test that ran."""
        self._server.empty()
        self.forget()

    def stop(self) -> None:
        self.agent.stop()


Driver = SandboxDriver | FreeswitchDriver | ForeignDriver
