"""Meta's side of WhatsApp calls, on loopback: SIP over TLS, digest, descriptions as its gateways write them.

Users called are known by their number, which says what becomes of the call: see `Users`.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event as Signal
from gevent.server import StreamServer

from .dtlsmedia import DtlsMedia, Remote
from .sipmessage import Message

BUSINESS = "15550100"
PASSWORD = 'me;ta,"pass'


class Users:
    """Numbers without +, of whom a business can call. The same as in the sandbox."""

    ANSWERS = "15550001"
    """180, then 200."""
    RINGS = "15550002"
    """180, then told."""
    REJECTS = "15550003"
    """486."""
    SILENT = "15550004"
    """100 and no more."""
    NO_SDP = "15550005"
    """200 without a description."""
    PLAIN_SDP = "15550006"
    """200 with plain RTP."""
    OTHER_CODEC = "15550007"
    """200 with a codec that was not offered."""
    LITE = "15550009"
    """180, then 200, by a gateway with ICE lite."""


def description(media: DtlsMedia, setup: str, *, opus: int = 111, more: tuple[str, ...] = ()) -> str:
    """An offer or answer as Meta's gateways write it: opus, telephone-event 126, everything on one port."""
    lines = [
        "v=0",
        "o=- 1741113186367 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE audio",
        "a=msid-semantic: WMS 632a909d-1060-4369-96a4-7cb03e291ee0",
        *[line for line in media.attributes(setup) if line == "a=ice-lite"],
        f"m=audio {media.port} UDP/TLS/RTP/SAVPF {opus} 126",
        f"c=IN IP4 {media.host}",
        "a=rtcp:9 IN IP4 0.0.0.0",
        *[line for line in media.attributes(setup) if line != "a=ice-lite"],
        "a=mid:audio",
        "a=sendrecv",
        "a=rtcp-mux",
        f"a=rtpmap:{opus} opus/48000/2",
        f"a=rtcp-fb:{opus} transport-cc",
        f"a=fmtp:{opus} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;useinbandfec=1",
        "a=rtpmap:126 telephone-event/8000",
        "a=maxptime:20",
        "a=ptime:20",
        *more,
    ]
    return "\r\n".join(lines) + "\r\n"


PLAIN = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class MetaCall:
    """One call. `seen` lists what came from the switch, in order: response codes and requests."""

    def __init__(self, peer: MetaPeer, connection: Any, call_id: str) -> None:
        self._peer = peer
        self._connection = connection
        self.call_id = call_id
        self.media = DtlsMedia(lite=peer.lite)
        self.seen: list[str] = []
        self.messages: list[Message] = []
        self.invite: Message | None = None
        self.number = ""
        self.authorized = False
        self._tag = uuid.uuid4().hex[:10]
        self._local = self._remote = self._target = ""
        self._cseq = 1
        self._branch = ""
        self._changed = Signal()

    def wait(self, what: str | Callable[[MetaCall], bool], timeout: float = 20.0) -> None:
        """Wait until something was seen (such as "180" or "BYE"), or a condition holds."""
        if isinstance(what, str):
            wanted = what
            condition = lambda call: any(one.startswith(wanted) for one in call.seen)  # noqa: E731
        else:
            condition = what
        with gevent.Timeout(timeout, AssertionError(f"no {what!r} in {timeout} s; seen {self.seen}")):
            while not condition(self):
                self._changed.clear()
                self._changed.wait(0.02)

    def message(self, what: str) -> Message:
        """The first message that was noted under this name in `seen`."""
        return self.messages[self.seen.index(what)]

    def header(self, name: str) -> str:
        """Of the INVITE that came."""
        assert self.invite is not None
        return self.invite.get(name)

    def note(self, what: str, message: Message) -> None:
        self.seen.append(what)
        self.messages.append(message)
        self._changed.set()

    # -- it calls ------------------------------------------------------------------------------------------

    def dial(self, to: str, host: str, headers: dict[str, str], body: str | None) -> None:
        port = self._peer.switch_port
        self._local = f'"Jane" <sip:+{self.number}@{host}>'
        self._target = f"sip:{to}@127.0.0.1:{port};transport=tls"
        self._remote = f"<{self._target}>"
        offer = description(self.media, "actpass") if body is None else body
        self._request("INVITE", offer, headers)

    def cancel(self) -> None:
        request = self._message("CANCEL", self._cseq, self._branch)
        self._send(request)

    def hang_up(self) -> None:
        self._cseq += 1
        self._request("BYE")

    def dtmf(self, digits: str) -> None:
        self.media.press(digits)

    def offer_again(self, ufrag: str = "", password: str = "", method: str = "INVITE") -> Message:
        """Offer the media there is once more, under these ICE credentials or those it has; the answer."""
        offer = description(self.media, "actpass")
        for name, given in (("ice-ufrag", ufrag), ("ice-pwd", password)):
            if given:
                offer = re.sub(rf"a={name}:\S+", f"a={name}:{given}", offer)
        self._cseq += 1
        self._request(method, offer.replace("7 2 IN IP4", f"7 {self._cseq + 2} IN IP4"))
        cseq = f"{self._cseq} {method}"

        def answers() -> list[Message]:
            return [one for one in self.messages if one.status and one.get("cseq") == cseq]

        self.wait(lambda _: bool(answers()))
        return answers()[-1]

    def _request(self, method: str, body: str = "", headers: dict[str, str] | None = None) -> None:
        request = self._message(method, self._cseq)
        for name, value in (headers or {}).items():
            request.headers[name] = [value]
        if body:
            request.headers["content-type"] = ["application/sdp"]
            request.body = body
        if method == "INVITE":
            self._branch = request.get("via").rpartition("branch=")[2]
        self._send(request)

    def _message(self, method: str, cseq: int, branch: str = "") -> Message:
        branch = branch or f"z9hG4bK{uuid.uuid4().hex[:12]}"
        return Message(
            f"{method} {self._target} SIP/2.0",
            {
                "via": [f"SIP/2.0/TLS 127.0.0.1:{self._peer.port};branch={branch};rport"],
                "from": [f"{self._local};tag={self._tag}"],
                "to": [self._remote],
                "call-id": [self.call_id],
                "cseq": [f"{cseq} {method}"],
                "contact": [f"<sip:meta@127.0.0.1:{self._peer.port};transport=tls>"],
                "max-forwards": ["70"],
                "user-agent": ["Facebook SipGateway"],
            },
        )

    def _send(self, message: Message) -> None:
        self._connection.sendall(bytes(message))

    # -- it is called --------------------------------------------------------------------------------------

    def ring(self) -> None:
        self.respond(180)

    def answer(self, body: str | None = None, setup: str = "passive") -> None:
        """200, with the description of its media (or another body)."""
        assert self.invite is not None
        own = description(self.media, setup)
        if "a=fingerprint" in self.invite.body:
            self.media.start(Remote.of(self.invite.body), client=setup == "active")
        self.respond(200, own if body is None else body)

    def respond(self, code: int, body: str = "", **headers: str) -> None:
        assert self.invite is not None
        self._reply(self.invite, code, body, headers)

    def _reply(
        self, request: Message, code: int, body: str = "", headers: dict[str, str] | None = None
    ) -> None:
        to = request.get("to")
        if code > 100 and "tag=" not in to:
            to += f";tag={self._tag}"
        answer = Message(
            f"SIP/2.0 {code} Whatever",
            {
                "via": request.headers["via"],
                "from": [request.get("from")],
                "to": [to],
                "call-id": [request.get("call-id")],
                "cseq": [request.get("cseq")],
                "contact": [f"<sip:meta@127.0.0.1:{self._peer.port};transport=tls>"],
            },
        )
        for name, value in (headers or {}).items():
            answer.headers[name.replace("_", "-")] = [value]
        if body:
            answer.headers["content-type"] = ["application/sdp"]
            answer.body = body
        self._send(answer)

    # -- what comes ----------------------------------------------------------------------------------------

    def on_response(self, message: Message) -> None:
        if message.method == "INVITE" and message.status >= 200:
            self._acknowledge(message)
        if message.status == 100:
            return
        if message.method == "INVITE" and "a=fingerprint" in message.body and not self.media.started:
            remote = Remote.of(message.body)
            self.media.start(remote, client=remote.setup == "passive")
        self.note(
            str(message.status) if message.method == "INVITE" else f"{message.status} {message.method}",
            message,
        )

    def _acknowledge(self, message: Message) -> None:
        if message.status < 300:
            contact = re.search(r"<([^>]+)>", message.get("contact"))
            self._target = contact[1] if contact else self._target
        self._remote = message.get("to")
        number = int(message.get("cseq").split()[0])
        self._send(self._message("ACK", number, "" if message.status < 300 else self._branch))

    def on_request(self, message: Message) -> None:
        method = message.method
        if method == "INVITE" and self.invite is None:
            self._called(message)
            return
        self.note(method, message)
        if method == "INVITE":
            self._reply(message, 488)  # Meta takes no re-INVITE
        elif method == "CANCEL":
            self._reply(message, 200)
            assert self.invite is not None
            self._reply(self.invite, 487)
        elif method != "ACK":
            self._reply(message, 200)

    def _called(self, message: Message) -> None:
        self._reply(message, 100)
        if not self._peer.knows(message):
            self.note("INVITE without credentials", message)
            challenge = (
                f'Digest realm="{self._peer.realm}", nonce="{uuid.uuid4().hex}", algorithm=MD5, qop="auth"'
            )
            name = "www_authenticate" if self._peer.challenge == 401 else "proxy_authenticate"
            self._reply(message, self._peer.challenge, headers={name: challenge})
            return
        self.invite = message
        self._local, self._remote = message.get("to"), message.get("from")
        contact = re.search(r"<([^>]+)>", message.get("contact"))
        self._target = contact[1] if contact else ""
        self.note("INVITE", message)
        user = re.match(r"INVITE sip:\+([^@;]*)@", message.start)
        self.number = user[1] if user else ""
        gevent.spawn(self._behave)

    def _behave(self) -> None:
        match self.number:
            case Users.ANSWERS:
                self.ring()
                self.answer(setup=self._peer.setup)
            case Users.LITE:
                self.media.lite = True
                self.ring()
                self.answer(setup=self._peer.setup)
            case Users.RINGS:
                self.ring()
            case Users.REJECTS:
                self.respond(486)
            case Users.NO_SDP:
                self.respond(200)
            case Users.PLAIN_SDP:
                self.answer(PLAIN)
            case Users.OTHER_CODEC:
                self.answer(description(self.media, "passive").replace("opus/48000/2", "speex/8000"))


class MetaPeer:
    """A TLS listener, and calls over TLS to the switch. `trust` is a directory with its certificate and the
    authority that it trusts. With `lite` its media is ICE lite; `setup` is its DTLS role as answerer."""

    def __init__(self, trust: Path, switch_port: int) -> None:
        self.switch_port = switch_port
        self.lite = False
        self.setup = "passive"
        self.realm = "wa.meta.vc"
        self.challenge = 407
        self.users = {BUSINESS: PASSWORD}
        self.calls: list[MetaCall] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(trust / "agent.pem")
        self._client = ssl.create_default_context(cafile=str(trust / "cafile.pem"))
        self._server = StreamServer(("127.0.0.1", 0), self._serve, ssl_context=context)
        self._server.start()
        self.port: int = self._server.server_port
        self._readers: list[Any] = []
        self._connections: list[Any] = []

    @property
    def target(self) -> str:
        """Where the switch reaches it, in place of Meta's gateway."""
        return f"127.0.0.1:{self.port};transport=tls"

    def call(
        self,
        to: str = "+15550100",
        from_: str = "15559999",
        *,
        host: str = "wa.meta.vc",
        headers: dict[str, str] | None = None,
        offer: str | None = None,
        lite: bool = True,
        silent: bool = False,
    ) -> MetaCall:
        """A WhatsApp user calls; `offer` is in the place of the usual one. With `lite` the gateway's media is
        ICE lite, as Meta's is; a `silent` one answers nothing."""
        self.lite = lite
        raw = socket.create_connection(("127.0.0.1", self.switch_port), 5)
        connection = self._client.wrap_socket(raw, server_hostname="127.0.0.1")
        connection.settimeout(None)  # the switch may have nothing to say for longer
        self._connections.append(connection)
        call = MetaCall(self, connection, f"{uuid.uuid4()}@meta")
        call.number, call.media.silent = from_, silent
        self.calls.append(call)
        self._readers.append(gevent.spawn(self._serve, connection, None))
        call.dial(to, host, headers or {}, offer)
        return call

    def called(self, timeout: float = 20.0) -> MetaCall:
        """The last call that came in."""
        with gevent.Timeout(timeout, AssertionError("nobody called")):
            while not (found := [call for call in self.calls if call.invite is not None]):
                gevent.sleep(0.01)
        return found[-1]

    def knows(self, request: Message) -> bool:
        """Whether a request has the credentials of a business (RFC 7616)."""
        given = request.get("authorization") or request.get("proxy-authorization")
        if not given:
            return False
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        password = self.users.get(fields.get("username", ""), "")
        secret = _md5(f"{fields.get('username')}:{self.realm}:{password}")
        subject = _md5(f"{request.method}:{fields['uri']}")
        parts = [secret, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], subject]
        return bool(password) and _md5(":".join(parts)) == fields.get("response")

    def forget(self) -> None:
        """All calls so far."""
        for call in self.calls:
            call.media.stop()
        self.calls.clear()
        self.lite, self.setup = False, "passive"

    def stop(self) -> None:
        self._server.stop(0.1)
        gevent.killall(self._readers)
        for call in self.calls:
            call.media.stop()
        for connection in self._connections:
            connection.close()

    def _serve(self, connection: Any, _address: Any) -> None:
        buffered = b""
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffered += data
            while True:
                buffered = buffered.lstrip(b"\r\n")
                head, separator, rest = buffered.partition(b"\r\n\r\n")
                if not separator:
                    break
                length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                size = int(length[1]) if length else 0
                if len(rest) < size:
                    break
                self._take(connection, Message.parse(head + separator + rest[:size]))
                buffered = rest[size:]

    def _take(self, connection: Any, message: Message) -> None:
        known = [call for call in self.calls if call.call_id == message.get("call-id")]
        if known:
            call = known[-1]
        elif message.status or message.method != "INVITE":
            return
        else:
            call = MetaCall(self, connection, message.get("call-id"))
            self.calls.append(call)
        if message.status:
            call.on_response(message)
        elif message.method == "ACK" and call.invite is None:
            return  # of a challenge
        else:
            call.on_request(message)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
