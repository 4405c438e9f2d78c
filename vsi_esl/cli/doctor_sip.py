"""What `vsi-esl doctor` looks at of SIP beside the profile itself: TLS and its certificate, IPv6, trunks."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator

from ..config import Config
from ..net.certificates import expiry
from ..ops.findings import OK, WARN, Ask, Check
from ..switch.lines import builder
from ..switch.trunks import NO_REGISTRATION, REGISTERED, read

TLS_ADDRESS = re.compile(r"<tls-url>sips?:(?:[^@<]*@)?(\[[^\]<]*\]|[^:<]*):(\d+)")
CONNECT_TIMEOUT_S = 3.0
DAY_S = 86_400.0
RENEW_DAYS = 14
MAX_NAMED = 5


def sip_checks(config: Config, ask: Ask) -> Iterator[Check]:
    """Only what is configured is looked at; what is not is said in one line."""
    main, ipv6 = config.switch.sofia_profile, config.switch.sofia_profile_ipv6
    ways = ["UDP and TCP"]
    for profile in (main, ipv6):
        status = ask(builder.sofia_profile_status(profile))
        if profile == ipv6 and "<profile-info>" in status:
            ways.append(f"IPv6 ({profile})")
        if address := TLS_ADDRESS.search(status):
            ways.append(f"TLS ({profile})")
            yield _certificate(f"TLS of {profile}", address[1].strip("[]"), int(address[2]))
    yield Check("SIP transports", OK, ", ".join(ways))
    yield _trunks(ask(builder.sofia_gateways()), (main, ipv6))


def _certificate(name: str, host: str, port: int) -> Check:
    """Until when the certificate is good that the switch shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is looked at, and nothing is sent
    try:
        with (
            socket.create_connection((host, port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            certificate = connection.getpeercert(binary_form=True)
    except OSError as error:
        return Check(
            name, WARN, f"{host}:{port}: {error}", "see agent.pem in vsi_tls_dir, and the switch's log"
        )
    until = expiry(certificate or b"")
    if until is None:
        return Check(name, WARN, "its certificate cannot be read", "see agent.pem in vsi_tls_dir")
    days = (until - time.time()) / DAY_S
    shown = time.strftime("%Y-%m-%d", time.gmtime(until))
    if days < 0:
        return Check(
            name, WARN, f"the certificate has expired on {shown}", "peers that check it refuse: renew it"
        )
    hint = "renew it in time; the profile must be restarted for it" if days < RENEW_DAYS else ""
    return Check(name, WARN if hint else OK, f"certificate good until {shown}", hint)


def _trunks(status: str, profiles: tuple[str, str]) -> Check:
    name = "trunks"
    trunks = read(status, profiles)
    if not trunks:
        return Check(name, OK, "none (gateways of the SIP profile)")
    bad = [one for one in trunks if not one.up or one.state not in (REGISTERED, NO_REGISTRATION)]
    if bad:
        named = ", ".join(f"{one.name} ({one.state}{'' if one.up else ', down'})" for one in bad[:MAX_NAMED])
        more = f" and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
        return Check(name, WARN, named + more, "see `fs_cli -x 'sofia status gateway NAME'`")
    return Check(name, OK, f"{len(trunks)}, up and registered where they register")
