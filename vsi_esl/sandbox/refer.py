"""REFERs of ours in the sandbox: what the peer answers, what it reports, and how the switch takes it.

As mod_sofia has it (sofia.c, measured): a NOTIFY that ends the subscription ends the dialog, and leaves the
channel. After a REFER of the peer that waited for us, reports go to the channel's partner.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import notify, sip
from .calls import STEP_S
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

NO_ANSWER_S = 32.0
"""Until the stack gives a request up that is not answered (RFC 3261, timer F)."""
STATUS = re.compile(r"\S+ ([0-9]{1,3})")


class Refers:
    """What passes between the switch and the peers of its calls about transfers."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self.no_answer_s = NO_ANSWER_S

    def deflect(self, channel: Channel, target: str) -> str:
        """uuid_deflect: a REFER to the peer."""
        far = channel.far
        uri, _, parameters = target.partition(";")
        if channel.dialog_lost or "," in uri or "@" in parameters:
            return "+OK:\n"  # nothing is sent
        far.seen.append("REFER")
        far.referred.append(f"<{uri}>" + (f";{parameters}" if parameters else ""))
        far.highest_cseq = channel.next_cseq()
        channel.variables["sip_refer_status_code"] = "100"
        if channel.variables.get("sip_refer_continue_after_reply") != "true":
            self._switch.calls.hangup(channel, "BLIND_TRANSFER")
            return "+OK:no reply\n"
        if far.refer_code:
            channel.timers.later(STEP_S, self.answer, channel, far.refer_code, channel.cseq)
        else:
            channel.timers.later(self.no_answer_s, self.answer, channel, 408, channel.cseq)
        return "+OK:\n"

    def answer(self, channel: Channel, code: int, cseq: int) -> None:
        """The response to a REFER of ours."""
        self._watched_answer(channel, code, f"{cseq} REFER")
        if code in (401, 407):
            if channel.far.refer_challenge:
                self._switch.calls.ended(channel, "MANDATORY_IE_MISSING", "send_bye")
            return
        channel.variables["sip_refer_status_code"] = str(code)
        self._forget_gone_referrer(channel)

    def _watched_answer(self, channel: Channel, code: int, cseq: str) -> None:
        self._switch.calls.watched(channel, f"SIP/2.0 {code} {sip.phrase(code)}", "CSeq", cseq)

    def _forget_gone_referrer(self, channel: Channel) -> None:
        partner = self._switch.channels.get(channel.referrer_told)
        if partner is None or not partner.alive:
            channel.referrer_told = ""

    def notify(self, channel: Channel, line: str, state: str, event: str = "refer") -> None:
        """The peer's NOTIFY, with a sipfrag of this line, or without a body."""
        channel.peer_cseq += 1
        message = "NOTIFY sip:vsi@127.0.0.1 SIP/2.0"
        self._switch.calls.watch_cseq(channel, "NOTIFY", channel.peer_cseq)
        if state:
            self._switch.calls.watched(channel, message, "Subscription-State", state)
        substate = state.partition(";")[0].strip()
        if line and channel.referrer_told:
            partner = self._switch.channels.get(channel.referrer_told)
            if partner is None or not partner.alive:
                self._switch.calls.hangup(channel, "DESTINATION_OUT_OF_ORDER")
                return
        elif line and event.partition(";")[0] == "refer":
            self._report(channel, line, substate, event)
        if substate in ("", "terminated"):
            channel.timers.later(STEP_S, self._let_go, channel)

    def _report(self, channel: Channel, line: str, substate: str, event: str) -> None:
        found = STATUS.match(line)
        code = int(found[1]) if found else 0
        if 0 < code < 200:
            channel.variables["sip_refer_target_provisional_status_code"] = str(code)
        else:
            channel.variables["sip_refer_target_status_code"] = str(code)
            channel.variables["sip_refer_reply"] = f"{line}\r\n"
        headers = {"content-type": "message/sipfrag", "event-package": "refer", "UniqueID": channel.uuid}
        if "id=" in event:
            headers["event-id"] = event.rpartition("id=")[2]
        if substate:
            headers["subscription-substate"] = substate
        self._switch.fire("CUSTOM", headers, f"{line}\r\n", subclass="sofia::notify_refer")

    def _let_go(self, channel: Channel) -> None:
        if channel.alive and not channel.dialog_lost:
            channel.dialog_lost = True
            channel.far.seen.append("BYE")

    def notify_peer(self, headers: dict[str, str], body: str) -> str:
        """sendevent NOTIFY: in the dialog of the channel, which its peer answers."""
        channel = self._switch.channels.get(headers.get("uuid", ""))
        if channel is not None and channel.alive and not channel.dialog_lost:
            number = channel.next_cseq()
            code = notify.received(channel, number, headers.get("event-string", ""), body, notify.OVER)
            channel.timers.later(STEP_S, self._notified, channel, code, number)
        return f"+OK {self._switch.core_uuid}"

    def inform_peer(self, channel: Channel) -> str:
        """uuid_send_info, without a body: in the dialog of the channel."""
        if channel.variables.get("fs_send_unsupported_info") == "true" and not channel.dialog_lost:
            channel.far.seen.append("INFO")
            channel.far.highest_cseq = channel.next_cseq()
            code = 481 if channel.far.gone else 200
            channel.timers.later(STEP_S, self._watched_answer, channel, code, f"{channel.cseq} INFO")
        return "+OK Success\n"

    def _notified(self, channel: Channel, code: int, cseq: int) -> None:
        self._watched_answer(channel, code, f"{cseq} NOTIFY")
        self._forget_gone_referrer(channel)
