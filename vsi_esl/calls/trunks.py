"""Which trunk an outbound call takes: the one it names, else the one that speaks for its From."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Invalid, SwitchUnavailable
from ..switch.lines import builder, identity
from ..switch.trunks import Trunk, read, speaking_for

if TYPE_CHECKING:
    from .nodes import Node


class Trunks:
    """The trunks of one switch, asked for again when it has others, and after each connect."""

    def __init__(self) -> None:
        self._known: list[Trunk] = []
        self._asked = -1

    def forget(self) -> None:
        """The switch has told of a change."""
        self._asked = -1

    @property
    def known(self) -> list[Trunk]:
        """As they were when they were asked for last."""
        return self._known

    def all(self, node: Node) -> list[Trunk]:
        """As they were when the switch last told of a change."""
        if self._asked != node.reconnects:
            asked = node.reconnects
            self._known = _ask(node)
            self._asked = asked
        return self._known


def named(node: Node, name: str) -> Trunk:
    """The trunk of this name, as it stands now. Raises Invalid or SwitchUnavailable."""
    trunk = next(iter(_ask(node, name)), None)
    if trunk is None:
        raise Invalid(f"unknown trunk: {name}")
    return usable(trunk)


def of_caller(node: Node, from_: str) -> Trunk | None:
    """The trunk that speaks for this `from`, if there is one."""
    if not from_:
        return None
    who = identity.caller(from_)
    found = speaking_for(node.trunks.all(node), who.user, who.host)
    return None if found is None else usable(found)


def there(name: str, from_: str, node: Node) -> bool:
    """Whether a switch has the trunk of this name, or that of this `from`, and takes calls for it. Nothing is
    asked of it for a call that can have none."""
    if not name and not from_:
        return True
    try:
        if name:
            return any(one.name == name and one.up for one in node.trunks.all(node))
        return of_caller(node, from_) is not None
    except SwitchUnavailable:
        return False


def usable(trunk: Trunk) -> Trunk:
    """Raises SwitchUnavailable when the switch takes no calls for it."""
    if not trunk.up:
        raise SwitchUnavailable(f"trunk {trunk.name} is down")
    return trunk


def _ask(node: Node, name: str = "") -> list[Trunk]:
    ours = (node.settings.sofia_profile, node.settings.sofia_profile_ipv6)
    return read(node.command(builder.sofia_gateways(name)), ours)
