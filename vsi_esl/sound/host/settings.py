"""Settings of `vsi-esl companion`. The service has none of these: where companions are is in `switches`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...config import values
from ...config.declare import setting, state_directory
from ...config.sections import section


def default_uploads(environ: Mapping[str, str]) -> str:
    """Below the state directory."""
    return os.path.join(state_directory(environ), "uploads")


@section("companion")
@dataclass(frozen=True, slots=True)
class CompanionSettings:
    """The companion beside a switch on another machine than the service; the service does not read them."""

    listen: str = setting(
        "VSI_ESL_COMPANION_LISTEN",
        values.address_or_none,
        "",
        "Where `vsi-esl companion` listens for services, such as 10.0.0.12:8022.",
    )
    ca: str = setting(
        "VSI_ESL_COMPANION_CA",
        values.file_path_or_none,
        "",
        "PEM file of the authority that signs for services.",
    )
    certificate: str = setting(
        "VSI_ESL_COMPANION_CERTIFICATE",
        values.file_path_or_none,
        "",
        "PEM file of the certificate that it shows them.",
    )
    key: str = setting(
        "VSI_ESL_COMPANION_KEY",
        values.file_path_or_none,
        "",
        "PEM file of the key of that, without a password.",
    )
    services: tuple[str, ...] = setting(
        "VSI_ESL_COMPANION_SERVICES",
        values.words,
        (),
        "Names (subjectAltName) of which one has to be in a service's certificate.",
    )
    uploads_dir: str = setting(
        "VSI_ESL_COMPANION_UPLOADS_DIR",
        values.directory,
        default_uploads,
        "Directory of what it has been asked to upload, with the keys for it (mode 0700).",
        default_text="uploads in $STATE_DIRECTORY, else in ~/.local/state/vsi_esl",
        example="/var/lib/vsi_companion/uploads",
    )

    def lacking(self) -> list[str]:
        """The settings without which there is no companion."""
        return [
            f"companion.{name}"
            for name in ("listen", "ca", "certificate", "key", "services")
            if not getattr(self, name)
        ]
