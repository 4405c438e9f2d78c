"""What checks have found, on standard output, as `doctor` and others show it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from ..ops.findings import FAIL, OK, WARN, Check
from .lines import echo_table

COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}


def echo_checks(found: Sequence[Check], of: str, as_json: bool) -> None:
    """Print them below the header `of`, or as one JSON array. Ends with exit code 1 when one has failed."""
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        rows = [(one.name, one.status, one.detail, one.hint) for one in found]
        echo_table((of, "status", "found", "what to do"), rows, COLOURS)
    if any(one.status == FAIL for one in found):
        sys.exit(1)
