"""The switches of the service: what there is once for each of them.

Everything that lives on a switch (legs, rooms, playbacks, recordings, bridges) knows its switch by name, as
`node`. What is done with it is done there, and what happens to a switch happens to what is on it only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Protocol

import gevent

from ..config.settings import ListedSwitch
from ..switch.actions.calls import Switch
from ..switch.actions.live import SwitchLive
from ..switch.actions.refers import SwitchRefers
from ..switch.actions.sound import SwitchSound
from ..switch.actions.tethers import SwitchTethers
from ..switch.node import SwitchNode
from ..work.waits import Waits
from .host import Host
from .trunks import Trunks


class OnNode(Protocol):
    """What lives on one switch; `node` is its name, or empty for what has no place yet."""

    @property
    def node(self) -> str: ...


class Node(SwitchNode):
    """One switch: its connections, what can be done over them, and who waits for what on it.

    `media_timeout` in seconds, 0 for none. The rest is that of `SwitchNode`; its callbacks get the node
    as well.
    """

    def __init__(
        self,
        listed: ListedSwitch,
        media_timeout: float,
        *,
        events: Iterable[str],
        unheard: AbstractSet[str] = frozenset(),
        on_event: Callable[[Node, dict[str, Any]], None],
        resync: Callable[[Node], Callable[[], None] | None],
        on_lost: Callable[[Node], None],
    ) -> None:
        settings = listed.settings
        super().__init__(
            host=settings.host,
            port=settings.port,
            password=settings.password,
            events=events,
            unheard=unheard,
            on_event=partial(on_event, self),
            resync=partial(resync, self),
            on_lost=partial(on_lost, self),
            bond_id=settings.bond_uuid,
            command_timeout=settings.command_timeout,
            job_timeout=settings.job_timeout,
            connect_timeout=settings.connect_timeout,
            backoff_min=settings.backoff_min,
            backoff_max=settings.backoff_max,
        )
        self.name = listed.name
        self.settings = settings
        self.share = listed
        """Its weight, capacity and drain as the settings have them now."""
        self.drained = False
        """Drained by its operator, until that is undone."""
        self.waits = Waits(self.hurry.begin)
        self.switch = Switch(self, self.waits, media_timeout)
        self.sound = SwitchSound(self)
        self.live = SwitchLive(self)
        self.refers = SwitchRefers(self, self.waits)
        self.tethers = SwitchTethers(self)
        self.trunks = Trunks()
        self.host: Host
        """Given by the feature that has it, when it registers."""
        self.placed: set[str] = set()
        """Internal channels that were made since it was connected, and whose end was not reported."""
        self.placing: set[str] = set()
        """Internal channels that are being made."""
        self.losses = 0
        """How often it was lost that had been ready."""

    def start(self, fence: int = 0) -> None:
        """Connect in the background, to the switch and what is beside it; `fence` as for `Host.connect`."""
        self.host.connect(fence)
        super().start()

    def leave(self, why: str) -> None:
        """As that of `SwitchNode`; of what is beside the switch as well."""
        super().leave(why)
        self.host.leave()

    def lost_since(self, losses: int) -> bool:
        """Whether it is away, or was when it had been lost so often. What failed for that can be done when it
        is back."""
        return not self.ready or self.losses != losses

    @property
    def draining(self) -> bool:
        """Whether no new calls are made on it, but for rooms that it has."""
        return self.share.drain or self.drained


class Nodes:
    """All switches, in the order of the settings. There is at least one; the first is the default."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.default = nodes[0]
        self._by_name = {node.name: node for node in nodes}

    def __iter__(self) -> Iterator[Node]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def of(self, one: OnNode) -> Node:
        """The switch that something is on. What has no place yet goes to the default; and so does what was
        on a switch that is not in the settings any more, where it will not be found."""
        return self._by_name.get(one.node, self.default)

    def find(self, name: str) -> Node | None:
        """A switch by its name."""
        return self._by_name.get(name)

    @property
    def ready(self) -> bool:
        """Whether calls can be made: one switch will do."""
        return any(node.ready for node in self)

    def wait_ready(self, timeout: float) -> bool:
        """Wait until all of them are ready; False when that took longer."""
        waiting = [gevent.spawn(node.wait_ready, timeout) for node in self]
        gevent.joinall(waiting)
        return all(node.ready for node in self)

    def reload(self, listed: Iterable[ListedSwitch]) -> None:
        """Go by these weights, capacities and drains."""
        for one in listed:
            self._by_name[one.name].share = one

    def start(self) -> None:
        """Connect to all of them in the background."""
        for node in self:
            node.start()

    def stop(self) -> None:
        """Disconnect for good. Calls stay up."""
        for node in self:
            node.stop()
