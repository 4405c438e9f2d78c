"""How much is told before those who send it to clients have their turn."""

from __future__ import annotations

import gevent

AT_ONCE = 3
"""Legs, or events of the switch. The last words of a leg are up to five events (it stops speaking, leaves,
what it plays and records ends, it ends), and the smallest queue of a client has room for 16."""


def give_way(count: int) -> None:
    """Have the others run behind so many, counted from 1: a client that reads then loses nothing, however
    much comes together."""
    if count % AT_ONCE == 0:
        gevent.sleep(0)
