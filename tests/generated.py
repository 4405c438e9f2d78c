"""`python -m tests.generated`: write all documents that are made of the code anew.

Tests say when they are old. Of the examples only those are recorded that are missing.
"""

from __future__ import annotations

from pathlib import Path

from tests import record_examples  # isort: skip - before everything else, as it patches

from tests.support import series
from vsi_esl.cli import reference
from vsi_esl.cli.completion import making, payloads
from vsi_esl.config import reference_table
from vsi_esl.documents import pages

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "Made by `python -m tests.generated` (`make generated`); a test keeps it so."
METRICS = """\
`GET /metrics`, in the text format of Prometheus, for tokens of every scope. Counters begin at 0 with the
process. Names that begin with `voiceblender_` are those of the reference. Of a histogram there are `_bucket`,
`_sum` and `_count`. With several switches, series about a switch have the label `switch`. What to do with
them says [monitoring](monitoring.md).
"""


def texts() -> dict[Path, str]:
    """The documents in docs/ and what shells complete, each with what it has to be."""
    return {
        DOCS / "configuration.md": f"# Settings\n\n{MADE}\n\n{reference_table()}",
        DOCS / "cli.md": f"# The command line\n\n{MADE}\n\n{reference.markdown()}",
        DOCS / "commands.md": f"# Commands\n\n{MADE}\n\n{pages.commands_markdown()}",
        DOCS / "events.md": f"# Events\n\n{MADE}\n\n{pages.events_markdown()}",
        payloads.FILE: making.text(),
    }


def metrics() -> str:
    """docs/metrics.md; it takes a service to know the series."""
    return f"# Series of /metrics\n\n{MADE}\n\n{METRICS}\n{series.page()}"


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
    (DOCS / "metrics.md").write_text(metrics())
    record_examples.write(all_of_them=False)
