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

from vsi_esl.sandbox import SandboxSwitch, api, farend, invite, meta
from vsi_esl.sandbox.channels import Channel, now_us
from vsi_esl.sandbox.live import Ear
from vsi_esl.sandbox.samples import Voice, tone
from vsi_esl.sandbox.sofia import PROFILE_WHATSAPP, Gateway

from . import certs, hearing, listen
from .freeswitch import PrivateSwitch
from .metapeer import MetaPeer
from .rtp import RATE, key_tone
from .server import Server
from .sipmessage import bracketed
from .sipua import TRUNK, Call, UserAgent
from .sipwire import Wire
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
    def leg(self) -> str:
        """The id of the call's leg."""
        return self._channel.uuid

    @property
    def seen(self) -> list[str]:
        return self._channel.far.seen

    @property
    def digits(self) -> str:
        return self._channel.far.digits if self._channel.far.rfc4733 else ""

    @property
    def codec(self) -> str:
        return {"OPUS": "opus"}.get(self._channel.codec, self._channel.codec)

    @property
    def packets(self) -> float:
        """RTP packets sent to the switch."""
        channel = self._channel
        running = (now_us() - channel.rtp_since) / 20_000 if channel.rtp_since else 0
        return channel.packets_before + running

    def wait(self, what: str, timeout: float = 20.0) -> None:
        eventually(lambda: any(one.startswith(what) for one in self.seen), f"{what} in {self.seen}", timeout)

    def _act(self, action: Callable[..., Any], *args: Any) -> None:
        action(*args)
        self._switch.flush()

    def hang_up(self) -> None:
        self._act(self._switch.far_ends.hang_up, self._channel)

    def cancel(self) -> None:
        self._act(self._switch.far_ends.cancel, self._channel)

    def dtmf(self, digits: str) -> None:
        self._act(self._switch.calls.dtmf, self._channel, digits)

    def info(self, digits: str) -> None:
        """Digits by INFO."""
        self._act(self._switch.calls.dtmf, self._channel, digits, "ENDPOINT")

    def tones(self, digits: str) -> None:
        """Digits as they sound."""
        self._act(self._switch.calls.dtmf, self._channel, digits, "INBAND_AUDIO")

    @property
    def infos(self) -> str:
        """The digits it was sent by INFO."""
        return "" if self._channel.far.rfc4733 else self._channel.far.digits

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
        self._act(self._switch.far_ends.refer, self._channel, target)

    def hangs_up_at_report(self) -> None:
        """Its BYE crosses the next interim report on its REFER."""
        self._channel.far.bye_at_report = True

    def answers_reports(self, code: int) -> None:
        """On its REFERs."""
        self._channel.far.report_code = code

    def answers_refer(self, code: int, challenge: bool = False) -> None:
        """Answer REFERs so; 0 is not at all."""
        self._channel.far.refer_code, self._channel.far.refer_challenge = code, challenge

    def answer_refer(self, code: int) -> None:
        """Answer the last REFER, which has not been answered."""
        self._act(self._switch.refers.answer, self._channel, code, self._channel.cseq)

    @property
    def referred(self) -> list[str]:
        """The Refer-To of each REFER that came."""
        return self._channel.far.referred

    @property
    def identity(self) -> str:
        """The dialog as Replaces has it, for whoever is to call this end."""
        channel = self._channel
        return f"{channel.uuid}@sandbox;to-tag={channel.far_tag};from-tag={channel.own_tag}"

    def notify(self, line: str, state: str = "active;expires=60", event: str = "refer") -> None:
        """Report how far what a REFER asked for is; without `line` there is no body."""
        self._act(self._switch.refers.notify, self._channel, line, state, event)

    @property
    def reports(self) -> list[str]:
        """What it was told of its REFERs: status line and state of the subscription."""
        return self._channel.far.reports

    @property
    def wrongs(self) -> list[str]:
        """What it was sent that a strict peer does not take."""
        return self._channel.far.wrongs

    @property
    def dialog(self) -> tuple[str, str, str]:
        """Call-ID, its own tag, and the switch's."""
        channel = self._channel
        return channel.variables["sip_call_id"], channel.far_tag, channel.own_tag

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

    @property
    def request_uri(self) -> str:
        assert self._channel.dialled is not None
        return self._channel.dialled.uri


class SandboxMeta:
    """Meta's gateway, as the sandbox has it."""

    target = "127.0.0.1;transport=tls"

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def call(self, to: str = "+15550100", from_: str = "15559999", **more: Any) -> SandboxPeer:
        """A WhatsApp user calls: `headers`, `host`, `offer` and `lite` as `MetaPeer.call` has them."""
        request = {
            "to": to,
            "from": f"+{from_}",
            **{name: one for name, one in more.items() if one is not None},
        }
        channel = meta.calls(self._switch, request)
        self._switch.flush()
        return SandboxPeer(self._switch, channel)

    def called(self) -> SandboxPeer:
        """The last call of a business."""
        eventually(lambda: bool(self._outbound()), "somebody calls")
        return SandboxPeer(self._switch, self._outbound()[-1])

    def _outbound(self) -> list[Channel]:
        there = self._switch.channels.values()
        return [
            one
            for one in there
            if one.name.startswith(f"sofia/{PROFILE_WHATSAPP}") and one.direction == "outbound"
        ]


class SandboxDriver:
    """A sandbox of its own, within the test process."""

    name = "sandbox"
    missing_codecs: frozenset[str] = frozenset()

    def __init__(self, tether: str = "") -> None:
        self.switch = SandboxSwitch(heartbeat_s=1.0, tether=tether)
        self.switch.start()
        self.host, self.port = self.switch.address
        self.password = self.switch.password
        self.version = "sandbox"
        self.meta = SandboxMeta(self.switch)

    def call(self, to: str = "+15550199", from_: str = "+15550100", **more: Any) -> SandboxPeer:
        request = {"to": to, "from": from_, **more}
        channel = self.switch.far_ends.call(request)
        self.switch.flush()
        return SandboxPeer(self.switch, channel)

    def uri(self, behaviour: str, transport: str = "", host: str = "127.0.0.1") -> str:
        return f"sip:{behaviour}@{bracketed(host)}" + (f";transport={transport}" if transport else "")

    def trunk(self, name: str, host: str) -> None:
        """A trunk of the operator's to the callees, which speaks for trunk@host and knows the password."""
        user, password = farend.TRUNK
        self.switch.sofia.add(Gateway(name, user, password, host))
        self.switch.flush()

    def unreachable(self) -> str:
        return "sip:nobody@127.0.0.1:1"

    def elsewhere(self) -> tuple[str, str, str]:
        """The dialog of a call that somebody has with others than the switch: Call-ID, own tag, theirs."""
        return "abc@elsewhere", "t-1", "f-1"

    def callee(self) -> SandboxPeer:
        outbound: list[Channel] = []

        def called() -> bool:
            outbound[:] = [
                one
                for one in self.switch.channels.values()
                if one.direction == "outbound" and one.name.startswith("sofia")
            ]
            return bool(outbound)

        eventually(called, "somebody is called")
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

    def wait(self, what: str, timeout: float = 20.0) -> None:
        self._call.wait(lambda call: any(one.startswith(what) for one in call.seen), timeout)

    def hang_up(self) -> None:
        self._call.bye()

    def cancel(self) -> None:
        self._call.cancel()

    def dtmf(self, digits: str) -> None:
        self._call.dtmf(digits)

    def info(self, digits: str) -> None:
        for digit in digits:
            self._call.info(digit)

    def tones(self, digits: str) -> None:
        for digit in digits:
            self._call.rtp.say(key_tone(digit), RATE)

    @property
    def infos(self) -> str:
        bodies = [one.body for one in self._call.messages if one.start.startswith("INFO ")]
        return "".join(body.partition("Signal=")[2][:1] for body in bodies)

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

    def hangs_up_at_report(self) -> None:
        self._call.bye_at_report = True

    def answers_reports(self, code: int) -> None:
        self._call.report_code = code

    def answers_refer(self, code: int, challenge: bool = False) -> None:
        self._call.refer_code = code
        header = "www-authenticate" if code == 401 else "proxy-authenticate"
        self._call.refer_headers = {header: 'Digest realm="test", nonce="n"'} if challenge else {}

    def answer_refer(self, code: int) -> None:
        self._call.answer_refer(code)

    @property
    def referred(self) -> list[str]:
        return self._call.referred

    @property
    def identity(self) -> str:
        return self._call.identity

    @property
    def wrongs(self) -> list[str]:
        return self._call.wrongs

    def notify(self, line: str, state: str = "active;expires=60", event: str = "refer") -> None:
        self._call.notify(line, state, event)

    @property
    def reports(self) -> list[str]:
        notifies = (one for one in self._call.messages if one.start.startswith("NOTIFY "))
        return [
            f"{one.body.strip()} {one.get('subscription-state')}"
            for one in notifies
            if one.get("event").startswith("refer")
        ]

    @property
    def dialog(self) -> tuple[str, str, str]:
        return self._call.call_id, self._call.tag, self._call.remote.rpartition("tag=")[2]

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

    @property
    def request_uri(self) -> str:
        """Whom the INVITE is for."""
        assert self._call.invite is not None
        return self._call.invite.start.split()[1]


class SipDriver:
    """A SIP user agent as everybody else."""

    def __init__(self, host: str, port: int) -> None:
        self.agent = UserAgent((host, port))
        self._agents = {("udp", "127.0.0.1"): self.agent}
        self.trust: Path | None = None
        """Where the certificates of the callees are."""

    def call(self, to: str = "+15550199", from_: str = "+15550100", **more: Any) -> SipPeer:
        talk = more.pop("talk", False)
        codecs = [{"OPUS": "opus"}.get(name, name) for name in more.pop("codecs", [])]
        call = self.agent.call(to, from_, codecs=codecs or None, **more)
        peer = SipPeer(call)
        peer.talk(talk)
        return peer

    def uri(self, behaviour: str, transport: str = "", host: str = "127.0.0.1") -> str:
        """Whom to call; over TCP, TLS or IPv6 it is another agent that answers."""
        way = (transport or "udp", host)
        if way not in self._agents:
            self._agents[way] = UserAgent(self.agent.switch, Wire(*way, trust=self.trust))
        suffix = f";transport={transport}" if transport else ""
        return f"sip:{behaviour}@{self._agents[way].at}{suffix}"

    def unreachable(self) -> str:
        return "sip:nobody@127.0.0.1:1"

    def elsewhere(self) -> tuple[str, str, str]:
        call = Call(self.agent, "abc@elsewhere")
        call.local, call.remote, call.target = (
            "<sip:test@127.0.0.1>",
            "<sip:other@127.0.0.1>;tag=f-1",
            "sip:a@b",
        )
        self.agent.calls[call.call_id] = call
        return call.call_id, call.tag, "f-1"

    def callee(self) -> SipPeer:
        found: list[Call] = []

        def called() -> bool:
            calls = [call for agent in self._agents.values() for call in agent.calls.values()]
            found[:] = sorted((call for call in calls if call.incoming), key=lambda call: call.began)
            return bool(found)

        eventually(called, "somebody is called")
        return SipPeer(found[-1])

    def forget(self) -> None:
        """All calls so far."""
        for agent in self._agents.values():
            for call in agent.calls.values():
                call.rtp.close()
            agent.calls.clear()

    def stop(self) -> None:
        for agent in self._agents.values():
            agent.stop()


class FreeswitchDriver(SipDriver):
    """A private FreeSWITCH for the whole run."""

    name = "freeswitch"

    def __init__(self, directory: Path, owner: dict[str, Any] | None = None) -> None:
        certificates = certs.make(directory / "tls")
        self.switch = PrivateSwitch(directory, owner=owner, tls=certificates)
        self.switch.start()
        self.switch.api("load mod_audio_fork")  # where there is one
        self.host, self.port = "127.0.0.1", self.switch.esl_port
        self.password = self.switch.password
        self.version = self.switch.version
        super().__init__("127.0.0.1", self.switch.sip_port)
        self.trust = certificates

    def trunk(self, name: str, host: str) -> None:
        user, password = TRUNK
        proxy = self.agent.at
        self.switch.gateway(
            name, username=user, password=password, from_domain=host, proxy=proxy, register="false"
        )

    @cached_property
    def meta(self) -> MetaPeer:
        """Meta's gateway."""
        assert self.trust is not None
        return MetaPeer(self.trust, self.switch.whatsapp_port)

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
        if "meta" in self.__dict__:
            self.meta.forget()

    def channels(self, prefix: str = "") -> list[str]:
        """The ids of all channels that begin so. The switch's list also has rows of channels that there
        are no more: one that ended while it was told to record leaves one for good."""
        rows = json.loads(self.switch.api("show channels as json")).get("rows", [])
        ids = [row["uuid"] for row in rows if row["uuid"].startswith(prefix)]
        return [one for one in ids if self.switch.api(f"uuid_exists {one}").strip() == "true"]

    def stop(self) -> None:
        super().stop()
        if "meta" in self.__dict__:
            self.meta.stop()
            self.switch.kill9()  # at times it waits 20 s for its connections over TLS
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


Driver = SandboxDriver | FreeswitchDriver | ForeignDriver
