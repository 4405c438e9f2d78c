"""Who does not get in at a companion, and whom a service does not trust."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import pytest

from tests.support.lines import COMPANION, SERVICE, identity
from tests.support.waiting import eventually
from vsi_esl.wire import connection, server, tls
from vsi_esl.wire.frames import pack
from vsi_esl.wire.tls import BadCertificate, Identity


def refused(line, part: str) -> None:
    try:
        eventually(lambda: part in line.error, f"refused: {part}")
    except AssertionError:
        raise AssertionError(f"{line.error!r} without {part!r}") from None
    assert not line.connected and not line.connects


def test_a_certificate_of_another_authority(ends, authority, other):
    both = ends({})
    refused(both.line(identity(other, SERVICE, ca=authority.ca)), "TLS error")
    assert not both.server.peers
    refused(both.line(identity(authority, SERVICE, ca=other.ca)), "certificate not valid")


def test_a_certificate_that_is_over(ends, authority):
    refused(ends({}).line(identity(authority, SERVICE, days=-1)), "EXPIRED")


def test_a_certificate_for_another_name(ends, authority):
    both = ends({})
    refused(both.line(identity(authority, "elsewhere.test")), "it says: your certificate is for none of")
    refused(both.line(name="elsewhere.test"), "certificate not valid: Hostname mismatch")
    assert not both.server.peers


def test_no_certificate_at_all(ends, authority, log):
    both = ends({})
    context = ssl.create_default_context(cafile=authority.ca)
    with socket.create_connection(("127.0.0.1", both.port), 20) as plain:  # noqa: SIM117
        with context.wrap_socket(plain, server_hostname=COMPANION) as sock, pytest.raises(ssl.SSLError):
            sock.sendall(pack({"kind": "hello", "versions": [1]}))
            sock.recv(1)
    eventually(lambda: log.named("connection refused"), "it is in the log")
    assert not both.server.peers


def test_an_old_protocol(ends, authority):
    both = ends({})
    shown = identity(authority, SERVICE)
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(shown.certificate, shown.key)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", both.port), 20) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain, server_hostname=COMPANION)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 2000, b""])
def test_garbage_and_silence_instead_of_tls(ends, said, monkeypatch):
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.3)
    both = ends({})
    with socket.create_connection(("127.0.0.1", both.port), 20) as plain:
        plain.sendall(said)
        plain.settimeout(20)
        with suppress(ConnectionResetError):
            while plain.recv(4096):
                pass
    assert both.connected().connected, "others get in all the same"


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        pack({"kind": "hello", "versions": [99]}),
        pack({"kind": "ask", "id": "1", "op": "x", "args": {}}),
        b"\x00\x00\x00\x02{}",
    ],
)
def test_other_first_words_than_ours(ends, authority, said):
    both = ends({})
    with trusted(both, authority) as sock:
        sock.sendall(said)
        while sock.recv(4096):
            pass
    assert not both.server.peers


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        pack({"kind": "ask", "id": "1"}),
        pack({"kind": "ask", "id": "1", "op": "x", "args": 7}),
        b"\x00\x00\x00\x03{}x",
    ],
)
def test_garbage_after_good_words_ends_the_connection_and_no_other(ends, authority, said):
    both = ends({"echo": lambda peer, args: args})
    line = both.connected()
    with trusted(both, authority) as sock:
        sock.sendall(pack({"kind": "hello", "versions": [1]}))
        eventually(lambda: len(both.server.peers) == 2, "it is in")
        sock.sendall(said)
        while sock.recv(4096):
            pass
    eventually(lambda: len(both.server.peers) == 1, "it is out")
    assert line.ask("echo", {"a": 1}, 20, 0) == {"a": 1}


def test_no_more_services_than_there_may_be(ends, monkeypatch):
    both = ends({})
    monkeypatch.setattr(server, "MOST_PEERS", 1)
    both.connected()
    refused(both.line(), "it says: too many services")


def test_what_a_stranger_does_is_not_a_line_each_time(ends, log):
    both = ends({})
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", both.port), 20) as plain:
            plain.sendall(b"hello\r\n\r\n")
            with suppress(ConnectionResetError):
                while plain.recv(100):
                    pass
    eventually(lambda: both.server._refused == 5, "all were refused")
    assert len(log.named("connection refused")) == 1


def trusted(both, authority):
    shown = identity(authority, SERVICE)
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(shown.certificate, shown.key)
    plain = socket.create_connection(("127.0.0.1", both.port), 20)
    return context.wrap_socket(plain, server_hostname=COMPANION)


# -- files -------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_used_are_named(authority, tmp_path):
    certificate, key = authority.sign("a.test")
    nothing_in_it = tmp_path / "empty.pem"
    nothing_in_it.write_text("")
    for shown, part in (
        (Identity(str(tmp_path / "no.pem"), certificate, key), "no.pem: No such file"),
        (Identity(str(nothing_in_it), certificate, key), "empty.pem"),
        (Identity(certificate, certificate, key), "no certificate of an authority"),
        (Identity(authority.ca, str(nothing_in_it), key), "empty.pem"),
        (Identity(authority.ca, certificate, authority.sign("b.test")[1]), "KEY_VALUES_MISMATCH"),
    ):
        with pytest.raises(BadCertificate, match=part):
            shown.client()
        with pytest.raises(BadCertificate, match=part):
            shown.server()


def test_until_when_they_are_good(authority, tmp_path):
    assert tls.days_left(authority.sign("a.test", days=10)[0]) == pytest.approx(10, abs=0.1)
    assert tls.days_left(authority.sign("a.test", days=-1)[0]) == pytest.approx(-1, abs=0.1)
    broken = tmp_path / "broken.pem"
    for text, part in (("", "no certificate"), (f"{tls.BEGIN}\nAAAA\n{tls.END}\n", "cannot be read")):
        broken.write_text(text)
        with pytest.raises(BadCertificate, match=part):
            tls.days_left(str(broken))
    with pytest.raises(BadCertificate, match="No such file"):
        tls.days_left(str(tmp_path / "none.pem"))


def test_names_are_taken_as_they_are():
    verified = {
        "subjectAltName": (("DNS", "*.test"), ("DNS", "A.test"), ("IP Address", "10.0.0.1"), ("URI", "u"))
    }
    assert tls.is_for(verified, ["a.TEST"]) and tls.is_for(verified, ["10.0.0.1"])
    assert not tls.is_for(verified, ["b.test"]) and not tls.is_for(verified, ["u"])
    assert not tls.is_for(None, ["a.test"])


def test_the_ends_agree_on_how_long_silence_may_be():
    assert connection.TICK_S * connection.SILENT_TICKS < 10
