"""Transfers as tests have them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from .drivers import Driver, eventually
from .vsi import VsiClient

TARGET = "sip:bob@127.0.0.1:5099"
OVER = "terminated;reason=noresource"


def transfer(client: VsiClient, leg: str, target: str = TARGET, **more: Any) -> dict[str, Any]:
    """Ask for a transfer; leg.transfer_initiated."""
    assert client.ok("leg_transfer", id=leg, target=target, **more) == {"status": "transfer_initiated"}
    return client.event("leg.transfer_initiated", leg_id=leg)


def referred(peer: Any, count: int = 1) -> str:
    """Wait for the REFER; its Refer-To."""
    eventually(lambda: len(peer.referred) >= count, "a REFER")
    return peer.referred[count - 1]


def told(client: VsiClient, leg: str) -> list[str]:
    """The events of the leg's transfers so far, and its end."""
    prefix = "leg.transfer_"
    kinds = [kind.removeprefix("leg.") for kind in client.types(leg_id=leg)]
    return [kind for kind in kinds if f"leg.{kind}".startswith(prefix) or kind == "disconnected"]


def said(event: dict[str, Any]) -> dict[str, Any]:
    """What an event says of the transfer."""
    return {name: event[name] for name in ("status_code", "reason", "error") if name in event}


def ends(client: VsiClient, leg: str) -> str:
    """Wait for the leg's end; its reason."""
    client.rewind()
    return client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"]


def replaced(peer: Any, count: int = 1) -> str:
    """Wait for the REFER; the dialog that it names."""
    return unquote(referred(peer, count).rpartition("?Replaces=")[2].rstrip(">"))


def nothing_left(switch: Driver, service: Any, *legs: str) -> None:
    """Of transfers and these legs: no channel, state, timer or waiting end."""
    from vsi_esl.transfers.outgoing import KIND, Transfers

    ctx = service.ctx
    transfers = ctx.get(Transfers)
    eventually(lambda: not any(switch.channels(leg) for leg in legs), "no channel")
    eventually(lambda: not (transfers.running or transfers.replaced), "no transfer")
    eventually(lambda: ctx.state.items(KIND) == [], "no item")

    def owners() -> list[str]:
        return [owner for owner in ctx.timers._timers if owner.startswith("transfer ") or owner in legs]

    eventually(lambda: (owners(), ctx.legs.departing) == ([], set()), "no timer, nobody departing")
