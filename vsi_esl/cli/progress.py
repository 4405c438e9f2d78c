"""Progress of what takes long: on standard error, and only where that is a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Told = Callable[[int, str], None]
"""Tells how much is done, and in a few words what is being done."""


@contextmanager
def progress(what: str, total: int | None = None, shown: bool = True) -> Iterator[Told]:
    """Show how far `what` is while the block runs, of `total` if that is known; nothing is left of it then.

    Where nobody sees it, and with `shown` false, nothing is done. The bar is drawn when it is told something,
    which needs no thread.
    """
    console = Console(stderr=True, no_color="NO_COLOR" in os.environ or None)
    if not shown or not console.is_terminal or console.is_dumb_terminal:
        yield lambda done, doing: None
        return
    parts = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
    if total is None:
        parts = [SpinnerColumn(), TextColumn("{task.description}")]
    bar = Progress(*parts, TimeElapsedColumn(), console=console, transient=True, auto_refresh=False)
    with bar:
        task = bar.add_task(what, total=total)

        def tell(done: int, doing: str) -> None:
            bar.update(task, completed=done, description=f"{what} {doing}".rstrip(), refresh=True)

        tell(0, "")
        yield tell
