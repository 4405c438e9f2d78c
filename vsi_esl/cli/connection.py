"""A VSI connection for the commands that are clients."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import click
import websocket

REPLY_TIMEOUT_S = 40.0
TRY_AGAIN = 500
"""From this status on a refusal may be over soon: the service starts, stops or has no switch."""


class NotThere(click.ClickException):
    """Nobody answers at the address, or not yet: to be tried again by who can wait."""


GOODBYE_S = 1


def close(ws: websocket.WebSocket) -> None:
    """Say goodbye, and close the socket, also when the service said goodbye first."""
    ws.close(timeout=GOODBYE_S)
    ws.shutdown()  # type: ignore[no-untyped-call]


def connect(url: str, token: str = "", **query: str) -> websocket.WebSocket:
    """A VSI connection, past its first frame. ClickException, with the address and the reason, when there is
    none; NotThere when it may be worth another try."""
    given = urlencode({name: value for name, value in query.items() if value})
    address = f"{url}{'&' if '?' in url else '?'}{given}" if given else url
    try:
        header = [f"Authorization: Bearer {token}"] if token else []
        # no page of a browser asks, so there is no origin to tell
        ws = websocket.create_connection(
            address, timeout=REPLY_TIMEOUT_S, header=header, suppress_origin=True
        )
        first = json.loads(ws.recv())
    except websocket.WebSocketBadStatusException as error:
        body = (error.resp_body or b"").decode("utf-8", "replace").strip()
        kind = NotThere if error.status_code >= TRY_AGAIN else click.ClickException
        raise kind(f"{url}: refused: {body or error}") from None
    except (websocket.WebSocketException, OSError) as error:
        raise NotThere(f"cannot reach {url}: {error}") from None
    except ValueError as error:
        raise click.ClickException(f"cannot reach {url}: {error}") from None
    if first.get("type") != "connected":
        raise click.ClickException(f"{url} is no VSI endpoint")
    return ws
