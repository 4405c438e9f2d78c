"""A programmable SIP user agent for tests: calls the switch, and is called by it, on loopback."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event as Signal

from .rtp import RtpStream
from .rtptext import TextStream
from .sipmessage import CODECS, USUAL, Message, bracketed, sdp
from .sipwire import Wire

TRUNK = ("trunk", 'trunk;pa,ss"x')
PHRASES = {
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    401: "Unauthorized",
    404: "Not Found",
    422: "Session Interval Too Small",
    407: "Proxy Authentication Required",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    481: "Call/Transaction Does Not Exist",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    603: "Decline",
}


def tag(address: str) -> str:
    """The tag of a From or To; empty for none."""
    found = re.search(r";\s*tag=([^;>\s]+)", address.rpartition(">")[2])
    return found[1] if found else ""


class Call:
    """One dialog. `seen` lists what came from the switch: response codes and requests, in order."""

    def __init__(self, agent: UserAgent, call_id: str) -> None:
        self.agent = agent
        self.call_id = call_id
        self.began = time.monotonic()
        self.rtp = RtpStream(agent.host)
        self.text: TextStream | None = None
        self.local = self.remote = self.target = ""
        self.tag = uuid.uuid4().hex[:10]
        self.cseq = 1
        self.incoming = False
        self.invite: Message | None = None
        self.codecs = list(USUAL)
        self.codec = ""
        self.seen: list[str] = []
        self.messages: list[Message] = []
        self.ended = False
        self.hold_code = 0
        self.refer_code = 202
        """What a REFER is answered; 0 for nothing."""
        self.refer_headers: dict[str, str] = {}
        self.report_code = 200
        """What it answers reports on its REFERs."""
        self.bye_at_report = False
        """Its BYE crosses the next interim report on its REFER."""
        self.wrongs: list[str] = []
        """What the switch did within the dialog that a strict peer does not take."""
        self.remote_cseq = 0
        self.digits = True
        """Whether it takes part in RFC 4733."""
        self.offered = True
        """Its INVITE has an offer; else its ACK has the answer to that of the 200."""
        self.acknowledges = True
        self.holding = ""
        self._changed = Signal()
        self._answered_sdp = ""
        self._branch = ""
        self._sdp_version = 1

    # -- what a test asks ------------------------------------------------------------------------------

    def wait(self, what: str | Callable[[Call], bool], timeout: float = 20.0) -> None:
        """Wait until something was seen (such as "180" or "BYE"), or a condition holds."""
        condition = what if callable(what) else lambda call: what in call.seen
        with gevent.Timeout(timeout, AssertionError(f"no {what!r} in {timeout} s; seen {self.seen}")):
            while not condition(self):
                self._changed.clear()
                self._changed.wait(0.05)

    def message(self, what: str) -> Message:
        """The first message that was noted under this name in `seen`."""
        return self.messages[self.seen.index(what)]

    # -- what a test tells it to do ----------------------------------------------------------------------

    def dial(self, to: str, headers: dict[str, str], offer: bool = True) -> None:
        self.offered = offer
        host, port = self.agent.switch
        self.remote = f"<sip:{to}@{bracketed(host)}:{port}>"
        self.target = f"sip:{to}@{bracketed(host)}:{port}"
        text = (self.text.port, self.text.payload_type, 0) if self.text else None
        body = self._sdp(self.codecs, text=text) if offer else ""
        self.request("INVITE", body, headers)

    def cancel(self, reason: str = "") -> None:
        request = self._request("CANCEL", self.cseq, self._branch)
        request.headers["to"] = [self.remote]
        if reason:
            request.headers["reason"] = [reason]
        self.agent.send(request)

    def bye(self) -> None:
        self.request("BYE")
        self._finish()

    def dtmf(self, digits: str) -> None:
        self.rtp.dial(digits)

    def hold(self, direction: str = "sendonly") -> None:
        """Re-INVITE, and wait for its answer: a dialog has one INVITE under way at a time."""
        self._sdp_version += 1
        self.holding = direction if direction in ("sendonly", "inactive") else ""
        answers = sum(what.isdigit() for what in self.seen)
        self.request("INVITE", self._sdp([self.codec or "PCMU"], direction, self._sdp_version))
        self.wait(lambda call: sum(what.isdigit() for what in call.seen) > answers)

    def unhold(self) -> None:
        self.hold("sendrecv")

    def info(self, digit: str, kind: str = "dtmf-relay") -> None:
        """A digit by SIP INFO."""
        body = f"Signal={digit}\r\nDuration=160\r\n" if kind == "dtmf-relay" else digit
        self.request("INFO", body, content_type=f"application/{kind}")

    def refer(self, target: str, referred_by: str = "") -> None:
        headers = {"refer-to": f"<{target}>"}
        if referred_by:
            headers["referred-by"] = referred_by
        self.request("REFER", headers=headers)

    def notify(self, line: str, state: str, event: str = "refer") -> None:
        """How far what a REFER asked for is; without `line` there is no body."""
        headers = {"event": event}
        if state:
            headers["subscription-state"] = state
        body = f"{line}\r\n" if line else ""
        self.request("NOTIFY", body, headers, "message/sipfrag;version=2.0")

    def answer_refer(self, code: int) -> None:
        """Answer the last REFER, which has not been answered."""
        refer = next(one for one in reversed(self.messages) if one.start.startswith("REFER "))
        self.agent.reply(refer, code, self)

    @property
    def identity(self) -> str:
        """The dialog as Replaces has it, for whoever is to call this end."""
        return f"{self.call_id};to-tag={self.tag};from-tag={tag(self.remote)}"

    @property
    def referred(self) -> list[str]:
        """The Refer-To of each REFER that came."""
        return [message.get("refer-to") for message in self.messages if message.start.startswith("REFER ")]

    def ring(self) -> None:
        self.respond(180)

    def progress(self) -> None:
        self._media_from(self.invite)
        self.respond(183, self._own_sdp())

    def answer(self, codecs: list[str] | None = None) -> None:
        self._media_from(self.invite)
        body = self._sdp(codecs) if codecs else self._own_sdp()
        self.respond(200, body, self.agent.answers_with)

    def reject(self, code: int, **headers: str) -> None:
        self.respond(code, headers=headers)

    def request(
        self,
        method: str,
        body: str = "",
        headers: dict[str, str] | None = None,
        content_type: str = "application/sdp",
    ) -> None:
        self.cseq += method not in ("ACK", "CANCEL")
        request = self._request(method, self.cseq)
        for name, value in (headers or {}).items():
            request.headers[name] = [value]
        if body:
            request.headers["content-type"] = [content_type]
            request.body = body
        if method == "INVITE":
            self._branch = request.get("via").rpartition("branch=")[2]
        self.agent.send(request)

    def respond(self, code: int, body: str = "", headers: dict[str, str] | None = None) -> None:
        assert self.invite is not None
        self.agent.reply(self.invite, code, self, body, headers)

    # -- the dialog ----------------------------------------------------------------------------------------

    def _request(self, method: str, cseq: int, branch: str = "") -> Message:
        branch = branch or f"z9hG4bK{uuid.uuid4().hex[:12]}"
        return Message(
            f"{method} {self.target} SIP/2.0",
            {
                "via": [f"SIP/2.0/{self.agent.wire.transport.upper()} {self.agent.at};branch={branch}"],
                "from": [f"{self.local};tag={self.tag}"],
                "to": [self.remote],
                "call-id": [self.call_id],
                "cseq": [f"{cseq} {method}"],
                "contact": [self.agent.contact],
                "max-forwards": ["70"],
            },
        )

    def note(self, what: str, message: Message) -> None:
        self.seen.append(what)
        self.messages.append(message)
        self._changed.set()

    def on_response(self, message: Message) -> None:
        if message.method == "INVITE" and message.status >= 200 and self.acknowledges:
            self._acknowledge(message)
        if message.method != "INVITE" or message.status == 100:
            if message.method != "INVITE" and message.status >= 200:
                self.note(f"{message.status} {message.method}", message)
            return
        if message.status > 100 and "tag=" in message.get("to"):
            self.remote = message.get("to")
        if message.body:
            self._media_from(message)
        self.note(str(message.status), message)
        if message.status >= 300 and "200" not in self.seen:
            self._finish()

    def _acknowledge(self, message: Message) -> None:
        if message.status < 300:
            self.remote = message.get("to")
            contact = re.search(r"<([^>]+)>", message.get("contact"))
            self.target = contact[1] if contact else self.target
        number = int(message.get("cseq").split()[0])
        ack = self._request("ACK", number, "" if message.status < 300 else self._branch)
        ack.headers["to"] = [message.get("to")]
        if message.status == 200 and not self.offered and not self.codec:
            self._media_from(message)
            ack.headers["content-type"] = ["application/sdp"]
            ack.body = self._own_sdp()
        self.agent.send(ack)

    def _wrong(self, message: Message) -> str:
        """What is wrong with a request within the dialog (RFC 3261, 12.2.2); empty when it is right."""
        theirs, ours = tag(message.get("from")), tag(message.get("to"))
        if theirs != tag(self.remote) or ours != self.tag:
            return f"tags {theirs}, {ours} instead of {tag(self.remote)}, {self.tag}"
        number = int(message.get("cseq").split()[0])
        if message.method not in ("ACK", "CANCEL"):
            if number <= self.remote_cseq:
                return f"CSeq {number} after {self.remote_cseq}"
            self.remote_cseq = number
        return ""

    def on_request(self, message: Message) -> None:
        method = message.method
        if self.ended and method not in ("ACK", "CANCEL", "BYE"):
            self.agent.reply(message, 481, self)
            self.note(method, message)
            return
        if method != "CANCEL" and (wrong := self._wrong(message)):  # that has no tag in To
            if message.get("event") != "keep-alive":  # sent for its number, which then is one too many
                self.wrongs.append(f"{method}: {wrong}")
            self.agent.reply(message, 481 if wrong.startswith("tags") else 500, self)
            return
        if method == "INVITE":
            self.note(f"INVITE {message.direction}", message)
            if self.hold_code:
                self.agent.reply(message, self.hold_code, self)
                return
            answered = {"sendonly": "recvonly", "inactive": "inactive"}.get(message.direction, "sendrecv")
            if self.holding:
                # who holds sends at most, and does so still when it is offered more
                answered = "inactive" if answered in ("recvonly", "inactive") else self.holding
            self.agent.reply(message, 200, self, self._sdp([self.codec or "PCMU"], answered, 2))
        elif method == "BYE":
            self.agent.reply(message, 200, self)
            self.note("BYE", message)
            self._finish()
        elif method == "CANCEL":
            self.agent.reply(message, 200, self)
            if self.invite is not None and not self.ended:
                self.agent.reply(self.invite, 487, self)
            self.note("CANCEL", message)
            self._finish()
        elif method == "REFER":
            if self.refer_code:
                self.agent.reply(message, self.refer_code, self, headers=self.refer_headers)
            self.note(method, message)
        elif method != "ACK":
            self._informed(message)
            self.note(method, message)

    def _informed(self, message: Message) -> None:
        if self.bye_at_report and message.get("subscription-state").startswith("active"):
            self.bye_at_report = False
            self.bye()
            gevent.spawn(self._answer_behind_bye, message)
        else:
            code = self.report_code if message.get("event").startswith("refer") else 200
            self.agent.reply(message, code, self)

    def _answer_behind_bye(self, message: Message) -> None:
        self.wait(lambda call: any(what.endswith(" BYE") for what in call.seen))
        self.agent.reply(message, 481, self)

    def _own_sdp(self) -> str:
        text = None
        if self.incoming and self.invite is not None and self.invite.text_port:
            self.text = self.text or TextStream(self.invite.text_payload, self.invite.text_red)
            self.text.start(self.invite.text_port)
            text = (self.text.port, self.text.payload_type, self.text.red)
        return self._sdp([self.codec], text=text)

    def _sdp(self, codecs: list[str], *more: Any, **options: Any) -> str:
        made = sdp(self.rtp.port, codecs, *more, host=self.agent.host, digits=self.digits, **options)
        made = made.replace(" RTP/AVP ", f" {self.agent.audio_over} ", 1)
        return made + "".join(f"{line}\r\n" for line in self.agent.describes)

    def _media_from(self, message: Message | None) -> None:
        if message is None or not message.body:
            return
        self.codec = message.codec
        address = message.rtp_address
        if address and self.codec in CODECS:
            self.rtp.start(address, CODECS[self.codec][0])
        if self.text is not None and message.text_port:
            self.text.start(message.text_port)

    def _finish(self) -> None:
        self.ended = True
        self.rtp.close()
        if self.text is not None:
            self.text.close()
        self._changed.set()


class UserAgent:
    """A socket with its calls. Callees behave by the user part that is dialled, as in the sandbox."""

    def __init__(self, switch: tuple[str, int], wire: Wire | None = None) -> None:
        self.switch = switch
        self.wire = wire or Wire()
        self.host = self.wire.address[0]
        self.address = self.wire.address
        self.at = f"{bracketed(self.host)}:{self.address[1]}"
        by = "" if self.wire.transport == "udp" else f";transport={self.wire.transport}"
        self.contact = f"<sip:test@{self.at}{by}>"
        self.calls: dict[str, Call] = {}
        self.min_se = 0
        """Calls with a shorter session are refused with 422."""
        self.describes: tuple[str, ...] = ()
        """More lines of its SDPs."""
        self.audio_over = "RTP/AVP"
        self.answers_with: dict[str, str] = {}
        """Headers of its 200 to calls that it takes."""
        self._handled: dict[tuple[str, str, str], None] = {}
        self.wire.start(self._receive)
        self._tasks: list[Any] = []

    def stop(self) -> None:
        gevent.killall(self._tasks)
        for call in self.calls.values():
            call.rtp.close()
            if call.text is not None:
                call.text.close()
        self.wire.stop()

    def call(
        self,
        to: str = "+15550199",
        from_: str = "+15550100",
        headers: dict[str, str] | None = None,
        codecs: list[str] | None = None,
        *,
        display: str = "",
        offer: bool = True,
        rtt: bool = False,
        rfc4733: bool = True,
    ) -> Call:
        """Call the switch; `rtt` offers real-time text."""
        call = Call(self, f"{uuid.uuid4()}@test")
        call.text = TextStream() if rtt else None
        uri = f"<sip:{from_}@{bracketed(self.host)}>"
        call.local = f'"{display}" {uri}' if display else uri
        call.codecs = codecs or list(USUAL)
        call.digits = rfc4733
        self.calls[call.call_id] = call
        call.dial(to, headers or {}, offer)
        return call

    def incoming(self, number: int = -1, timeout: float = 20.0) -> Call:
        """The last call that came in (or another by its number)."""
        with gevent.Timeout(timeout, AssertionError("nobody called")):
            while not (found := [call for call in self.calls.values() if call.incoming]):
                gevent.sleep(0.01)
        return found[number]

    def send(self, message: Message, to: tuple[str, int] | None = None) -> None:
        self.wire.send(message, to or self.switch)

    def reply(
        self, request: Message, code: int, call: Call, body: str = "", headers: dict[str, str] | None = None
    ) -> None:
        to = request.get("to")
        if code > 100 and "tag=" not in to:
            to += f";tag={call.tag}"
        answer = Message(
            f"SIP/2.0 {code} {PHRASES.get(code, 'Whatever')}",
            {
                "via": request.headers["via"],
                "from": [request.get("from")],
                "to": [to],
                "call-id": [request.get("call-id")],
                "cseq": [request.get("cseq")],
                "contact": [self.contact],
            },
        )
        for name, value in (headers or {}).items():
            answer.headers[name] = [value]
        if body:
            answer.headers["content-type"] = ["application/sdp"]
            answer.body = body
        self.wire.answer(request, answer)

    def _receive(self, message: Message) -> None:
        call = self.calls.get(message.get("call-id"))
        if message.status:
            if call is not None:
                call.on_response(message)
            return
        key = (message.get("call-id"), message.get("cseq"), message.get("via"))
        if key in self._handled:
            return  # a retransmission; what was answered is on its way
        self._handled[key] = None
        if call is not None:
            call.on_request(message)
        elif message.method == "INVITE":
            self._incoming(message)

    def _incoming(self, message: Message) -> None:
        call = Call(self, message.get("call-id"))
        call.incoming, call.invite = True, message
        call.remote_cseq = int(message.get("cseq").split()[0])
        call.local, call.remote = message.get("to"), message.get("from")
        contact = re.search(r"<([^>]+)>", message.get("contact"))
        call.target = contact[1] if contact else ""
        self.calls[call.call_id] = call
        call.note("INVITE", message)
        user = re.match(r"INVITE sips?:([^@;]*)", message.start)
        self._tasks.append(gevent.spawn(self._behave, call, user[1] if user else ""))

    def _replace(self, call: Call, dialog: str) -> None:
        """A call that takes the place of another one (RFC 3891): its tags have to be ours and the peer's."""
        call_id, *parameters = dialog.split(";")
        tags = dict(one.strip().split("=", 1) for one in parameters if "=" in one)
        old = self.calls.get(call_id.strip())
        if old is None or old.ended or tags != {"to-tag": old.tag, "from-tag": tag(old.remote)}:
            call.reject(481)
            return
        call.answer()
        call.rtp.frequency = old.rtp.frequency
        old.bye()

    def _behave(self, call: Call, user: str) -> None:
        self.reply(call.invite, 100, call)  # type: ignore[arg-type]
        if dialog := call.invite.get("replaces"):  # type: ignore[union-attr]
            self._replace(call, dialog)
            return
        reject = re.fullmatch(r"(ring-)?reject-(\d{3})", user)
        if user == "silent":
            return
        assert call.invite is not None
        session = call.invite.get("session-expires").partition(";")[0]
        if session and int(session) < self.min_se:
            call.reject(422, **{"min-se": str(self.min_se)})
            del self.calls[call.call_id]  # it comes again
            return
        if reject:
            if reject[1]:
                call.ring()
                gevent.sleep(0.08)
            call.reject(int(reject[2]))
        elif user == "redirect":
            call.reject(302, contact=f"<sip:elsewhere@{self.at}>")
        elif user == "auth":
            self._challenge(call)
        elif user == "badsdp":
            call.respond(
                200, sdp(call.rtp.port, []).replace("RTP/AVP  101", "RTP/AVP 96").replace("101", "96")
            )
        elif user.startswith("early"):
            call.progress()
            if user == "early-answer":
                gevent.sleep(0.15)
                call.answer()
        else:
            self._answering(call, user)

    def _answering(self, call: Call, user: str) -> None:
        call.hold_code = 488 if user == "hold-reject" else 0
        call.digits = user != "no-rfc4733"
        if user not in ("instant", "hold-reject", "bye-after"):
            call.ring()
            if user == "ring":
                return
            gevent.sleep(0.08)
        if not call.ended:
            call.answer()
        if user == "bye-after":
            gevent.sleep(0.2)
            # in a dialog that the other side opened, our tag goes with To
            call.bye()

    def _challenge(self, call: Call) -> None:
        assert call.invite is not None
        given = call.invite.get("authorization")
        if not given:
            challenge = 'Digest realm="test", nonce="n0nce", algorithm=MD5'
            call.respond(401, headers={"www-authenticate": challenge})
            del self.calls[call.call_id]  # the retry is a new INVITE of the same call
            return
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        secret = hashlib.md5(f"{TRUNK[0]}:test:{TRUNK[1]}".encode()).hexdigest()
        subject = hashlib.md5(f"INVITE:{fields['uri']}".encode()).hexdigest()
        parts = [secret, fields["nonce"], subject]
        if "qop" in fields:
            parts[2:2] = [fields["nc"], fields["cnonce"], fields["qop"]]
        good = hashlib.md5(":".join(parts).encode()).hexdigest() == fields.get("response")
        if good and fields.get("username") == TRUNK[0]:
            call.answer()
        else:
            call.respond(
                401, headers={"www-authenticate": 'Digest realm="test", nonce="other", algorithm=MD5'}
            )
            del self.calls[call.call_id]
