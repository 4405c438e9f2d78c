"""The fence: a global variable of the switch by which it shows which service has it, and since which turn.

`global_setvar name=value=before` sets it only where it is `before` now, in one step of the switch; it answers
+OK in any case, so what is there is asked for behind it. It is gone with a restart of the switch.

Beside it is the doubt: another service, which hears nothing of the owner in Redis, says so there. The owner
that cannot reach Redis knows by it that it alone cannot.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import builder

VARIABLE = "vsi_fence"
SHOWN = builder.global_getvar(VARIABLE)
"""Asks for it."""
DOUBT = "vsi_doubt"
DOUBTED = builder.global_getvar(DOUBT)
"""Asks which turn is in doubt."""
CERTAIN = f"global_setvar {DOUBT}=0"
"""None is."""
FORM = re.compile(r"([0-9]{1,15})-([A-Za-z0-9_.-]{1,64})\Z")


class Fence(NamedTuple):
    """`number` grows with each turn; `service` is the name of who has it."""

    number: int
    service: str

    @property
    def text(self) -> str:
        return f"{self.number}-{builder.name(self.service)}"


def read(answer: str) -> Fence | None:
    """What the switch shows; None for nothing."""
    match = FORM.match(answer.strip())
    return Fence(int(match[1]), match[2]) if match else None


def doubt(number: int) -> str:
    """Have its owner know that Redis is there for others, and that nothing is heard there of its turn."""
    return f"global_setvar {DOUBT}={int(number)}"


def doubted(answer: str) -> int:
    """The number of the turn that is in doubt; 0 for none."""
    text = answer.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


def show(fence: Fence, before: Fence | None) -> str:
    """Have it shown in place of `before`."""
    return f"global_setvar {VARIABLE}={fence.text}={before.text if before else ''}"
