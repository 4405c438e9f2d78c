"""WebRTC legs from the offer to the end: each one's connection to mod_verto, and what its browser is told.

The leg is there, and connected, when the offer is answered, as in the protocol; what it says and hears begins
when its browser has the answer. leg.connected is told then: at the end of the DTLS handshake (CALL_SECURE).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from prometheus_client.core import Metric

from ..calls import choosing, endings, lifecycle, placement
from ..calls.context import Context
from ..calls.moments import Awaited
from ..calls.nodes import Node
from ..errors import Internal, NotSupported, SwitchUnavailable, Unavailable
from ..later import Within, pause
from ..model.channel import Channel
from ..model.leg import CONNECTED, Leg
from ..model.legtypes import WEBRTC
from ..ops.series import gauge
from ..switch import memory
from ..switch.lines import builder
from ..switch.snapshot import Snapshot
from ..work import clock
from . import keeping, sdp
from .settings import WebRtcSettings
from .verto import LoginRefused, NoVerto, Refused, Verto

log = structlog.get_logger(__name__)

KIND = "webrtc"
MODULE = "mod_verto"
USER = "vsi@vsi"
PORT, PASSWORD = "vsi_verto_port", "vsi_verto_password"
MOST_OFFERS = 64
"""Under way at a time; the switch answers one in 55 ms."""
LOST_GRACE_S = 1.0
"""How long the switch's own news of a call may take whose connection is gone, or of the switch itself."""
CODEC, RATE = "opus", 48_000
ICE_FAILURE = "ice_failure"
SECURED = "variable_rtp_has_crypto"
"""Of a channel whose DTLS handshake is over."""


@dataclass(slots=True)
class Browser:
    """One WebRTC leg's."""

    leg: Leg
    verto: Verto
    candidates: list[sdp.Candidate] = field(default_factory=list)
    """Of the switch, not yet told."""
    up: bool = False
    """Its media has come, and leg.connected was told."""
    kept: bool = False
    """Its connection outlives the process."""
    reader: gevent.Greenlet | None = None


class Browsers:
    """Those of a service, by leg."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._of_leg: dict[str, Browser] = {}
        self._offered: set[str] = set()
        """The channels of offers that are under way."""
        self._slots = BoundedSemaphore(MOST_OFFERS)
        self._keeper = keeping.keeper()
        ctx.metrics.show(self._series)

    def begin(self, offer: sdp.Offer, app_id: str) -> tuple[Leg, str]:
        """A leg of a browser's offer, and the answer. Raises NotSupported, Internal, Unavailable,
        SwitchUnavailable or StorageFailed; there is no leg then, and nothing on the switch."""
        ctx = self._ctx
        node = choosing.for_leg(ctx, suits=_can)
        node.require(MODULE)
        if CODEC in node.facts.missing_codecs:
            raise NotSupported("WebRTC needs mod_opus, which the switch has not loaded")
        if not self._slots.acquire(blocking=False):
            raise Unavailable("too many WebRTC offers at once")
        leg = Leg(
            str(uuid.uuid4()),
            WEBRTC,
            clock.now(),
            CONNECTED,
            app_id,
            channel=Channel(node.name, parked=True, codec=CODEC, rate=RATE),
            speech_detection=ctx.config.speech.detection_enabled,
        )
        leg.answered_at = leg.created_at
        self._offered.add(leg.id)
        try:
            return leg, self._answered(node, leg, offer)
        finally:
            self._offered.discard(leg.id)
            self._slots.release()

    def _answered(self, node: Node, leg: Leg, offer: sdp.Offer) -> str:
        ctx, verto = self._ctx, None
        try:
            verto, text = self._called(node, leg, offer)
            try:
                answer, candidates = sdp.answer_for_client(offer, text)
            except sdp.BadOffer as error:
                log.warning("the switch's answer to an offer is of no use", error=str(error))
                raise Internal("failed to create answer") from None
            ctx.switch(leg).adopt(leg)
            ctx.switch(leg).remember(leg, "created_at", "app_id", "speech_detection")
            ctx.state.save_legs([leg], needed=True)
            browser = self._of_leg[leg.id] = Browser(leg, verto, candidates)
            self._save(browser)
            ctx.legs.add(leg)
            # what happened to it before it could be found has been told to nobody
            if not ctx.switch(leg).is_up(leg) or ctx.legs.find(leg.id) is not leg:
                raise Internal("failed to create answer")
        except BaseException:
            self._give_up(leg, verto)
            raise
        browser.kept = self._keeper.keep(leg.id, verto.fileno) if self._keeper else False
        browser.reader = gevent.spawn(self._watch, browser)
        self._arm(leg)
        placement.settle_soon(ctx, leg)
        return answer

    def _give_up(self, leg: Leg, verto: Verto | None) -> None:
        self._of_leg.pop(leg.id, None)
        if verto is not None:
            verto.close()
        if self._ctx.legs.remove(leg):
            self._ctx.timers.cancel(leg.id)
        self._ctx.state.forget_leg(leg.id)
        self._ctx.state.forget_item(KIND, leg.id)
        self._ctx.switch(leg).end(leg.id)

    def _called(self, node: Node, leg: Leg, offer: sdp.Offer) -> tuple[Verto, str]:
        """The call of this leg, and what the switch answers to it."""
        settings = self._ctx.config.section(WebRtcSettings)
        late = SwitchUnavailable(f"the switch did not answer the offer within {settings.offer_timeout:g} s")
        with Within(settings.offer_timeout, late):
            verto = _logged_in(node)
            try:
                timeout = {"vsi_media_timeout": str(round(settings.media_timeout * 1000))}
                return verto, verto.call(leg.id, offer.for_switch, timeout)
            except Refused as error:
                verto.close()
                log.warning("the switch refuses an offer", cause=str(error))
                raise Internal("failed to create answer") from None
            except BaseException:
                verto.close()
                raise

    def drain(self, leg: Leg) -> list[sdp.Candidate]:
        """The switch's candidates that the client has not been told; the last there are."""
        browser = self._of_leg.get(leg.id)
        if browser is None:
            return []
        told, browser.candidates = browser.candidates, []
        if told:
            self._save(browser)
        return told

    def _save(self, browser: Browser) -> None:
        """What the next process needs, if the connection outlives this one."""
        candidates = [asdict(one) for one in browser.candidates]
        body = {"id": browser.leg.id, "up": browser.up, "candidates": candidates}
        self._ctx.state.save_item(KIND, browser.leg.id, body)

    def secured(self, channel: str) -> None:
        """The DTLS handshake of a channel is over: media flows from now on."""
        browser = self._of_leg.get(channel)
        if browser is None or browser.up or browser.leg.ending:
            return
        browser.up = True
        self._ctx.timers.cancel(channel, "ice")
        lifecycle.connected(self._ctx, browser.leg, browser.leg.created_at)
        self._save(browser)

    def _watch(self, browser: Browser) -> None:
        """The switch stops the media of a call whose connection is gone, and nothing brings it back."""
        leg = browser.leg
        browser.verto.wait_closed()
        browser.verto.close()
        pause(LOST_GRACE_S)
        there = self._of_leg.get(leg.id) is browser and self._ctx.node(leg).ready
        if there and not (leg.ending or leg.unseen):
            log.warning("the connection of a WebRTC leg was lost", leg_id=leg.id)
            endings.hang_up(self._ctx, leg, ICE_FAILURE)

    def ended(self, ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
        """A leg has ended."""
        browser = self._of_leg.pop(leg.id, None)
        if browser is not None:
            if browser.reader is not None:
                browser.reader.kill(block=False)
            if browser.kept:
                self._keeper.forget(leg.id)
            browser.verto.close()
        ctx.state.forget_item(KIND, leg.id)
        return ()

    def bound(self, ctx: Context, node: Node) -> int:
        """How many have a connection to a switch, which is this process's."""
        return sum(ctx.node(browser.leg) is node for browser in self._of_leg.values())

    def released(self, ctx: Context, node: Node) -> None:
        """The switch is another service's now, which ends the legs whose connections are ours."""
        for leg_id, browser in list(self._of_leg.items()):
            if ctx.node(browser.leg) is not node:
                continue
            del self._of_leg[leg_id]
            if browser.reader is not None:
                browser.reader.kill(block=False)
            if browser.kept:
                self._keeper.forget(leg_id)
            browser.verto.close()

    def adopt(self, ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
        """Legs whose connection is gone are over; those whose media came while nobody watched are up."""
        left = {body["id"]: body for body in ctx.state.items(KIND)}
        for channel, dump in snapshot.channels.items():
            if memory.type_of(dump) != WEBRTC:
                continue
            leg, browser = ctx.legs.find(channel), self._of_leg.get(channel)
            if leg is None:
                # another service on the same switch has a bond of its own
                if channel not in self._offered and dump.get("variable_signal_bond") == node.bond:
                    node.switch.end(channel)
            elif channel not in self._offered:
                browser = browser or self._taken_over(leg, left.get(channel))
                if browser is None or browser.reader is None or browser.reader.ready():
                    gevent.spawn(endings.hang_up, ctx, leg, ICE_FAILURE)
                elif dump.get(SECURED):
                    self.secured(channel)
        self._drop_left()
        return ()

    def _drop_left(self) -> None:
        """Nobody needs the connection of a leg that is over."""
        records = self._ctx.state.legs()
        for leg_id in [one for one in keeping.inherited() if one not in records]:
            os.close(keeping.inherited().pop(leg_id))
            self._keeper.forget(leg_id)

    def _taken_over(self, leg: Leg, body: dict[str, Any] | None) -> Browser | None:
        """The connection of a leg that a process before has left; None when there is none."""
        fileno = keeping.inherited().pop(leg.id, None)
        if fileno is None or body is None or leg.ending:
            return None
        try:
            verto = Verto.resumed(fileno)
        except OSError as error:
            log.warning("what was kept of a WebRTC leg is of no use", leg_id=leg.id, error=str(error))
            return None
        candidates = [sdp.Candidate(**one) for one in body["candidates"]]
        browser = self._of_leg[leg.id] = Browser(leg, verto, candidates, up=body["up"])
        browser.kept = True
        browser.reader = gevent.spawn(self._watch, browser)
        if not browser.up:
            self._arm(leg)
        return browser

    def _arm(self, leg: Leg) -> None:
        due = leg.created_at + self._ctx.config.section(WebRtcSettings).connect_timeout
        self._ctx.timers.at(leg.id, "ice", due, endings.hang_up, self._ctx, leg, ICE_FAILURE)

    def stop(self, ctx: Context) -> None:
        """The service stops."""
        for browser in self._of_leg.values():
            if browser.reader is not None:
                browser.reader.kill(block=False)
            browser.verto.leave_open()  # what nobody else has ends by that

    def _series(self) -> Iterator[Metric]:
        waiting = sum(not browser.up for browser in self._of_leg.values())
        yield gauge("vsi_esl_webrtc_legs", "WebRTC legs.", len(self._of_leg))
        yield gauge("vsi_esl_webrtc_legs_waiting", "Those whose browser is not connected yet.", waiting)


def _logged_in(node: Node) -> Verto:
    """A connection to the switch's mod_verto. NotSupported when there is no profile, or no user, for us."""
    for attempt in (1, 2):
        port, password = node.command_many([builder.global_getvar(PORT), builder.global_getvar(PASSWORD)])
        if not (port.isascii() and port.isdigit() and password and not password.startswith("-ERR")):
            raise NotSupported(
                "WebRTC needs mod_verto's profile `vsi`, which the switch has not (vars_vsi.xml)"
            )
        verto = Verto(node.settings.host, int(port))
        try:
            verto.connect()
            verto.login(USER, password)
            return verto
        except NoVerto as error:
            verto.close()
            log.warning("mod_verto cannot be reached", port=port, error=str(error))
            raise NotSupported(
                f"WebRTC needs mod_verto's profile `vsi`, which is not at port {port}"
            ) from None
        except LoginRefused:
            verto.close()
            if attempt == 2:  # the password is another after each reloadxml
                raise NotSupported(
                    "WebRTC needs a user for mod_verto, which the switch has not (directory/vsi.xml)"
                ) from None
        except BaseException:
            verto.close()
            raise
    raise AssertionError("unreachable")


def _can(node: Node) -> bool:
    """Whether a switch has the modules that a browser's call takes."""
    return MODULE not in node.facts.missing_modules and CODEC not in node.facts.missing_codecs
