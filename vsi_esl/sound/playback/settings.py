"""Settings of playback."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...config import values
from ...config.declare import setting, state_directory
from ...config.sections import section
from ...net.guard import Network


def default_directory(environ: Mapping[str, str]) -> str:
    """Below the state directory."""
    return os.path.join(state_directory(environ), "spool")


@section("playback")
@dataclass(frozen=True, slots=True)
class PlaybackSettings:
    """Playing audio from URLs, and tones."""

    spool_dir: str = setting(
        "VSI_ESL_SPOOL_DIR",
        values.switch_directory,
        default_directory,
        "Directory of fetched and rendered audio, made with mode 2770; the switch reads it.",
        default_text="spool in $STATE_DIRECTORY, else in ~/.local/state/vsi_esl",
        example="/var/lib/vsi_esl/spool",
    )
    spool_bytes: int = setting(
        "VSI_ESL_SPOOL_BYTES", values.size, 1 << 30, "Largest size of that directory; files in use stay."
    )
    fetch_timeout: float = setting(
        "VSI_ESL_FETCH_TIMEOUT", values.duration, 30.0, "Limit for one whole download."
    )
    max_bytes: int = setting("VSI_ESL_FETCH_MAX_BYTES", values.size, 64 << 20, "Largest file fetched.")
    allow_private_urls: bool = setting(
        "VSI_ESL_ALLOW_PRIVATE_URLS",
        values.boolean,
        False,
        "Fetch from private and loopback addresses too, which a client could use to look around inside.",
        live=True,
    )
    allowed_networks: tuple[Network, ...] = setting(
        "VSI_ESL_ALLOWED_NETWORKS",
        values.networks,
        (),
        "Private networks (CIDR) that audio may be fetched from nevertheless.",
        live=True,
    )
