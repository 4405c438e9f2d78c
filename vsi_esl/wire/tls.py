"""Certificates of the two ends: each shows its own, and takes the other's if its authority and name are
right."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..net.certificates import expiry

BEGIN = "-----BEGIN CERTIFICATE-----"
END = "-----END CERTIFICATE-----"
SOON_DAYS = 30.0
"""With less than this left, `doctor` warns."""
DAY_S = 86400.0


class BadCertificate(Exception):
    """A file of certificates or keys that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Paths of PEM files: who signs for the other end, and what this end shows."""

    ca: str
    certificate: str
    key: str

    def client(self) -> ssl.SSLContext:
        """For the end that connects; the name of the other is checked by the handshake. Raises
        BadCertificate."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def server(self) -> ssl.SSLContext:
        """For the end that listens; the name is to be checked by `names_of`. Raises BadCertificate."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0  # each connection shows its certificate anew
        return context

    def _context(self, kind: int) -> ssl.SSLContext:
        context = ssl.SSLContext(kind)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        _try("CA file", self.ca, lambda: context.load_verify_locations(self.ca))
        if not context.cert_store_stats()["x509_ca"]:
            raise BadCertificate(f"CA file {self.ca}: no certificate of an authority is in it")
        _try(
            "certificate or key",
            f"{self.certificate}, {self.key}",
            lambda: context.load_cert_chain(self.certificate, self.key, _no_password),
        )
        return context


def _no_password() -> str:
    raise ValueError("the key has a password, which nobody is there to give")


def _try(what: str, path: str, load: object) -> None:
    try:
        load()  # type: ignore[operator]
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error) or "it is no PEM file"
        raise BadCertificate(f"{what} {path}: {why}") from None
    except OSError as error:
        raise BadCertificate(f"{what} {path}: {error.strerror}") from None


def names_of(verified: object) -> set[str]:
    """The names and addresses that a certificate is for (subjectAltName), of `getpeercert()`."""
    found = verified.get("subjectAltName", ()) if isinstance(verified, dict) else ()
    return {str(value).lower() for kind, value in found if kind in ("DNS", "IP Address")}


def is_for(verified: object, wanted: Iterable[str]) -> bool:
    """Whether a certificate that was verified is for one of these names. Wildcards are not taken."""
    return bool(names_of(verified) & {one.lower() for one in wanted})


def days_left(path: str) -> float:
    """Days until the first certificate in a PEM file has expired; below 0 afterwards. Raises
    BadCertificate."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise BadCertificate(f"{path}: it is no PEM file") from None
    except OSError as error:
        raise BadCertificate(f"{path}: {error.strerror}") from None
    found = [when - time.time() for when in _expiries(path, text)]
    if not found:
        raise BadCertificate(f"{path}: no certificate is in it")
    return min(found) / DAY_S


def _expiries(path: str, text: str) -> Iterator[float]:
    for block in text.split(BEGIN)[1:]:
        body, closed, _ = block.partition(END)
        try:
            der = ssl.PEM_cert_to_DER_cert(f"{BEGIN}{body}{END}\n") if closed else b""
        except ValueError:
            der = b""
        when = expiry(der)
        if when is None:
            raise BadCertificate(f"{path}: a certificate in it cannot be read")
        yield when
