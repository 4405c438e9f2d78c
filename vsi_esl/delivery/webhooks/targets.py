"""Where an event's webhook goes: the leg's, else the room's, else the global one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import structlog

from ...config.web import WebhookSettings
from ...errors import Invalid
from ...events.base import Event
from ...events.legs import LegDisconnected
from ...events.rooms import RoomCreated
from ...model.leg import Webhook
from ...model.stores import Legs, Rooms
from ...net import NetError
from ...net.addresses import host_port
from ...net.guard import AddressGuard, is_address
from ...net.url import parsed

log = structlog.get_logger(__name__)

MAX_URL = 4096
MAX_SECRET = 1024
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

GLOBAL = ""
"""The endpoint and URL that stand for the global webhook, wherever that is when the event is delivered."""

URL_HEADER, SECRET_HEADER = "x-webhook-url", "x-webhook-secret"


@dataclass(slots=True, frozen=True)
class Target:
    """Where one event goes.

    `url` GLOBAL is the global webhook, and an empty `secret` is the global one, if there is one: as they are
    at the time of delivery, so that an event in the outbox follows a receiver that moved or a new secret.
    `endpoint` is what `endpoint_of` says of the URL; events with one endpoint and `key` are kept in order.
    """

    endpoint: str
    key: str
    url: str
    secret: str


class Router:
    """Finds the one target of an event (reference section 7.1)."""

    def __init__(self, legs: Legs, rooms: Rooms, has_global: bool) -> None:
        self._legs = legs
        self._rooms = rooms
        self.has_global = has_global

    def target(self, event: Event) -> Target | None:
        """Where this event goes; None for nowhere. To be called once per event, in order."""
        leg_id = getattr(event, "leg_id", None)
        # a bridge's event counts as room A's
        room_id = getattr(event, "room_id", None) or getattr(event, "room_a_id", None)
        hook = self._of_leg(leg_id, event) if leg_id else None
        if hook is None and room_id and not isinstance(event, RoomCreated):
            room = self._rooms.find(room_id)
            hook = room.webhook if room else None
        key = leg_id or room_id or ""
        if hook is not None:
            return Target(endpoint_of(hook.url), key, hook.url, hook.secret)
        return Target(GLOBAL, key, GLOBAL, "") if self.has_global else None

    def _of_leg(self, leg_id: str, event: Event) -> Webhook | None:
        if isinstance(event, LegDisconnected):
            return self._legs.webhooks.pop(leg_id, None)
        return self._legs.webhooks.get(leg_id)


@lru_cache(maxsize=4096)
def endpoint_of(url: str) -> str:
    """Scheme, host, port and path of a URL: what fails as one.

    The path is there as a digest: it may be a secret (many chat services have nothing else), and endpoints
    are shown in the log and by the command line.
    """
    try:
        found = parsed(url, "")
    except NetError:  # from a database that somebody edited
        return "invalid"
    digest = hashlib.sha256(found.path.encode()).hexdigest()[:16] if found.path != "/" else ""
    return f"{found.scheme}://{host_port(found.host, found.port)}/{digest}"


def host_of(endpoint: str) -> str:
    """Scheme, host and port of an endpoint; GLOBAL is a host of its own."""
    return "/".join(endpoint.split("/", 3)[:3])


def requested(url: str, secret: str, guard: AddressGuard) -> Webhook | None:
    """The webhook that a request names, None when it names none. Raises Invalid.

    Checked as far as that goes without asking a name server: a host name's addresses are checked when it is
    connected to.
    """
    if not url:
        return None
    what = "webhook_url"
    if len(url) > MAX_URL:
        raise Invalid(f"{what}: longer than {MAX_URL} characters")
    if len(secret) > MAX_SECRET:
        raise Invalid(f"webhook_secret: longer than {MAX_SECRET} characters")
    if CONTROL.search(url):
        raise Invalid(f"{what}: must not have control characters")
    for name, text in ((what, url), ("webhook_secret", secret)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{name}: no valid text") from None
    try:
        guard.check_name(parsed(url, what).host, what)
    except NetError as error:
        raise Invalid(error.message) from None
    return Webhook(url, secret)


def of_call(
    headers: Mapping[str, str], source: str, settings: WebhookSettings, guard: AddressGuard
) -> Webhook | None:
    """The webhook that an inbound INVITE from the address `source` names in its headers.

    None unless the source is trusted: any caller can send these headers.
    """
    named = {name.lower(): value for name, value in headers.items()}
    url = named.get(URL_HEADER, "").strip()
    if not url or not settings.from_sip_networks:
        return None
    if not is_address(source, settings.from_sip_networks):
        log.info("webhook of a call ignored: not from a trusted network", source=source)
        return None
    try:
        return requested(url, named.get(SECRET_HEADER, "").strip(), guard)
    except Invalid as error:
        log.warning("webhook of a call ignored", source=source, reason=error.message)
        return None
