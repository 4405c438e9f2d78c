"""mod_sofia in the sandbox: its profiles, its gateways, and what it makes of a dial string (measured)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import SandboxSwitch

PROFILE, PROFILE_IPV6, PROFILE_WHATSAPP, PROFILE_TETHER = "vsi", "vsi6", "vsi_wa", "vsi_tether"
DIALLED = re.compile(r"sofia/([A-Za-z0-9_.-]+)/(.*)", re.DOTALL)
AT_GATEWAY = re.compile(r"sofia/gateway/([^/]*)/(.*)", re.DOTALL)
SIP_URI = re.compile(r"(?i:(sips?)):(?:([^@]*)@)?(\[[0-9A-Fa-f:.]+\]|[^@:;,|]+)(?::([0-9]+))?((?:;[^,|]*)?)")
TRANSPORT = re.compile(r"(?i)port=(udp|tcp|tls)")


@dataclass(slots=True)
class Gateway:
    """A trunk of the operator's. It speaks for `user`@`host` and sends to `proxy`."""

    name: str
    user: str
    password: str
    host: str
    proxy: str = "127.0.0.1"
    profile: str = PROFILE
    transport: str = "udp"
    state: str = "NOREG"
    up: bool = True

    def as_xml(self) -> str:
        """As `sofia xmlstatus gateway` shows it, as far as anybody reads that."""
        shown = {
            "name": self.name,
            "profile": self.profile,
            "realm": self.host,
            "username": self.user,
            "password": "yes",
            "from": f"<sip:{self.user}@{self.host}>",
            "contact": f"<sip:gw+{self.name}@127.0.0.1:5070;transport={self.transport};gw={self.name}>",
            "proxy": f"sip:{self.proxy}",
            "state": self.state,
            "status": "UP" if self.up else "DOWN",
        }
        lines = [f"    <{name}>{escape(value)}</{name}>" for name, value in shown.items()]
        return "\n".join(["  <gateway>", *lines, "  </gateway>\n"])


@dataclass(slots=True, frozen=True)
class Dialled:
    """What mod_sofia sends: the INVITE's Request-URI and first hop, or the reason that there is none."""

    error: str = ""
    uri: str = ""
    user: str = ""
    host: str = ""
    port: str = ""
    transport: str = "udp"
    gateway: Gateway | None = None


class Sofia:
    """The SIP profiles of one sandbox."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self.gateways: dict[str, Gateway] = {}
        self.tls = True
        self.profiles = [PROFILE, PROFILE_IPV6, PROFILE_WHATSAPP]
        if switch.tether:
            self.profiles.append(PROFILE_TETHER)

    def add(self, gateway: Gateway) -> None:
        """The operator has put a gateway there, and told the profile to look."""
        self.gateways[gateway.name] = gateway
        told = {"Gateway": gateway.name, "profile-name": gateway.profile}
        self._switch.fire("CUSTOM", told, subclass="sofia::gateway_add")

    def command(self, rest: str) -> str:
        """The api command `sofia`."""
        words = rest.split()
        if words[:2] == ["xmlstatus", "profile"] and len(words) == 3:
            return self._profile(words[2])
        if words[:2] == ["xmlstatus", "gateway"]:
            return self._gateways(words[2:])
        if rest == "status":
            lines = [f"{name}\tprofile\tsip:sandbox@127.0.0.1\tRUNNING (0)" for name in self.profiles]
            return "\n".join([*lines, f"{len(lines)} profiles 0 aliases\n"])
        return "Invalid Profile!\n"

    def _profile(self, name: str) -> str:
        if name not in self.profiles:
            return "Invalid Profile!\n"
        tls = "<tls-url>sip:mod_sofia@127.0.0.1:5071</tls-url>" if self.tls else ""
        at = f"<url>sip:mod_sofia@{self._switch.tether}</url>" if name == PROFILE_TETHER else ""
        return f"<profile><profile-info><name>{name}</name>{at}{tls}</profile-info></profile>\n"

    def _gateways(self, names: list[str]) -> str:
        if names:
            gateway = self.gateways.get(names[0])
            return "Invalid Gateway!" if gateway is None else gateway.as_xml()
        return "<gateways>\n" + "".join(one.as_xml() for one in self.gateways.values()) + "</gateways>\n"

    def dial(self, target: str, variables: dict[str, str]) -> Dialled | None:
        """Take a dial string apart; None when it is not one of mod_sofia's."""
        by_gateway = AT_GATEWAY.fullmatch(target)
        if by_gateway is not None:
            return self._at_gateway(by_gateway[1], by_gateway[2])
        found = DIALLED.fullmatch(target)
        if found is None:
            return None
        if found[1] not in self.profiles:
            return Dialled("INVALID_PROFILE")
        if not found[2].lower().startswith(("sip:", "sips:")):
            return Dialled("USER_NOT_REGISTERED")
        uri = SIP_URI.fullmatch(found[2])
        if uri is None:
            return Dialled("DESTINATION_OUT_OF_ORDER")
        # sips: is not looked at, only what stands behind the first "port="
        named = TRANSPORT.search(found[2])
        transport = named[1].lower() if named else variables.get("sip_transport", "udp")
        if transport == "tls" and not self.tls:
            return Dialled("DESTINATION_OUT_OF_ORDER")
        sent = f"sip:{found[2].partition(':')[2]}"
        hop = self._hop(variables, uri)
        if hop is None or hop[0].startswith("[") is not (found[1] == PROFILE_IPV6):
            hop = ("", "")  # a socket of one family reaches nobody of the other
        return Dialled("", variables.get("sip_invite_req_uri", sent), uri[2] or "", *hop, transport)

    @staticmethod
    def _hop(variables: dict[str, str], uri: re.Match[str]) -> tuple[str, str] | None:
        """Where the INVITE is sent: to its Route, else to its Request-URI's host."""
        route = variables.get("sip_invite_route_uri")
        found = uri if route is None else SIP_URI.fullmatch(route.strip("<>"))
        return None if found is None else (found[3], found[4] or "")

    def _at_gateway(self, name: str, destination: str) -> Dialled:
        gateway = self.gateways.get(name)
        if gateway is None:
            return Dialled("INVALID_GATEWAY")
        if not gateway.up:
            return Dialled("GATEWAY_DOWN")
        named = TRANSPORT.search(destination)
        if named is not None and named[1].lower() != gateway.transport:
            return Dialled("DESTINATION_OUT_OF_ORDER")
        whole = destination if "@" in destination else f"{destination}@{gateway.proxy}"
        uri = SIP_URI.fullmatch(f"sip:{whole}")
        if uri is None:
            return Dialled("DESTINATION_OUT_OF_ORDER")
        return Dialled("", uri[0], uri[2] or "", uri[3], uri[4] or "", gateway.transport, gateway)
