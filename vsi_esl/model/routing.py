"""Who may hear whom in a room: the matrix of roles, and the pairs of legs it forbids."""

from __future__ import annotations

from collections.abc import Iterable

from .leg import Leg

Matrix = dict[str, list[str]]
"""Listener role -> the source roles it hears. A role without a row hears everyone."""


def hears(matrix: Matrix, listener_role: str, source_role: str) -> bool:
    """A listener without a role, or whose role has no row, hears all; one with a row hears only legs that
    have a role of the row."""
    row = matrix.get(listener_role) if listener_role else None
    return row is None or (source_role != "" and source_role in row)


def forbidden(matrix: Matrix, legs: Iterable[Leg], strangers: Iterable[str] = ()) -> set[tuple[str, str]]:
    """The pairs (listener, source) of conference member ids between which nothing may be heard. `strangers`
    are sources that no row can name."""
    members = list(legs)
    unheard = {
        (listener.seat.member_id, stranger)
        for listener in members
        if listener.role and listener.role in matrix
        for stranger in strangers
    }
    return unheard | {
        (listener.seat.member_id, source.seat.member_id)
        for listener in members
        if listener.role and listener.role in matrix
        for source in members
        if source is not listener and not hears(matrix, listener.role, source.role)
    }
