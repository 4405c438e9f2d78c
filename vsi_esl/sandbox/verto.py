"""The sandbox's mod_verto: one profile, one user, and the calls of browsers; and the browsers' end of them.

As on a switch: a call is answered towards its client at once and is `early` until the browser's DTLS
handshake is over (CALL_SECURE), or it is moved; it is lost with its WebSocket when it is early, and without
media behind it when it is not.
"""

from __future__ import annotations

import re
import secrets
import socket
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gevent
import orjson
from gevent.server import StreamServer
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from .channels import Channel, FarEnd

if TYPE_CHECKING:
    from .server import SandboxSwitch

USER = "vsi@vsi"
ANSWER_S = 0.05
DETACHED_S = 10.0
PARK_LIMIT_S = 20.0
CANDIDATE = re.compile(r"(?m)^a=candidate:\S+ 1 udp \d+ [0-9.]+ \d+ typ ")
OPUS = re.compile(r"(?mi)^a=rtpmap:(\d+) opus/48000")
DIGITS = re.compile(r"(?mi)^a=rtpmap:(\d+) telephone-event/48000")
INCOMPATIBLE, INCOMPATIBLE_CODE = "INCOMPATIBLE_DESTINATION", 88
LOST = "DESTINATION_OUT_OF_ORDER"
EXPIRED = "RECOVERY_ON_TIMER_EXPIRE"
SECURE = "srtp:dtls:AES_CM_128_HMAC_SHA1_80"


class Client:
    """One WebSocket of it."""

    def __init__(self, verto: Verto, sock: socket.socket) -> None:
        self._verto = verto
        self._socket = sock
        self._protocol = ServerProtocol()
        self._logged_in = False
        self._session = str(uuid.uuid4())
        self._id = 0
        self.greenlet = gevent.getcurrent()

    def run(self) -> None:
        """Until it is closed."""
        try:
            while data := self._socket.recv(65_536):
                self._protocol.receive_data(data)
                for event in self._protocol.events_received():
                    if isinstance(event, Request):
                        self._protocol.send_response(self._protocol.accept(event))
                    elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        self._taken(bytes(event.data))
                self._flush()
                if self._protocol.close_expected():
                    return
        except OSError:
            return

    def close(self) -> None:
        """At once."""
        self._socket.close()

    def tell(self, method: str, **params: Any) -> None:
        """A request of the switch."""
        self._id += 1
        self._send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(orjson.dumps(message))
            self._flush()

    def _flush(self) -> None:
        with suppress(OSError):
            self._socket.sendall(b"".join(self._protocol.data_to_send()))

    def _taken(self, text: bytes) -> None:
        try:
            message = orjson.loads(text)
            number, method, params = message["id"], message["method"], message["params"]
        except (ValueError, LookupError, TypeError):
            return
        if not self._logged_in and not (method == "login" and self._may(params)):
            asked = method == "login"
            text_of = "Authentication Failure" if asked else "Authentication Required"
            error = {"code": -32001 if asked else -32000, "message": text_of}
            self._send({"jsonrpc": "2.0", "id": number, "error": error})
        elif method == "login":
            self._logged_in = True
            self._result(number, message="logged in")
            self.tell("verto.clientReady", reattached_sessions=[])
        elif method == "verto.invite":
            self._invite(number, params)
        elif method == "verto.bye":
            self._verto.hung_up(str(params["dialogParams"]["callID"]))
            self._result(number, message="CALL ENDED")

    def _may(self, params: dict[str, Any]) -> bool:
        return params.get("login") == USER and params.get("passwd") == self._verto.password

    def _result(self, number: Any, **result: Any) -> None:
        self._send({"jsonrpc": "2.0", "id": number, "result": {**result, "sessid": self._session}})

    def _invite(self, number: Any, params: dict[str, Any]) -> None:
        dialog = params["dialogParams"]
        channel_id = str(dialog["callID"])
        if not self._verto.begin(self, channel_id, str(params["sdp"]), dict(dialog.get("userVariables", {}))):
            error = {"code": -32002, "message": "Cannot create channel", "causeCode": 27}
            self._send({"jsonrpc": "2.0", "id": number, "error": error})
            return
        self._result(number, message="CALL CREATED", callID=channel_id)


class Verto:
    """The profile, its clients, and whose call is whose."""

    def __init__(self, switch: SandboxSwitch, host: str) -> None:
        self._switch = switch
        self.password = secrets.token_hex(16)
        self._server = StreamServer((host, 0), self._accept)
        self._clients: set[Client] = set()
        self._of_channel: dict[str, Client] = {}
        self._offers: dict[str, str] = {}

    def start(self) -> None:
        """Listen; where, and the password, are global variables of the switch."""
        self._server.start()
        self._switch.globals |= {
            "vsi_verto_port": str(self._server.server_port),
            "vsi_verto_password": self.password,
        }

    def stop(self) -> None:
        """Be gone."""
        self._server.stop(timeout=0.5)
        self.drop_clients()
        gevent.killall([client.greenlet for client in self._clients], timeout=1)

    def drop_clients(self) -> None:
        """Cut every connection."""
        for client in list(self._clients):
            client.close()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def _accept(self, sock: socket.socket, _: Any) -> None:
        client = Client(self, sock)
        self._clients.add(client)
        try:
            client.run()
        finally:
            self._clients.discard(client)
            client.close()
            for channel_id in [one for one, whose in self._of_channel.items() if whose is client]:
                del self._of_channel[channel_id]
                if (channel := self._switch.channels.get(channel_id)) is not None:
                    self._left_alone(channel)

    def _left_alone(self, channel: Channel) -> None:
        if channel.answer_state != "answered":
            self._switch.calls.hangup(channel, LOST)
            return
        channel.count_rtp(False)
        self._switch.far_ends.say(channel, None)
        channel.timers.later(DETACHED_S, self._switch.calls.hangup, channel, EXPIRED)

    # -- calls -----------------------------------------------------------------------------------------------

    def begin(self, client: Client, channel_id: str, sdp: str, variables: dict[str, str]) -> bool:
        """A call; False when there is such a channel already, or there can be no more."""
        if channel_id in self._switch.channels or self._switch.full:
            return False
        channel = Channel("verto.rtc/vsi", "inbound", FarEnd("browser", ("OPUS",)), channel_id, verto=True)
        channel.caller_number = channel.caller_name = channel.destination = "vsi"
        channel.far.sends_rtp = False
        channel.variables |= {"uuid": channel_id, "direction": "inbound", "verto_user": USER}
        channel.variables |= {f"verto_dvar_{name}": value for name, value in variables.items()}
        self._of_channel[channel_id] = client
        self._offers[channel_id] = sdp
        self._switch.add(channel)
        self._switch.calls.fire("CHANNEL_CREATE", channel)
        channel.variables |= {
            "vsi_leg": "outbound",
            "vsi_type": "webrtc",
            "playback_terminators": "none",
            "hold_music": "silence",
            "media_timeout": variables.get("vsi_media_timeout", ""),
            "send_silence_when_idle": "-1",
        }
        self._switch.calls.schedule_hangup(channel, PARK_LIMIT_S, "NORMAL_TEMPORARY_FAILURE")
        channel.timers.later(ANSWER_S, self._answer, channel, sdp)
        return True

    def _answer(self, channel: Channel, offer: str) -> None:
        opus = OPUS.search(offer)
        client = self._of_channel.get(channel.uuid)
        if client is None:
            return
        if opus is None or CANDIDATE.search(offer) is None or "\nm=audio " not in offer:
            self._switch.calls.hangup(channel, INCOMPATIBLE)
            return
        digits = DIGITS.search(offer)
        ufrag = secrets.token_hex(8)
        channel.variables["rtp_ice_ufrag"] = ufrag
        client.tell("verto.answer", callID=channel.uuid, sdp=_answered(opus[1], digits and digits[1], ufrag))
        channel.start_media("OPUS")
        channel.answer_state = "early"
        self._switch.calls.fire("CHANNEL_PROGRESS_MEDIA", channel)
        self._switch.calls.set_call_state(channel, "EARLY")
        self._switch.calls.watch_media(channel)
        self._switch.dialplan.execute(channel, "answer", "")

    def ended(self, channel: Channel, cause: str) -> None:
        """Of a call: its client is told."""
        client = self._of_channel.pop(channel.uuid, None)
        self._offers.pop(channel.uuid, None)
        if client is not None:
            code = INCOMPATIBLE_CODE if cause == INCOMPATIBLE else 16
            client.tell("verto.bye", callID=channel.uuid, causeCode=code, cause=cause)

    def hung_up(self, channel_id: str) -> None:
        """The client ends a call."""
        if (channel := self._switch.channels.get(channel_id)) is not None:
            self._switch.calls.hangup(channel, "NORMAL_CLEARING")

    # -- browsers --------------------------------------------------------------------------------------------

    def offer_of(self, channel_id: str) -> str:
        """What the switch was given for a call."""
        return self._offers[channel_id]

    def answered_with(self, ufrag: str) -> Channel:
        """The call with this in its answer."""
        return next(
            one for one in self._switch.channels.values() if one.variables.get("rtp_ice_ufrag") == ufrag
        )

    def connect(self, channel: Channel) -> None:
        """The call's browser has ended its handshake: media flows."""
        channel.variables["rtp_has_crypto"] = SECURE
        for _ in range(2):  # one for each direction
            self._switch.fire("CALL_SECURE", {"secure_type": SECURE, "caller-unique-id": channel.uuid})
        channel.count_rtp(True)
        self._switch.calls.watch_media(channel)
        self._switch.far_ends.speak(channel)
        if channel.application == "answer":
            self._switch.dialplan.let_go(channel)
        self._switch.flush()

    def forged(self, channel: Channel) -> None:
        """The call's browser has another certificate than its offer says."""
        self._switch.calls.hangup(channel, LOST)
        self._switch.flush()


def _answered(opus: str, digits: str | None, ufrag: str) -> str:
    payloads = opus if digits is None else f"{opus} {digits}"
    lines = [
        "v=0",
        "o=FreeSWITCH 1 2 IN IP4 127.0.0.1",
        "s=FreeSWITCH",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "a=msid-semantic: WMS sandbox",
        f"m=audio 9 UDP/TLS/RTP/SAVPF {payloads}",
        f"a=rtpmap:{opus} opus/48000/2",
        f"a=fmtp:{opus} useinbandfec=1; cbr=1; minptime=10",
        *([f"a=rtpmap:{digits} telephone-event/48000"] if digits else []),
        "a=ptime:20",
        "a=sendrecv",
        "a=fingerprint:sha-256 " + ":".join(["0C"] * 32),
        "a=setup:active",
        "a=rtcp-mux",
        "a=rtcp:9 IN IP4 127.0.0.1",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{secrets.token_hex(12)}",
        "a=candidate:8053554865 1 udp 2130706431 127.0.0.1 9 typ host generation 0",
        "a=end-of-candidates",
        "a=ssrc:588257062 cname:sandbox",
    ]
    return "\r\n".join(lines) + "\r\n"
