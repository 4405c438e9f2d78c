"""Settings of WhatsApp calls."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section


@section("whatsapp")
@dataclass(frozen=True, slots=True)
class WhatsAppSettings:
    """WhatsApp calls."""

    sofia_profile: str = setting(
        "VSI_ESL_WHATSAPP_PROFILE",
        values.name,
        "vsi_wa",
        "The switch's SIP profile for them, with TLS; where it does not run they are answered 501.",
        live=True,
    )
    target: str = setting(
        "VSI_ESL_WHATSAPP_TARGET",
        values.tls_target,
        "wa.meta.vc:5061;transport=tls",
        "Where they are sent: host, port and parameters of the Request-URI.",
        live=True,
    )
    invite_timeout: float = setting(
        "VSI_ESL_WHATSAPP_INVITE_TIMEOUT",
        values.duration,
        30.0,
        "How long one may take up to its answer; then it is `invite_failed`.",
        live=True,
    )
