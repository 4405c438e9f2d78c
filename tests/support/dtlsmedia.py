"""The media end of a WebRTC call on loopback: ICE, DTLS-SRTP, and RTP that is counted and given back.

What comes is sent back as it came, under a sequence of its own: who plays a tone into such a call hears it
from there, and no codec is needed here.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import random
import re
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import gevent
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from gevent import socket as gsocket
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from . import certs

HOST = "127.0.0.2"
"""Not that of the switch: a gateway is on another machine."""
MAGIC = 0x2112A442
BINDING_REQUEST, BINDING_RESPONSE = 0x0001, 0x0101
USERNAME, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE = 0x0006, 0x0008, 0x0024, 0x0025
XOR_MAPPED_ADDRESS, FINGERPRINT, CONTROLLED, CONTROLLING = 0x0020, 0x8028, 0x8029, 0x802A
CHECK_EVERY_S = 0.1
LOOK_EVERY_S = 0.05
PROFILES = {
    b"SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    b"SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    b"SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
}


@dataclass(frozen=True)
class Remote:
    """What the other side's description says of its media."""

    ufrag: str
    password: str
    fingerprint: str
    setup: str
    candidates: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, sdp: str) -> Remote:
        """Read it; AssertionError when it is no description of WebRTC media."""

        def attribute(pattern: str) -> str:
            found = re.search(rf"^a={pattern}\r?$", sdp, re.M)
            assert found, f"no {pattern} in\n{sdp}"
            return found[1]

        candidates = re.findall(r"^a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) typ host", sdp, re.M | re.I)
        return cls(
            attribute(r"ice-ufrag:(\S+)"),
            attribute(r"ice-pwd:(\S+)"),
            attribute(r"fingerprint:sha-256 (\S+)").upper(),
            attribute(r"setup:(\S+)"),
            tuple((host, int(port)) for host, port in candidates),
        )


class DtlsMedia:
    """One UDP socket. With `lite` it only answers the other side's checks (ICE lite), as Meta's
    gateways do."""

    def __init__(self, *, lite: bool = True) -> None:
        self.lite = lite
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = certs.of_key(self._key)
        digest = self._certificate.fingerprint(hashes.SHA256())
        self.fingerprint = ":".join(f"{byte:02X}" for byte in digest)
        self._socket = gsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((HOST, 0))
        except OSError:  # not every system has all of 127.0.0.0/8
            self._socket.bind(("127.0.0.1", 0))
        self.host, self.port = self._socket.getsockname()
        self.checks = 0
        """ICE checks of the other side that came, with the right password."""
        self.nominated = False
        """Such a check had USE-CANDIDATE."""
        self.role = ""
        """What the other side's last check said it is: controlling or controlled."""
        self.secure = False
        """DTLS is through, with the certificate that was announced."""
        self.failed = ""
        self.repeated = 0
        """Flights of its own handshake that it had to send again."""
        self.received = 0
        self.payload_types: dict[int, int] = {}
        self.echo = True
        self.silent = False
        """Gone without a word: nothing is answered any more."""
        self._remote: Remote | None = None
        self._address: tuple[str, int] | None = None
        self._dtls: SSL.Connection | None = None
        self._client = False
        self._in: Session | None = None
        self._out: Session | None = None
        self._sequence = random.randrange(0x8000)
        self._ssrc = random.randrange(1 << 32)
        self._timestamp = 0
        self._tasks = [gevent.spawn(self._read)]

    def attributes(self, setup: str) -> list[str]:
        """The lines of a description about ICE and DTLS."""
        return [
            *(["a=ice-lite"] if self.lite else []),
            f"a=candidate:1972637320 1 udp 2113937151 {self.host} {self.port} typ host generation 0",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            f"a=setup:{setup}",
        ]

    @property
    def started(self) -> bool:
        """Whether both descriptions are known."""
        return self._remote is not None

    def start(self, remote: Remote, *, client: bool) -> None:
        """Both descriptions are known. `client` has it begin the DTLS handshake."""
        self._remote = remote
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)
        context.set_tlsext_use_srtp(b":".join(PROFILES))
        context.set_options(SSL.OP_NO_TICKET)
        self._dtls = SSL.Connection(context)
        self._client = client
        if client:
            self._dtls.set_connect_state()
        else:
            self._dtls.set_accept_state()
        if not self.lite:
            self._tasks.append(gevent.spawn(self._check))
        if client:
            self._tasks.append(gevent.spawn(self._begin))
        self._tasks.append(gevent.spawn(self._repeat))

    def press(self, digits: str) -> None:
        """RFC 4733, as a WhatsApp user's digits come: payload type 126, 8 kHz."""
        for digit in digits:
            self._timestamp += 8000
            event = "0123456789*#ABCD".index(digit)
            steps = [(duration, False) for duration in (160, 320, 480, 640)] + [(800, True)] * 3
            for number, (duration, end) in enumerate(steps):
                body = struct.pack("!BBH", event, 0x80 * end | 10, duration)
                self._send_rtp(126, self._timestamp, body, marker=number == 0)
                gevent.sleep(0.02)

    def stop(self) -> None:
        """End it; nothing is told to the other side."""
        gevent.killall(self._tasks)
        self._socket.close()

    # -- what comes ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            data, address = self._socket.recvfrom(65536)
            if self.silent or not data:
                continue
            if data[0] < 4:  # RFC 7983
                self._stun(data, address)
            elif 20 <= data[0] < 64:
                self._handshake(data)
            elif 128 <= data[0] < 192 and self._in is not None:
                self._media(data)

    def _media(self, data: bytes) -> None:
        assert self._in is not None
        if 192 <= data[1] < 224:
            return  # RTCP; until it has keys the switch sends it in clear
        plain = self._in.unprotect(data)
        self.received += 1
        payload_type = plain[1] & 0x7F
        self.payload_types[payload_type] = self.payload_types.get(payload_type, 0) + 1
        if self.echo:
            (timestamp,) = struct.unpack_from("!I", plain, 4)
            self._send_rtp(payload_type, timestamp, plain[12 + 4 * (plain[0] & 15) :])

    def _send_rtp(self, payload_type: int, timestamp: int, body: bytes, *, marker: bool = False) -> None:
        if self._out is None or self._address is None:
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        kind = 0x80 * marker | payload_type
        head = struct.pack("!BBHII", 0x80, kind, self._sequence, timestamp, self._ssrc)
        self._socket.sendto(self._out.protect(head + body), self._address)

    # -- DTLS (RFC 5764) -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The client speaks first, once there is a way."""
        while self._address is None:
            gevent.sleep(0.01)
        self._handshake(b"")

    def _repeat(self) -> None:
        """Send a flight again that was not answered, after 1, 2, 4 s (RFC 6347, 4.2.4): either side's may
        come before the other takes any."""
        assert self._dtls is not None
        while not (self.secure or self.failed):
            left = self._dtls.DTLSv1_get_timeout()
            gevent.sleep(LOOK_EVERY_S if left is None else max(left, LOOK_EVERY_S))
            if not (self.secure or self.silent) and self._dtls.DTLSv1_handle_timeout():
                self.repeated += 1
                self._flush(self._dtls)

    def _handshake(self, data: bytes) -> None:
        if self._dtls is None:
            return
        if data:
            self._dtls.bio_write(data)
        try:
            if self.secure:
                self._dtls.recv(1500)
            else:
                self._dtls.do_handshake()
                self._keys(self._dtls)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failed = self.failed or repr(error)
        self._flush(self._dtls)

    def _flush(self, dtls: SSL.Connection) -> None:
        with suppress(SSL.WantReadError):
            for record in _records(dtls.bio_read(65536)):
                self._socket.sendto(record, self._address or ("127.0.0.1", 9))

    def _keys(self, dtls: SSL.Connection) -> None:
        assert self._remote is not None
        peer = dtls.get_peer_certificate()
        assert peer is not None
        shown = peer.digest("sha256").decode()
        if shown != self._remote.fingerprint:
            self.failed = "the certificate is not that of the description"
            return
        profile, key, salt = PROFILES[dtls.get_selected_srtp_profile()]
        keys = dtls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = keys[:key] + keys[2 * key : 2 * key + salt]
        server = keys[key : 2 * key] + keys[2 * key + salt :]
        ours, theirs = (client, server) if self._client else (server, client)
        self._in = Session(Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        self._out = Session(Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.secure = True

    # -- ICE (RFC 8445), STUN (RFC 8489) -------------------------------------------------------------------

    def _stun(self, data: bytes, address: tuple[str, int]) -> None:
        (kind,) = struct.unpack_from("!H", data)
        if kind != BINDING_REQUEST:
            if kind == BINDING_RESPONSE:
                self._address = self._address or address
            return
        if not _is_signed(data, self.password):
            return
        self.checks += 1
        found = _attributes(data)
        self.nominated = self.nominated or USE_CANDIDATE in found
        self.role = "controlling" if CONTROLLING in found else "controlled" if CONTROLLED in found else ""
        self._address = address
        port = address[1] ^ (MAGIC >> 16)
        host = struct.unpack("!I", socket.inet_aton(address[0]))[0] ^ MAGIC
        mapped = struct.pack("!BBHI", 0, 1, port, host)
        answer = _signed(BINDING_RESPONSE, data[8:20], [(XOR_MAPPED_ADDRESS, mapped)], self.password)
        self._socket.sendto(answer, address)

    def _check(self) -> None:
        """A full agent's own checks."""
        assert self._remote is not None
        tie_breaker = secrets.token_bytes(8)
        while True:
            for address in self._remote.candidates:
                attributes = [
                    (USERNAME, f"{self._remote.ufrag}:{self.ufrag}".encode()),
                    (PRIORITY, struct.pack("!I", 1845501695)),
                    (CONTROLLED, tie_breaker),
                ]
                request = _signed(BINDING_REQUEST, secrets.token_bytes(12), attributes, self._remote.password)
                if not self.silent:
                    self._socket.sendto(request, address)
            gevent.sleep(CHECK_EVERY_S)


def _records(data: bytes) -> Iterator[bytes]:
    """The DTLS records in a row of them: a datagram must not end within one."""
    while data:
        size = 13 + int.from_bytes(data[11:13])
        yield data[:size]
        data = data[size:]


def _signed(kind: int, transaction: bytes, attributes: list[tuple[int, bytes]], password: str) -> bytes:
    body = b"".join(_attribute(name, value) for name, value in attributes)
    signed = struct.pack("!HHI", kind, len(body) + 24, MAGIC) + transaction + body
    body += _attribute(MESSAGE_INTEGRITY, hmac.new(password.encode(), signed, hashlib.sha1).digest())
    whole = struct.pack("!HHI", kind, len(body) + 8, MAGIC) + transaction + body
    return whole + _attribute(FINGERPRINT, struct.pack("!I", binascii.crc32(whole) ^ 0x5354554E))


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> dict[int, int]:
    """Where each attribute of a message begins."""
    found, at = {}, 20
    while at + 4 <= len(data):
        name, length = struct.unpack_from("!HH", data, at)
        found[name] = at
        at += 4 + length + -length % 4
    return found


def _is_signed(data: bytes, password: str) -> bool:
    """Whether a request has the MESSAGE-INTEGRITY of this password."""
    at = _attributes(data).get(MESSAGE_INTEGRITY)
    if at is None:
        return False
    signed = data[:2] + struct.pack("!H", at + 4) + data[4:at]
    return hmac.new(password.encode(), signed, hashlib.sha1).digest() == data[at + 4 : at + 24]
