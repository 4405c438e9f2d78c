"""Two switches with tethers between them, or three, and two services that share them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .drivers import SandboxDriver, SandboxPeer, eventually
from .redisserver import RedisServer
from .services import OneOfSeveral
from .vsi import VsiClient

LONGEST_S = 40.0
TETHERS = {"east": "127.0.0.1:5072", "west": "127.0.0.2:5072", "lone": ""}
BOTH = {"east", "west"}


def joined(
    switch: SandboxDriver, client: VsiClient, room: str, rtt: bool = False, **join: Any
) -> tuple[SandboxPeer, str]:
    """A call that was answered and put into a room."""
    peer = switch.call(rtt=rtt)
    leg = client.event("leg.ringing", leg_id=peer.leg)["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("add_leg_to_room", room_id=room, leg_id=leg, **join)
    client.event("leg.joined_room", leg_id=leg, room_id=room)
    return peer, leg


class Site:
    """Switches east and west, which are one group unless `groups` says otherwise, and lone; services a and
    b, with `more` settings."""

    def __init__(
        self,
        directory: Path,
        redis: RedisServer,
        *switches: str,
        groups: str = "",
        hurried: bool = False,
        **more: dict[str, Any],
    ) -> None:
        self._groups = groups
        self.switches = {name: SandboxDriver(tether=TETHERS[name]) for name in switches}
        entries: dict[str, dict[str, Any]] = {
            name: {"tether": TETHERS[name]} for name in switches if TETHERS[name]
        }
        for entry, group in zip(entries.values(), groups.split(), strict=False):
            entry["group"] = group
        self.services = [
            OneOfSeveral(name, directory, redis, self.switches, hurried=hurried, entries=entries, **more)
            for name in ("a", "b")
        ]
        for one in self.services:
            one.listening()
        self.clients: list[VsiClient] = []

    def owner(self, switch: str = "east") -> tuple[OneOfSeveral, OneOfSeveral]:
        """Who has it while both are there, and the other one."""

        def known() -> bool:
            told = [one.readyz()["cluster"]["owners"] for one in self.services]
            return told[0] == told[1] and "" not in told[0].values() and self.shared_out()

        eventually(known, "all have their shares", LONGEST_S)
        first, second = self.services
        return (first, second) if switch in first.owned() else (second, first)

    def shared_out(self) -> bool:
        """One unit is the first's by name; of two each has one."""
        owned = [one.owned() for one in self.services]
        if len(self.switches) == 2 and not self._groups:
            return owned == [BOTH, set()]
        return all(owned) and sum(map(len, owned)) == len(self.switches)

    def client(self, service: OneOfSeveral) -> VsiClient:
        self.clients.append(service.connect())
        return self.clients[-1]

    def joined(self, switch: str, client: VsiClient, room: str = "r", **join: Any) -> tuple[SandboxPeer, str]:
        """See `joined`."""
        return joined(self.switches[switch], client, room, **join)

    def tethers(self) -> list[int]:
        """How many ends of calls between them each switch has."""
        return [len(self.switches[name].channels("te-")) for name in ("east", "west")]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for one in self.services:
            one.close()
        for driver in self.switches.values():
            driver.stop()


def shipped(service: OneOfSeveral) -> None:
    eventually(lambda: not service.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)


def each_hears_the_other(a: SandboxPeer, b: SandboxPeer) -> None:
    a.says(440)
    b.says(700)
    a.hears(700)
    b.hears(440)


def told(*clients: VsiClient, leg: str) -> list[str]:
    """What was told of a leg, each event once."""
    seen = {
        one["event_id"]: one["type"]
        for client in clients
        for one in client.events
        if one.get("leg_id") == leg
    }
    return [kind for _, kind in sorted(seen.items())]
