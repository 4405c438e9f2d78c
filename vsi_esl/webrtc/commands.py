"""The commands of WebRTC legs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

import structlog

from ..calls.context import Context
from ..commands.legs import LegPayload
from ..errors import Internal, Invalid
from ..model.leg import Leg
from ..model.legtypes import WEBRTC
from ..protocol.ids import AppId, TheirId
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import INT32, Integer, Nested, Payload, Text, about
from . import sdp
from .browsers import Browsers

log = structlog.get_logger(__name__)

GROUP = "WebRTC"


class WebRtcOffer(Payload):
    sdp = Text(
        limit=sdp.MAX_SDP,
        metadata=about("SDP offer of the browser; candidates are not needed.", needed=True),
    )
    app_id = AppId(metadata=about("The application it belongs to."))


class Offered(TypedDict):
    """A leg, and what its browser is to be given."""

    leg_id: str
    sdp: Annotated[str, "SDP answer, without candidates."]


class IceCandidate(Payload):
    candidate = Text(
        limit=1024, metadata=about("The candidate's line; empty for the end of them.", needed=True)
    )
    sdp_mid = TheirId(data_key="sdpMid", metadata=about("The section that it is of."))
    sdp_m_line_index = Integer(
        *INT32, data_key="sdpMLineIndex", metadata=about("The number of that section.")
    )
    username_fragment = Text(
        data_key="usernameFragment",
        limit=256,
        metadata=about("The ICE credentials that it is of."),
    )


class AddCandidate(LegPayload):
    candidate = Nested(
        IceCandidate, metadata=about("As the browser's `RTCIceCandidate.toJSON()` has it.", needed=True)
    )


class IceCandidateInit(TypedDict):
    """What `RTCPeerConnection.addIceCandidate` takes."""

    candidate: Annotated[str, "The candidate's line."]
    sdpMid: Annotated[str | None, "The section that it is of."]
    sdpMLineIndex: Annotated[int | None, "The number of that section."]
    usernameFragment: Annotated[str | None, "The ICE credentials that it is of."]


class Candidates(TypedDict):
    """Those of the switch that were not told before."""

    candidates: Annotated[list[IceCandidateInit], "Empty when there is nothing new."]
    done: Annotated[bool, "No more will come."]


@command("webrtc_offer", WebRtcOffer, rest=Rest("POST", "/webrtc/offer", body=Body.REQUIRED, group=GROUP))
def webrtc_offer(ctx: Context, *, app_id: str, **members: Any) -> Offered:
    """Make a leg of a browser's offer. leg.connected follows when its media has come.

    The browser needs the answer and, by webrtc_get_candidates, the switch's candidate.
    """
    try:
        offer = sdp.read_offer(members["sdp"])
    except sdp.BadOffer as error:
        log.debug("an SDP offer is of no use", why=str(error))
        raise Invalid("invalid SDP offer") from None
    except sdp.NoCodec:
        raise Internal("failed to create answer") from None
    leg, answer = ctx.get(Browsers).begin(offer, app_id)
    return {"leg_id": leg.id, "sdp": answer}


@command(
    "webrtc_add_candidate",
    AddCandidate,
    rest=Rest("POST", "/legs/{id}/ice-candidates", body=Body.REQUIRED, within="candidate", group=GROUP),
)
def webrtc_add_candidate(ctx: Context, id: str, candidate: dict[str, Any] | None) -> Status[Literal["added"]]:
    """Take a candidate of the browser's.

    None is needed: the switch answers wherever the browser's ICE checks come from.
    """
    _of_browser(ctx, id)
    if candidate is not None and not sdp.is_candidate(candidate["candidate"]):
        raise Internal("failed to add ICE candidate")
    return {"status": "added"}


@command(
    "webrtc_get_candidates",
    LegPayload,
    rest=Rest("GET", "/legs/{id}/ice-candidates", group=GROUP, takes=True),
)
def webrtc_get_candidates(ctx: Context, id: str) -> Candidates:
    """The switch's candidates that were not told before: all there are the first time, and then none."""
    leg = _of_browser(ctx, id)
    told: list[IceCandidateInit] = [
        {
            "candidate": one.candidate,
            "sdpMid": one.mid,
            "sdpMLineIndex": one.index,
            "usernameFragment": one.ufrag,
        }
        for one in ctx.get(Browsers).drain(leg)
    ]
    return {"candidates": told, "done": True}


def _of_browser(ctx: Context, leg_id: str) -> Leg:
    leg = ctx.legs.get(leg_id)
    if leg.type != WEBRTC:
        raise Invalid("leg is not a WebRTC leg")
    return leg
