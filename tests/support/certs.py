"""Certificates: for SIP over TLS, as FreeSWITCH wants them in a directory, and for companions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make(directory: Path, days: float = 2.0) -> Path:
    """`agent.pem`, certificate and key of this host for so many days, and `cafile.pem`, who signed it."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("test CA")
    ca = _authority(ca_name, ca_key)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(one)) for one in ("127.0.0.1", "::1")])
    agent = _begin(_name("127.0.0.1"), ca_name, key.public_key(), days).add_extension(hosts, False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "agent.pem").write_bytes(_signed(agent, ca_key) + secret)
    (directory / "cafile.pem").write_bytes(_signed(ca, ca_key))
    return directory


def of_key(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """One that a key has signed for itself, as those of DTLS are."""
    name = _name("WebRTC")
    return _begin(name, name, key.public_key(), 2.0).sign(key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: Any, days: float, since: float = 1.0
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=since))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def _authority(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    usage = dict.fromkeys(
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
        " crl_sign encipher_only decipher_only".split(),
        False,
    )
    signs = x509.KeyUsage(**{**usage, "key_cert_sign": True, "crl_sign": True})
    certificate = _begin(name, name, key.public_key(), 2.0)
    return certificate.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).add_extension(
        signs, True
    )


def _signed(certificate: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    # Python 3.13 asks for what RFC 5280, 4.2.1 does: whose key has signed it, and what an authority's is for
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    signed = certificate.add_extension(issuer, False).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


class Authority:
    """One that signs for the two ends of a companion's line: PEM files in a directory."""

    def __init__(self, directory: Path, common: str = "vsi test authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common)
        ca = _authority(self._name, self._key)
        self.ca = str(directory / "ca.pem")
        Path(self.ca).write_bytes(_signed(ca, self._key))

    def sign(self, name: str, days: float = 2.0) -> tuple[str, str]:
        """Certificate and key of this DNS name for so many days; below 0 they are over."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begin(_name(name), self._name, key.public_key(), days, since=3.0)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        certificate, secret = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(_signed(made, self._key))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        secret.chmod(0o600)
        return str(certificate), str(secret)
