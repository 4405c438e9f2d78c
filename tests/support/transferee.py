"""A peer that does what a REFER asks it to do: calls the target, and reports (RFC 3515, RFC 3891)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from .sipua import Call, UserAgent
from .transfers import OVER, referred

REFER_TO = re.compile(r"<sip:([^@>?]+)@([0-9.]+):([0-9]+)(?:\?Replaces=([^>]*))?>\Z")


class Transferee:
    """The peer of a call, with a second line for the call that it is to make."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.line: UserAgent | None = None

    def follow(self, final: str = OVER, count: int = 1) -> Call:
        """Do as the REFER says, the last report with this subscription state. The new call."""
        found = REFER_TO.match(referred(self.call, count))
        assert found is not None, self.call.referred
        user, host, port, replaces = found.groups()
        self.line = UserAgent((host, int(port)))
        self.call.notify("SIP/2.0 100 Trying", "active;expires=60")
        headers = {"replaces": unquote(replaces), "require": "replaces"} if replaces else {}
        new = self.line.call(user, headers=headers, codecs=["PCMU"])
        new.wait(lambda one: any(what.isdigit() and int(what) >= 200 for what in one.seen))
        code = next(what for what in new.seen if what.isdigit() and int(what) >= 200)
        new.rtp.frequency = self.call.rtp.frequency
        self.call.notify(new.message(code).start, final)
        return new

    def stop(self) -> None:
        if self.line is not None:
            self.line.stop()
