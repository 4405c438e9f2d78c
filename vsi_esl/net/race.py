"""Connecting to a host of several addresses, of which some may be dead ("Happy Eyeballs", RFC 8305)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

import gevent
from gevent.queue import Empty, SimpleQueue

ATTEMPT_DELAY_S = 0.25
"""How long an attempt is alone before the next address is tried too (RFC 8305 section 5)."""

T = TypeVar("T")


def interleaved(addresses: Iterable[str]) -> list[str]:
    """The addresses in turns by family, the first one's first, so that a family that leads nowhere costs one
    delay and no more (RFC 8305 section 4). Within a family the resolver's order stays."""
    families: dict[int, list[str]] = {}
    for address in addresses:
        families.setdefault(ipaddress.ip_address(address).version, []).append(address)
    return [one for turn in zip_longest(*families.values()) for one in turn if one is not None]


def race(
    addresses: Sequence[str],
    connect: Callable[[str], T],
    close: Callable[[T], object],
    delay: float = ATTEMPT_DELAY_S,
) -> T:
    """What `connect` returned first; the next address is begun when one has failed, or has had `delay`.

    `connect` raises OSError or another Exception; what it has opened by then is its own to close. Attempts
    that lose are ended, and a connection that comes too late is given to `close`. Raises the error of the
    address that was preferred when all have failed. The time is the caller's to limit.
    """
    if len(addresses) == 1:
        return connect(addresses[0])
    outcomes: SimpleQueue[tuple[int, T | None, Exception | None]] = SimpleQueue()
    over = False

    def attempt(number: int) -> None:
        try:
            made = connect(addresses[number])
        except Exception as error:
            outcomes.put((number, None, error))
            return
        if over:
            close(made)
        else:
            outcomes.put((number, made, None))

    greenlets: list[gevent.Greenlet] = []
    failures: dict[int, Exception] = {}
    winner: T | None = None
    try:
        while len(failures) < len(addresses):
            more = len(greenlets) < len(addresses)
            if more:
                greenlets.append(gevent.spawn(attempt, len(greenlets)))
            try:
                number, winner, failure = outcomes.get(
                    timeout=delay if len(greenlets) < len(addresses) else None
                )
            except Empty:
                continue
            if failure is None:
                return winner
            failures[number] = failure
        raise failures[0]
    finally:
        over = True
        gevent.killall(greenlets, block=False)
        while not outcomes.empty():
            _, late, failure = outcomes.get()
            if failure is None and late is not winner:
                close(late)
        failures.clear()  # an error holds its frames, and those the connection
