"""HTTP requests of the command line to a running service."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

import click
import urllib3

TIMEOUT_S = 10.0


def ask(url: str, token: str, method: str, path: str) -> Any:
    """The JSON that the service answers. `url` is its VSI endpoint; `path` is at the top of the same server.
    ClickException, with what it said, for any other answer and for none."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    address = f"{scheme}://{parts.netloc}{quote(path)}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib3.PoolManager(timeout=TIMEOUT_S, retries=False) as pool:
            answer = pool.request(method, address, headers=headers)
            body = json.loads(answer.data)
    except urllib3.exceptions.HTTPError as error:
        raise click.ClickException(f"cannot reach {parts.netloc}: {error}") from None
    except ValueError:
        raise click.ClickException(f"{address} is none of this service") from None
    if answer.status != 200:
        raise click.ClickException(str(body.get("error", answer.status)))
    return body
