"""WebSockets of features: upgraded, served, and told when the service stops or their token is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import structlog
from prometheus_client.core import Metric

from ..access.tokens import Access
from ..calls.context import Context
from ..ops.series import gauge
from ..protocol import streams
from ..protocol.routes import BASE
from .websocket import HardenedWebSocket, WebSocketClosed

log = structlog.get_logger(__name__)

SERVE = "vsi_esl.stream"


class Streams:
    """Those that are open."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._open: dict[HardenedWebSocket, Access] = {}
        ctx.metrics.show(self._series)

    def __len__(self) -> int:
        return len(self._open)

    def _series(self) -> Iterator[Metric]:
        yield gauge("vsi_esl_streams", "Open WebSockets that are no VSI connections.", len(self))

    def admit(self, environ: dict[str, Any], path: str, query: dict[str, list[str]], access: Access) -> bool:
        """Prepare the upgrade at a path; False when nothing is there. Raises VsiError to refuse it."""
        below = path.removeprefix(BASE)
        one = streams.find(below)
        if one is None:
            return False
        first = {name: values[0] for name, values in query.items()}
        environ[SERVE] = (
            one.path,
            streams.begin(self._ctx, one, below, first, access, headers=_headers(environ)),
        )
        return True

    def serve(self, environ: dict[str, Any], access: Access, address: str) -> None:
        """Serve one that is upgraded, until either side ends it."""
        path, serve = environ[SERVE]
        socket: HardenedWebSocket = environ["wsgi.websocket"]
        self._open[socket] = access
        log.debug("stream opened", path=path, client=access.name or None, address=address)
        try:
            serve(socket)
        except WebSocketClosed:
            pass  # the client went away
        finally:
            del self._open[socket]
            log.debug("stream closed", path=path, client=access.name or None, address=address)

    def close(
        self, code: int, text: str, *, all_but: Callable[[Access], bool] | None = None
    ) -> list[gevent.Greenlet]:
        """Close them, but for those with an access that `all_but` lets stay; what does it."""
        gone = [socket for socket, access in self._open.items() if all_but is None or not all_but(access)]
        return [gevent.spawn(socket.close, code, text) for socket in gone]


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """Those of the request, spelled as usual: X-Tenant."""
    return {
        key[5:].replace("_", "-").title(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
