"""Loopback pairs of the sandbox, as commands make them: their near end is parked, and may have `unicast`."""

from __future__ import annotations

from .audiosink import UnicastEnd
from .rawclient import RawClient

LOOPBACK = (
    "originate_timeout=5,loopback_bowout=false,loopback_bowout_on_execute=false,ignore_early_media=true"
)


def pair(client: RawClient, does: str, rate: int = 16000, more: str = "", turned: bool = False) -> str:
    """A pair that does something at its far end and is parked at its near end, whose id this is."""
    client.api(f"global_setvar loopback_initial_codec=L16@{rate}h")
    name = f"pair-{does.partition(':')[0]}-{rate}"
    variables = f"{{origination_uuid={name},{LOOPBACK}{more}}}"
    far, near = ("park", does) if turned else (does, "park")
    target = f"loopback/m:^:sleep:20^answer^{far}/default/inline"
    assert client.api(f"originate {variables}{target} '{near}' inline") == f"+OK {name}"
    return client.api(f"uuid_getvar {name} other_loopback_leg_uuid") if turned else name


def unicast(client: RawClient, channel: str, end: UnicastEnd, port: int = 0) -> None:
    message = (
        f"sendmsg {channel}\ncall-command: unicast\nlocal-ip: 127.0.0.1\nlocal-port: {port}\n"
        f"remote-ip: 127.0.0.1\nremote-port: {end.port}\ntransport: udp"
    )
    assert client.command(message) == "+OK"
