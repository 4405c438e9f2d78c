"""create_leg of type whatsapp: calling a WhatsApp user."""

from __future__ import annotations

import re
from typing import Any

from ..calls.context import Context
from ..calls.creating import creates
from ..calls.nodes import Node
from ..commands.answering import require_codec
from ..commands.create import dial, outbound_leg, usable_node
from ..errors import Invalid, NotSupported
from ..model.codecs import OPUS, SWITCH_NAMES
from ..model.leg import Leg, LegView
from ..model.legtypes import WHATSAPP_OUT
from ..model.sipuri import parse
from ..switch.lines import headers
from ..switch.lines.targets import Profiles, at_profile
from .settings import WhatsAppSettings

NUMBER = re.compile(r"\+?[0-9]{1,32}\Z")


@creates("whatsapp")
def create(ctx: Context, request: dict[str, Any]) -> LegView:
    """Call a WhatsApp user. Of the request, what only SIP legs have is left alone."""
    if not request["to"]:
        raise Invalid("'to' is required")
    if not request["from_"]:
        raise Invalid("'from' is required (business phone number, E.164)")
    auth = request["auth"]
    if not (auth and auth["password"]):
        raise Invalid("'auth.password' is required (Meta-issued digest password)")
    callee, business = _digits("to", request["to"]), _digits("from", request["from_"])
    settings = ctx.config.section(WhatsAppSettings)
    node = usable_node(ctx, request["room_id"])
    leg = outbound_leg(ctx, node, WHATSAPP_OUT, request["to"], request)
    _require(ctx, node, leg, settings)
    leg.ring_deadline = leg.created_at + settings.invite_timeout
    variables = {
        "media_webrtc": "true",
        "absolute_codec_string": SWITCH_NAMES[OPUS],
        "origination_caller_id_number": f"+{business}",
        "origination_caller_id_name": f"+{business}",
        "sip_contact_user": f"+{business}",
        "sip_cid_type": "none",
        headers.SESSION_TIMEOUT: "0",
        "sip_auth_username": auth["username"] or business,
        "sip_auth_password": auth["password"],
    }
    if domain := ctx.config.sip.domain:
        variables["sip_from_uri"] = f"sip:+{business}@{domain}"
    uri = parse(f"sip:+{callee}@{settings.target}")
    profiles = Profiles(settings.sofia_profile, settings.sofia_profile)
    return dial(ctx, leg, variables, at_profile(uri, None, profiles))


def _digits(member: str, number: str) -> str:
    """A phone number without its +."""
    if not NUMBER.match(number):
        raise Invalid(f"'{member}' is not a phone number (E.164)")
    return number.removeprefix("+")


def _require(ctx: Context, node: Node, leg: Leg, settings: WhatsAppSettings) -> None:
    if not node.switch.has_tls_profile(settings.sofia_profile):
        raise NotSupported(
            f"create_leg type whatsapp needs a SIP profile with TLS named {settings.sofia_profile},"
            " which the switch does not run"
        )
    require_codec(ctx, leg, OPUS)
