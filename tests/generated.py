"""`python -m tests.generated`: write all documents that are made of the code anew.

Tests say when they are old. Of the examples only those are recorded that are missing.
"""

from __future__ import annotations

from pathlib import Path

from tests import record_examples  # isort: skip - before everything else, as it patches

from vsi_esl.config import reference_table
from vsi_esl.documents import pages

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "Made by `python -m tests.generated` (`make docs`); a test keeps it so."


def texts() -> dict[Path, str]:
    """The documents in docs/, each with what it has to be."""
    return {
        DOCS / "configuration.md": f"# Settings\n\n{MADE}\n\n{reference_table()}",
        DOCS / "commands.md": f"# Commands\n\n{MADE}\n\n{pages.commands_markdown()}",
    }


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
    record_examples.write(all_of_them=False)
