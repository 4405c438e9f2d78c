"""Settings of transfers."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section


@section("transfers")
@dataclass(frozen=True, slots=True)
class TransferSettings:
    """Transfers that clients ask for, and those that peers ask for (REFER)."""

    timeout: float = setting(
        "VSI_ESL_TRANSFER_TIMEOUT",
        values.duration_or_zero,
        180.0,
        "A transfer of which the peer reports nothing for so long has failed; 0 for never (the reference).",
        live=True,
    )
    auto_dial: bool = setting(
        "SIP_REFER_AUTO_DIAL",
        values.boolean,
        False,
        "Dial what a peer's REFER names, without asking anybody: whoever can call may then have calls made at"
        " your expense.",
        live=True,
    )
    consult_timeout_ms: int = setting(
        "SIP_REFER_CONSULT_TIMEOUT_MS",
        values.integer(0, 30_000),
        2000,
        "How long in ms clients may take to decide on a peer's REFER, which is then declined with 603; 0 to"
        " ask nobody and decline at once.",
        live=True,
    )
