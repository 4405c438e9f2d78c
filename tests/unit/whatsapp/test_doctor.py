"""What doctor says of WhatsApp calls."""

from __future__ import annotations

import pytest

from vsi_esl.config import Config
from vsi_esl.config.settings import SipSettings
from vsi_esl.whatsapp import doctor

PROFILE = "<profile><profile-info><tls-url>sip:mod_sofia@192.0.2.1:5061</tls-url></profile-info></profile>"
NAMED = Config(sip=SipSettings(domain="sip.example.com"))


def found(config: Config, profile: str, opus: str = "true") -> tuple[str, str]:
    def ask(line: str) -> str:
        return opus if line == "module_exists mod_opus" else profile

    (check,) = doctor.whatsapp(config, ask)
    return check.status, check.detail


@pytest.mark.parametrize(
    ("config", "profile", "opus", "status", "detail"),
    [
        (NAMED, "Invalid Profile!\n", "true", "ok", "not set up: the switch runs no profile vsi_wa"),
        (NAMED, "<profile></profile>", "true", "failed", "vsi_wa has no TLS"),
        (NAMED, PROFILE, "false", "failed", "opus is not there"),
        (Config(), PROFILE, "true", "warning", "calls from vsi_wa have an address in From"),
        (NAMED, PROFILE, "true", "ok", "vsi_wa, to wa.meta.vc:5061;transport=tls"),
    ],
)
def test_what_it_finds(config, profile, opus, status, detail):
    assert found(config, profile, opus) == (status, detail)
