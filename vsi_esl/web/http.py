"""The HTTP listener: the VSI endpoint and the health checks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import gevent
import orjson
import structlog
from flask import Flask, Response, g, request
from gevent.pywsgi import WSGIServer
from werkzeug.http import HTTP_STATUS_CODES

from ..calls.context import Context
from ..config import Config
from ..delivery.filters import ConfinedFilter
from ..documents import routes as documents
from ..errors import Invalid, NotFound, SwitchUnavailable, VsiError
from ..ops import metrics
from ..protocol import pages, streams
from ..protocol.routes import BASE
from . import auth, connections, replay, rest, switches
from .connections import Connection, Connections
from .handler import HardenedHandler, last_answer
from .streams import Streams
from .vsi import VsiSession

log = structlog.get_logger(__name__)

VSI_PATH = "/v1/vsi"
GOING_AWAY = 1001
POLICY = 1008
"""RFC 6455, 7.4.1: what the client does is not allowed to it."""
WITHDRAWN = "the token was withdrawn or changed"
CLOSE_TIMEOUT_S = 2.0

HTTP_CONNECTIONS = 256
"""Connections beside those of VSI clients; for more, those leave that wait longest."""
LEAVING = 64
"""Connections that are on their way out beside those."""
REQUEST_TIMEOUT_S = 30.0
"""Longest silence of a client between two requests on one connection, and longest time for an answer."""
BUSY = "503 Service Unavailable"


class HttpFace:
    """Flask application, its WSGI server on `host`, and the VSI sessions that are open."""

    def __init__(self, ctx: Context, host: str) -> None:
        self._ctx = ctx
        self._sessions: set[VsiSession] = set()
        self._streams = Streams(ctx)
        self._access = auth.Gate(ctx.config)
        self.host = host
        self._turns = replay.Turns()
        self.flask = self._build()
        descriptors = connections.room_for(ctx.config.vsi.max_clients + HTTP_CONNECTIONS)
        requests = min(HTTP_CONNECTIONS, descriptors // 2)
        self._max_sessions = min(ctx.config.vsi.max_clients, descriptors - requests)
        self.server = Listener(
            (host, ctx.config.http.port),
            rest.one_path(self.flask),
            handler_class=HardenedHandler,
            spawn=self._max_sessions + requests + LEAVING,
            log=None,
            error_log=_ErrorLog(),
        )
        self.server.connections = Connections(
            requests, ctx.config.access.connections_per_address, self._access.is_proxy
        )
        self.server.error_body = lambda text: self._body({"error": text})
        self.server.request_timeout = REQUEST_TIMEOUT_S
        self.server.ws_gate = self.gate
        self.server.ws_max_bytes = ctx.config.vsi.max_frame_bytes
        self.server.ws_write_timeout = ctx.config.vsi.write_timeout
        self.server.ws_read_timeout = ctx.config.vsi.idle_timeout or None

    @property
    def clients(self) -> int:
        """Open VSI connections."""
        return len(self._sessions)

    def start(self) -> None:
        """Listen. OSError when the address cannot be had."""
        self.server.start()

    def reload(self, config: Config) -> None:
        """Go by other rules of access. Clients whose token is gone or changed are told so (1008)."""
        self._access.reload(config)
        for session in list(self._sessions):
            if not self._access.holds(session.access):
                gevent.spawn(session.close, POLICY, WITHDRAWN)
        self._streams.close(POLICY, WITHDRAWN, all_but=self._access.holds)

    def close_sessions(self) -> None:
        """Tell every VSI client that the server goes away; one that does not read holds up no other."""
        text = "server shutting down"
        closing = [gevent.spawn(session.close, GOING_AWAY, text) for session in list(self._sessions)]
        closing += self._streams.close(GOING_AWAY, text)
        gevent.joinall(closing, timeout=CLOSE_TIMEOUT_S)

    def stop(self, timeout: float) -> None:
        """Stop listening, and end the requests under way after `timeout` seconds."""
        self.server.stop(timeout)

    def gate(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """Decide on an upgrade before it happens: None to go on, or the refusal."""
        try:
            access = environ["vsi_esl.access.tokens"] = self._access.admit(environ)
            path = rest.raw_path(environ)
            if path != VSI_PATH and streams.find(path.removeprefix(BASE)) is None:
                raise NotFound("no WebSocket here")
            if self._ctx.draining:
                raise SwitchUnavailable("the service is shutting down")
            if len(self._sessions) + len(self._streams) >= self._max_sessions:
                raise SwitchUnavailable("too many VSI connections")
            query = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=32)
            if self._streams.admit(environ, path, query, access):
                return None
            environ["vsi_esl.app_filter"] = ConfinedFilter(query.get("app_id", [""])[0], access)
            environ["vsi_esl.since"] = replay.since(self._ctx, query.get("since", [""])[0])
        except VsiError as error:
            return self._refuse(environ, error)
        except ValueError:
            return self._refuse(environ, Invalid("query string cannot be read"))
        return None

    def _refuse(self, environ: dict[str, Any], error: VsiError) -> tuple[str, list[tuple[str, str]], bytes]:
        auth.log_refusal(self._access.sender(environ), error)
        body = self._body({"error": error.message})
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        headers += auth.headers_of(error).items()
        return f"{error.code} {HTTP_STATUS_CODES[error.code]}", headers, body

    def _body(self, members: dict[str, Any]) -> bytes:
        return orjson.dumps({"instance_id": self._ctx.config.instance_id, **members}) + b"\n"

    def _build(self) -> Flask:
        app = Flask("vsi_esl", static_folder=None)
        auth.register(app, self._access, lambda error: rest.error_reply(self._ctx, error.code, error.message))
        rest.register(app, self._ctx)

        @app.get(VSI_PATH, websocket=True)
        def vsi() -> Response:
            environ = request.environ
            self._serve(environ)
            return Response()

        def stream(**_: str) -> Response:
            environ = request.environ
            access = environ["vsi_esl.access.tokens"]
            self._streams.serve(environ, access, self._access.sender(environ))
            return Response()

        def without_upgrade(**_: str) -> Response:
            body = self._body({"error": "this is a WebSocket endpoint"})
            answer = Response(body, 426, {"Upgrade": "websocket", "Connection": "Upgrade"})
            answer.content_type = "application/json"
            return answer

        app.add_url_rule(VSI_PATH, "without upgrade", without_upgrade, methods=["GET"])
        for path in streams.registered():
            rule = rest.rule_of(path)
            app.add_url_rule(rule, f"stream {path}", stream, methods=["GET"], websocket=True)
            app.add_url_rule(rule, f"{path} without upgrade", without_upgrade, methods=["GET"])

        @app.get("/healthz")
        def healthz() -> Response:
            return Response(self._body({"status": "ok"}), 200, content_type="application/json")

        @app.get("/readyz")
        def readyz() -> Response:
            return self._readiness()

        switches.register(app, self._ctx)
        for route in pages.registered().values():
            app.add_url_rule(route.rule, f"page {route.path}", self._page(route), methods=["GET"])
        documents.register(app)
        metrics.register(app, self._ctx, self._ctx.metrics, lambda: self.clients, self._ctx.webhooks)
        return app

    def _page(self, route: pages.Route) -> Callable[..., Response]:
        def view(**parameters: str) -> Response:
            found = pages.answer(self._ctx, route, g.access, parameters)
            if isinstance(found, dict):
                return rest.reply(self._ctx, found)
            if isinstance(found, pages.Moved):
                return Response(status=308, headers={"Location": found.to})
            response = Response(found.body, 200, content_type=found.content_type)
            response.headers.update(found.headers)
            if found.tag:
                response.set_etag(found.tag)
                response.make_conditional(request)
            return response

        return view

    def _serve(self, environ: dict[str, Any]) -> None:
        # before the first frame, so that no event after the upgrade is missed
        events = replay.EventStream(
            self._ctx, environ["vsi_esl.app_filter"], environ["vsi_esl.since"], self._turns
        )
        access, address = environ["vsi_esl.access.tokens"], self._access.sender(environ)
        session = VsiSession(self._ctx, environ["wsgi.websocket"], events, access, address)
        self._sessions.add(session)
        try:
            session.run()
        finally:
            self._sessions.discard(session)

    def _readiness(self) -> Response:
        nodes = self._ctx.nodes
        storage = self._ctx.state.error
        cluster = self._ctx.cluster
        ready = self._ctx.ready
        members: dict[str, Any] = {
            "status": "ready" if ready else "shutting down" if self._ctx.draining else "not ready",
            "storage": {"ready": not storage, "error": storage},
            "switch": switches.health(nodes.default),
        }
        if len(nodes) > 1:
            members["switches"] = {node.name: switches.health(node) for node in nodes}
        if cluster is not None:
            members["cluster"] = cluster.health()
        if not self._access.needs_token:  # everybody may ask this
            members |= {
                "legs": len(self._ctx.legs),
                "rooms": len(self._ctx.rooms),
                "vsi_clients": self.clients,
            }
        return Response(self._body(members), 200 if ready else 503, content_type="application/json")


class Listener(WSGIServer):
    """gevent's WSGI server, which lets in whom there is room for."""

    connections: Connections
    error_body: Callable[[str], bytes]

    def handle(self, sock: Any, address: Any) -> None:
        connection = Connection(sock, address, self.connections)
        if not self.connections.enter(connection):
            with suppress(OSError):
                body = self.error_body("too many connections")
                sock.sendall(last_answer(BUSY, body, "Retry-After: 1\r\n"))
            return
        try:
            handler = self.handler_class(sock, address, self)
            handler.connection = connection
            handler.handle()
        finally:
            self.connections.leave(connection)


class _ErrorLog:
    """pywsgi writes tracebacks and notices line by line; they belong into the service's log."""

    def write(self, text: str) -> None:
        if text.strip():
            log.error("http server", detail=text.rstrip())

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing is kept back."""
