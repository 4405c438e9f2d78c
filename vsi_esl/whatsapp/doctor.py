"""What `vsi-esl doctor` looks at of WhatsApp calls."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import Config
from ..model.codecs import CODEC_MODULES, OPUS
from ..ops.findings import FAIL, OK, WARN, Ask, Check, switch_check
from ..switch.lines import builder
from .settings import WhatsAppSettings

NAME = "whatsapp"


@switch_check(NAME)
def whatsapp(config: Config, ask: Ask) -> Iterator[Check]:
    """The SIP profile, where there is one, has TLS and opus."""
    settings = config.section(WhatsAppSettings)
    profile = settings.sofia_profile
    status = ask(builder.sofia_profile_status(profile))
    if "<profile" not in status:
        yield Check(NAME, OK, f"not set up: the switch runs no profile {profile}")
        return
    if "<tls-url>" not in status:
        yield Check(NAME, FAIL, f"{profile} has no TLS", "see vsi/sip_profile_whatsapp.xml")
        return
    if ask(builder.module_exists(CODEC_MODULES[OPUS])) != "true":
        yield Check(NAME, FAIL, "opus is not there", f"load {CODEC_MODULES[OPUS]} in modules.conf.xml")
        return
    if not config.sip.domain:
        hint = "set sip.domain to the name that Meta knows this server by"
        yield Check(NAME, WARN, f"calls from {profile} have an address in From", hint)
        return
    yield Check(NAME, OK, f"{profile}, to {settings.target}")
