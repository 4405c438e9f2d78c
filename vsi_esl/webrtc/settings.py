"""Settings of WebRTC legs. Where mod_verto listens, and the password there, the switch says."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section


@section("webrtc")
@dataclass(frozen=True, slots=True)
class WebRtcSettings:
    """Legs that are browsers."""

    offer_timeout: float = setting(
        "VSI_ESL_WEBRTC_OFFER_TIMEOUT",
        values.duration,
        5.0,
        "Limit for the switch to answer an offer.",
        live=True,
    )
    connect_timeout: float = setting(
        "VSI_ESL_WEBRTC_CONNECT_TIMEOUT",
        values.duration,
        30.0,
        "How long a browser has to be connected (ICE and DTLS) after the answer.",
        live=True,
    )
    media_timeout: float = setting(
        "VSI_ESL_WEBRTC_MEDIA_TIMEOUT",
        values.duration,
        10.0,
        "A browser of which nothing came for so long, no audio and no ICE check, is gone; also before it is"
        " connected.",
        live=True,
    )
