"""What `vsi-esl doctor` says of TLS, IPv6 and trunks."""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import closing

import pytest
from cryptography import x509
from gevent import socket

from tests.support import certs
from vsi_esl.cli.doctor_sip import sip_checks
from vsi_esl.config import Config
from vsi_esl.net.certificates import expiry
from vsi_esl.sandbox import SandboxSwitch
from vsi_esl.sandbox.sofia import Gateway


@pytest.fixture
def sandbox():
    switch = SandboxSwitch()
    switch.sofia.tls = False
    return switch


def found(switch, **answers):
    def ask(command: str) -> str:
        return answers.get(command.rsplit(maxsplit=1)[-1]) or switch.sofia.command(
            command.removeprefix("sofia ")
        )

    return {check.name: (check.status, check.detail) for check in sip_checks(Config(), ask)}


def test_what_is_not_configured_is_no_fault(sandbox):
    sandbox.sofia.profiles = ["vsi"]
    assert found(sandbox) == {
        "SIP transports": ("ok", "UDP and TCP"),
        "trunks": ("ok", "none (gateways of the SIP profile)"),
    }


def test_ipv6_is_named(sandbox):
    assert found(sandbox)["SIP transports"] == ("ok", "UDP and TCP, IPv6 (vsi6)")


@pytest.mark.parametrize(
    ("gateways", "expected"),
    [
        ([{}], ("ok", "1, up and registered where they register")),
        ([{"state": "REGED"}, {"name": "b", "state": "FAIL_WAIT"}], ("warning", "b (FAIL_WAIT)")),
        ([{"up": False}], ("warning", "a (NOREG, down)")),
        ([{"profile": "external", "state": "FAIL_WAIT"}], ("ok", "none (gateways of the SIP profile)")),
        (
            [{"name": f"g{number}", "state": "TRYING"} for number in range(7)],
            ("warning", ", ".join(f"g{number} (TRYING)" for number in range(5)) + " and 2 more"),
        ),
    ],
)
def test_trunks(sandbox, gateways, expected):
    for one in gateways:
        gateway = Gateway(**{"name": "a", "user": "u", "password": "p", "host": "h", **one})
        sandbox.sofia.gateways[gateway.name] = gateway
    assert found(sandbox)["trunks"] == expected


def profile(port: int) -> str:
    return f"<profile-info><tls-url>sip:mod_sofia@127.0.0.1:{port}</tls-url></profile-info>"


@pytest.mark.parametrize(("days", "status"), [(100, "ok"), (2, "warning"), (-0.5, "warning")])
def test_the_certificate_that_is_shown(sandbox, tmp_path, days, status):
    certs.make(tmp_path, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "agent.pem")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        seen = found(sandbox, vsi=profile(listener.getsockname()[1]))
        thread.join(5)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86_400))
    text = "the certificate has expired on" if days < 0 else "certificate good until"
    assert seen["TLS of vsi"] == (status, f"{text} {day}")
    assert "TLS (vsi)" in seen["SIP transports"][1]


def test_a_profile_whose_tls_does_not_answer(sandbox):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    status, detail = found(sandbox, vsi=profile(port))["TLS of vsi"]
    assert status == "warning" and detail.startswith(f"127.0.0.1:{port}: ")


def test_what_is_no_certificate_is_not_read(tmp_path):
    pem = (certs.make(tmp_path, 3) / "agent.pem").read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index(b"-----END CERTIFICATE-----") + 25].decode() + "\n")
    assert expiry(der) == certificate.not_valid_after_utc.timestamp()
    for length in range(0, len(der), 7):
        assert expiry(der[:length]) is None
    for junk in (b"0\x80", b"0\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x02", b"x" * 50):
        assert expiry(junk) is None
