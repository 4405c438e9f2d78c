"""Settings of call detail records."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section

JSON, CSV = "jsonl", "csv"


@section("cdr")
@dataclass(frozen=True, slots=True)
class CdrSettings:
    """Call detail records: one per leg that has ended (docs/cdr.md)."""

    path: str = setting(
        "VSI_ESL_CDR_PATH",
        values.file_path_or_none,
        "",
        "File that records are appended to, made with mode 0640; empty for none. It may be moved away at any"
        " time, as logrotate does.",
        default_text="none",
        example="/var/log/vsi_esl/cdr.jsonl",
    )
    format: str = setting(
        "VSI_ESL_CDR_FORMAT",
        values.choice(JSON, CSV),
        JSON,
        "jsonl: a JSON object per line; csv: with a header line, and texts made harmless for spreadsheets.",
    )
