"""The bond: a dummy channel that every leg names as its partner, so that inbound REFERs wait for us."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from .lines import builder

log = structlog.get_logger(__name__)


def ensure(command: Callable[[str], str], bond: str) -> None:
    """Have the channel with the id `bond`. `command` runs an api command and returns its answer."""
    if command(builder.exists(bond)) == "true":
        return
    answer = command(builder.originate_null(bond, {"vsi_internal": "true"}))
    if not answer.startswith("+OK"):
        log.warning("no bond channel; inbound REFERs are refused by the switch", answer=answer[:80])
