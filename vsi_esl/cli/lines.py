"""Tables on standard output: aligned lines in full width, for a terminal, a pipe and a file alike."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

NOTHING = "-"
"""An empty cell, so that columns can be counted."""


def echo_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], colours: dict[str, str] | None = None
) -> None:
    """Print rows below their header. Nothing is cut or wrapped: where a line ends is the terminal's business.

    `colours` is for cells of that text; they have none where the output is no terminal, or NO_COLOR is set.
    """
    table = [list(header), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if colours and number and "NO_COLOR" not in os.environ:
            cells = [
                click.style(cell, fg=colours[cell.strip()]) if cell.strip() in colours else cell
                for cell in cells
            ]
        click.echo("  ".join(cells).rstrip())


def _cell(text: str) -> str:
    """One line of it, whatever a setting or a switch has in its text."""
    return " ".join(text.split()) or NOTHING
