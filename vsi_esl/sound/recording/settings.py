"""Settings of recordings: where they are, and in S3."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...config import values
from ...config.declare import setting, state_directory
from ...config.sections import section
from ...net.guard import AddressGuard, Network


def default_directory(environ: Mapping[str, str]) -> str:
    """Below the state directory."""
    return os.path.join(state_directory(environ), "recordings")


@section("recording")
@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """Recordings."""

    dir: str = setting(
        "RECORDING_DIR",
        values.switch_directory,
        default_directory,
        "Directory of recordings, made with mode 2770; the switch writes there.",
        default_text="recordings in $STATE_DIRECTORY, else in ~/.local/state/vsi_esl",
        example="/var/lib/vsi_esl/recordings",
    )


@section("s3")
@dataclass(frozen=True, slots=True)
class S3Settings:
    """Recordings in S3. Without a bucket here, requests have to name theirs."""

    bucket: str = setting("S3_BUCKET", values.text, "", "Bucket of recordings with storage s3.")
    region: str = setting("S3_REGION", values.some_text, "us-east-1", "Its region.")
    endpoint: str = setting("S3_ENDPOINT", values.text, "", "URL of an S3-compatible server; empty for AWS.")
    prefix: str = setting("S3_PREFIX", values.text, "", "Put before the file name as it is.")
    access_key: str = setting(
        "S3_ACCESS_KEY",
        values.text,
        "",
        "Static key; without both of them the AWS credential chain.",
        secret=True,
    )
    secret_key: str = setting("S3_SECRET_KEY", values.text, "", "Static secret.", secret=True)
    allow_insecure_endpoint: bool = setting(
        "S3_ALLOW_INSECURE_ENDPOINT",
        values.boolean,
        False,
        "Accept an endpoint with plain http that is neither local nor private.",
    )
    allowed_networks: tuple[Network, ...] = setting(
        "VSI_ESL_S3_ALLOWED_NETWORKS",
        values.networks,
        (),
        "Private networks (CIDR) in which endpoints may be that requests name (`s3_endpoint`).",
    )
    request_preflight_timeout: float = setting(
        "S3_REQUEST_PREFLIGHT_TIMEOUT",
        values.duration_or_zero,
        2.0,
        "Limit for looking whether the bucket is there when a recording starts; 0 for not looking.",
    )
    attempt_timeout: float = setting(
        "VSI_ESL_S3_ATTEMPT_TIMEOUT", values.duration, 300.0, "Limit for one attempt to upload a file."
    )
    upload_timeout: float = setting(
        "VSI_ESL_S3_UPLOAD_TIMEOUT",
        values.duration,
        10.0,
        "How long the end of a recording waits for its upload. After that the local file is reported, and"
        " kept; the upload goes on.",
    )

    def guard(self) -> AddressGuard:
        """Which addresses the endpoints of requests may have. The operator's own may be anywhere."""
        return AddressGuard(False, self.allowed_networks)
