"""Who gets in: addresses, browsers' origins and bearer tokens, decided before anything else is done.

`Gate.admit` looks at a WSGI environment, so that an upgrade is decided on by the same rules as a request,
and before it happens. Rejections are VsiErrors, with the REST error body.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from flask import Flask, Response, g, request

from ..access.tokens import OPEN, Access, Tokens
from ..config import Config
from ..config.loading import is_loopback
from ..errors import Forbidden, TooMany, Unauthorized, VsiError
from ..ops import privacy
from ..protocol import pages
from . import wshandshake
from .forwarded import address_of, client_of, within

log = structlog.get_logger(__name__)

PUBLIC = frozenset(("/", "/healthz", "/readyz", "/openapi.json", "/asyncapi.json"))
PUBLIC_FOLDER = "/docs"
"""What needs no token: it tells nothing about calls."""
OVER_ALL = frozenset(("/metrics", "/switches"))
"""What is about all calls, and what is below it: for no token that is confined to some."""
METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS = "Content-Type, Authorization, X-Request-Id"
BEARER = "bearer "


class Gate:
    """The rules of one configuration."""

    def __init__(self, config: Config) -> None:
        self._tokens = Tokens(())
        self.reload(config)

    def reload(self, config: Config) -> None:
        """Go by these settings from now on. Tokens that stay keep what they have spent."""
        settings = config.access
        self._networks = settings.allowed_ips
        self._trust_proxy = settings.trust_proxy_headers
        self._proxies = settings.trusted_proxies
        self._tokens = self._tokens.renewed(settings.tokens, settings.rate_limit)
        self._hosts = frozenset(name.lower() for name in (*settings.allowed_hosts, config.http.host))
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.allowed_origins)

    @property
    def needs_token(self) -> bool:
        return bool(self._tokens)

    def holds(self, access: Access) -> bool:
        """Whether what was admitted with this still may go on."""
        return access in self._tokens if self._tokens else access is OPEN

    def admit(self, environ: dict[str, Any], route: str | None = None) -> Access:
        """What the request may do. Forbidden, Unauthorized or TooMany when it may not even ask.

        `route` is where it leads to, if it is known; the path may be written in more than one way.
        """
        self.check_address(environ)
        origin = environ.get("HTTP_ORIGIN", "")
        if origin and not self.allows_origin(origin, environ):
            raise Forbidden("origin not allowed")
        path = environ.get("PATH_INFO", "") if route is None else route
        if path in PUBLIC or path == PUBLIC_FOLDER or path.startswith(f"{PUBLIC_FOLDER}/"):
            return OPEN
        if route is not None and pages.is_public(route):
            return OPEN
        self.check_host(environ)
        access = self._token_of(environ)
        if access.confined and any(path == one or path.startswith(f"{one}/") for one in OVER_ALL):
            raise Forbidden("not for a token that is confined to an app_id")
        access.spend()
        return access

    def check_address(self, environ: dict[str, Any]) -> None:
        """Forbidden for an address that is not on the list."""
        if not self._networks:
            return
        if not within(address_of(self.sender(environ)), self._networks):
            raise Forbidden("forbidden")

    def sender(self, environ: dict[str, Any]) -> str:
        """The address that a request comes from. With a list of trusted proxies it is who asked the first of
        them; with `trust_proxy_headers` alone the leftmost X-Forwarded-For, as in the reference server."""
        peer = str(environ.get("REMOTE_ADDR", ""))
        forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if self._proxies:
            return client_of(peer, forwarded, self._proxies)
        if self._trust_proxy and "HTTP_X_FORWARDED_FOR" in environ:
            return forwarded.partition(",")[0].strip()
        return peer

    def is_proxy(self, address: str) -> bool:
        """Whether it is a trusted proxy's, whose connections are those of many clients."""
        return within(address_of(address), self._proxies)

    def check_host(self, environ: dict[str, Any]) -> None:
        """Forbidden, without tokens, for a name that is not known to lead here.

        A page whose own name was made to lead to this machine (DNS rebinding) may read what it asks for, and
        no origin is sent with GET. It cannot ask for an address, since it does not come from there.
        """
        if self._tokens or "*" in self._hosts or "*" in self._origins:
            return
        asked = environ.get("HTTP_HOST", "")
        try:
            name = urlsplit(f"//{asked}").hostname or ""
        except ValueError:
            name = asked
        if asked and not _is_address(name) and name not in self._hosts:
            raise Forbidden("host not allowed: ask for an address, or list the name in access.allowed_hosts")

    def allows_origin(self, origin: str, environ: dict[str, Any]) -> bool:
        """Whether a page from there may talk to us: one that is listed, or our own.

        Our own is one whose host is the one asked for. Without tokens that alone proves nothing, since a
        name of the attacker's can lead to this machine: then only loopback, addresses and listed hosts count.
        """
        if "*" in self._origins or origin.lower() in self._origins:
            return True
        try:
            parts = urlsplit(origin)
            asked: str = environ.get("HTTP_HOST", "")
            host, own = parts.hostname or "", parts.netloc.lower() == asked.lower()
        except ValueError:
            return False
        if self._tokens:
            return own
        if own and (_is_address(host) or host in self._hosts):
            return True
        return is_loopback(host) and _reached_by_loopback(environ)

    def cors(self, environ: dict[str, Any]) -> dict[str, str]:
        """The headers that let an allowed page read the answer."""
        origin = environ.get("HTTP_ORIGIN", "")
        headers = {"Vary": "Origin"} if "*" not in self._origins else {}
        if "*" in self._origins:
            headers["Access-Control-Allow-Origin"] = "*"
        elif origin and self.allows_origin(origin, environ):
            headers["Access-Control-Allow-Origin"] = origin
        else:
            return headers
        allow = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Allow-Headers": HEADERS}
        return headers | allow | {"Access-Control-Expose-Headers": "X-Request-Id, Retry-After"}

    def _token_of(self, environ: dict[str, Any]) -> Access:
        if not self._tokens:
            return OPEN
        header = environ.get("HTTP_AUTHORIZATION", "")
        token = header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER else ""
        if not header and "HTTP_UPGRADE" in environ:
            # a browser's WebSocket cannot send headers but this one; URLs are in the logs of proxies
            token = wshandshake.token_offered(environ)
            if not token:
                token = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=32).get("token", [""])[0]
        if not token:
            raise Unauthorized("a bearer token is required")
        access = self._tokens.find(token)
        if access is None:
            raise Unauthorized("the bearer token is not valid")
        return access


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_loopback(host)
    return True


def _reached_by_loopback(environ: dict[str, Any]) -> bool:
    return is_loopback(urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or "")


def log_refusal(address: str, error: VsiError) -> None:
    """One line for what was not let in. Who asks too often is not to fill the log as well."""
    tell = log.debug if isinstance(error, TooMany) else log.info
    tell("connection refused", address=privacy.short(address), reason=error.message, code=error.code)


def headers_of(error: VsiError) -> dict[str, str]:
    """What HTTP says beside the body of a rejection."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooMany):
        return {"Retry-After": str(max(1, round(error.wait)))}
    return {}


def register(app: Flask, gate: Gate, refuse: Callable[[VsiError], Response]) -> None:
    """Ask the gate before every request. `refuse(error)` makes the response of a rejection."""

    @app.before_request
    def admit() -> Response | None:
        if request.method == "OPTIONS":
            return Response(status=204)
        if (admitted := request.environ.get("vsi_esl.access.tokens")) is not None:
            g.access = admitted  # at the upgrade
            return None
        try:
            g.access = gate.admit(request.environ, request.url_rule.rule if request.url_rule else None)
        except VsiError as error:
            log_refusal(gate.sender(request.environ), error)
            refused = refuse(error)
            refused.headers.update(headers_of(error))
            return refused
        return None

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers.update(gate.cors(request.environ))
        return response
