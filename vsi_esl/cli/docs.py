"""`vsi-esl docs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from ..documents import asyncapi, openapi, pages

Maker = Callable[[], str]


def _json(build: Callable[[], dict[str, Any]]) -> Maker:
    return lambda: json.dumps(build(), indent=2) + "\n"


MAKERS: dict[str, dict[str, Maker]] = {
    "openapi": {"json": _json(openapi.build), "html": pages.rest_page},
    "asyncapi": {"json": _json(asyncapi.build), "html": pages.vsi_page},
    "commands": {"markdown": pages.commands_markdown},
    "events": {"markdown": pages.events_markdown},
}


@click.command()
@click.argument("document", type=click.Choice(list(MAKERS)))
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "html", "markdown"]),
    help="json or html for openapi and asyncapi, markdown for commands and events.",
)
@click.option("-o", "--output", type=click.File("w", lazy=True), default="-", help="A file to write to.")
def docs(document: str, form: str | None, output: Any) -> None:
    """Print a description of the API, as the service has it at /openapi.json, /asyncapi.json and /docs."""
    forms = MAKERS[document]
    chosen = form or next(iter(forms))
    if chosen not in forms:
        raise click.UsageError(f"{document} can be had as {' or '.join(forms)}")
    output.write(forms[chosen]())
